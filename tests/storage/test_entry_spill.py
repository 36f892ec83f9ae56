"""Entries that wait on disk come back as they were, in any order."""

from decimal import Decimal

from graticule.planning.files import DataFileEntry
from graticule.storage import entry_spill
from graticule.storage.entry_spill import EntrySpill, SpilledFile


def test_entries_come_back_in_any_order_and_their_files_in_their_own(monkeypatch):
    monkeypatch.setattr(entry_spill, "MEMORY_BYTES", 1000)
    entries = [
        DataFileEntry(
            path=f"s3://lake/{number}",
            size_bytes=number,
            record_count=1,
            spec_id=0,
            partition=(number, None, Decimal("1.5")),
            lower_bounds={1: b"\x00"},
            split_offsets=(4,),
        )
        for number in range(1200)
    ]
    with EntrySpill() as spill:
        for entry in entries:
            spill.add(f"e{entry.size_bytes}", entry)
        assert list(spill.entries(range(1199, -1, -1))) == entries[::-1]
        assert list(spill.files()) == [
            SpilledFile(entry.path, f"e{entry.size_bytes}", entry.size_bytes) for entry in entries
        ]
        assert list(spill.files()) == list(spill.files())
        assert (len(spill), spill.size_bytes) == (1200, sum(range(1200)))
