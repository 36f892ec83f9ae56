"""Files that lie in the bucket twice: reported, since their rows would be counted twice.  Pure."""

from collections import defaultdict
from collections.abc import Sequence

from graticule.discovery.assembly import Draft


def note_copies(drafts: Sequence[Draft]) -> None:
    """Lower the confidence in drafts that hold a file whose ETag and size another one has.

    Files without rows are all alike, and harmless.
    """
    seen: defaultdict[tuple[str, int], list[tuple[str, Draft]]] = defaultdict(list)
    for draft in drafts:
        for file, inspection in draft.members:
            if file.object.etag and inspection.rows:
                seen[file.object.etag, file.object.size_bytes].append((file.object.key, draft))
    twins: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
    by_identity = {draft.identity: draft for draft in drafts}
    for same in seen.values():
        homes: dict[str, str] = {}
        for key, draft in same:
            first_here = homes.setdefault(draft.identity, key)
            elsewhere = next((each for each, home in same if home is not draft), None)
            if elsewhere is not None:
                twins[draft.identity].append((key, elsewhere))
            elif first_here != key:
                twins[draft.identity].append((key, first_here))
    for identity, pairs in twins.items():
        key, other = pairs[-1]
        count = "1 file is a copy" if len(pairs) == 1 else f"{len(pairs)} files are copies"
        by_identity[identity].lower(f"{count} of another, such as `{key}` of `{other}`")
