"""What `graticule scan show` prints: tables and why, what is left over, and what to do next."""

from rich.console import Console

from graticule.cli.scan_report import name_of, print_report


def proposal(**changed):
    return {
        "kind": "files",
        "name": "roads",
        "namespace": "de",
        "root": "de/roads/",
        "file-count": 1200,
        "row-count": 3_400_000,
        "size-bytes": 5_600_000,
        "partitioned-by": [{"name": "year", "type": "int"}],
        "place": {"column": "geometry", "crs": "OGC:CRS84"},
        "reasons": ["1200 files of one schema", "partitioned by `year` in folder names"],
        "confidence": "high",
        "registered-as": None,
        **changed,
    }


def printed(**report):
    console = Console(width=120, record=True, force_terminal=False)
    document = {"tables": [], "convertible": [], "skipped": [], "skipped-count": 0, **report}
    with console.capture() as captured:
        print_report(document, catalog="world", scan="0190", console=console)
    return captured.get()


def test_tables_are_shown_with_their_reasons_and_what_to_do_next():
    lines = printed(tables=[proposal()]).splitlines()
    row = "de.roads 1,200 3,400,000 5.6 MB geometry, OGC:CRS84 year high"
    assert " ".join(lines[1].split()) == row
    assert "  • partitioned by `year` in folder names" in lines
    assert any("graticule scan register world 0190 --auto-approve high" in line for line in lines)
    assert any("--table de.roads=new_name" in line for line in lines)


def test_what_is_registered_already_is_told_and_nothing_is_asked():
    text = printed(tables=[proposal(**{"registered-as": "maps.roads"})])
    assert "is maps.roads" in text
    assert "scan register" not in text


def test_alike_reasons_are_told_once_with_an_example():
    skipped = [{"key": f"x/{n}.png", "reason": "an image, no table"} for n in range(900)]
    skipped += [{"key": "t/cut.parquet", "reason": "its footer claims 9 bytes of 4"}]
    text = printed(skipped=skipped, **{"skipped-count": 5000})
    assert "Nothing that could be a table." in text
    assert "Passed over: 5,000" in text
    assert "  • x/0.png: an image, no table (and 899 like it)" in text
    assert "  • t/cut.parquet: its footer claims 9 bytes of 4" in text


def test_iceberg_tables_and_convertible_files_are_named_for_what_they_are():
    ice = proposal(
        kind="iceberg",
        namespace="",
        place=None,
        **{"partitioned-by": [], "size-bytes": None, "row-count": None},
    )
    files = {
        "name": "rivers",
        "namespace": "gis",
        "format": "Shapefile",
        "root": "gis/rivers.shp",
        "file-count": 1,
        "size-bytes": 2_000,
    }
    text = printed(tables=[ice], convertible=[files])
    assert "Iceberg table" in text
    assert "  • gis.rivers: Shapefile, 1 file, 2.0 kB  gis/rivers.shp" in text
    assert (name_of(ice), name_of(files)) == ("roads", "gis.rivers")


def test_names_in_brackets_are_no_markup():
    assert "[red]x[/red]/part" in printed(tables=[proposal(root="[red]x[/red]/part")])
