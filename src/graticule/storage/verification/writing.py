"""Checks that write probes below the integration's path, and take them away again."""

from typing import Final

from graticule.domain.catalog import AccessLevel
from graticule.domain.errors import AlreadyExists, CatalogError
from graticule.storage.aws_errors import translated
from graticule.storage.verification.probe import PROBE_BYTES, PROBE_FOLDER, AccessProbe
from graticule.storage.verification.step import Failed, Passed, Skipped, Step

_WRITTEN: Final = "write"
_ASK_THE_OPERATOR: Final = "Ask the store's operator: such a store loses data."


def _only_when_written(probe: AccessProbe) -> None:
    if probe.access is AccessLevel.READ:
        raise Skipped("the integration is read-only")


def _write(probe: AccessProbe) -> Passed:
    _only_when_written(probe)
    store = probe.store(probe.own)
    try:
        uri = probe.put(store, _WRITTEN)
    except AlreadyExists as error:  # under a name made up this moment
        raise Failed(error.message, _ASK_THE_OPERATOR) from error
    limit = 2 * len(PROBE_BYTES)
    if (
        store.get(uri, size_bytes_max=limit) != PROBE_BYTES
        or store.get(uri, range=(11, 9), size_bytes_max=limit) != PROBE_BYTES[11:20]
    ):
        raise Failed(f"`{uri}` reads back other than written", _ASK_THE_OPERATOR)
    probe.readable = uri
    return Passed("an object was written, and read as a whole and in part")


def _conditional_write(probe: AccessProbe) -> Passed:
    _only_when_written(probe)
    store = probe.store(probe.own)
    uri = probe.folder.join(_WRITTEN).uri
    try:
        store.put_if_absent(uri, PROBE_BYTES + b"  Second.")
    except AlreadyExists:
        return Passed("a second writer of the same name is refused")
    raise Failed(
        "the store let a second writer replace an object in spite of `If-None-Match: *`",
        "Do not keep managed catalogs here: jobs that are taken up again could replace files of "
        "one another. Use a store with conditional writes.",
    )


def _delete(probe: AccessProbe) -> Passed:
    _only_when_written(probe)
    store = probe.store(probe.own)
    uri = probe.put(store, "delete")
    store.delete([uri])
    if store.exists(uri):
        raise Failed(f"`{uri}` is still there after it was deleted", _ASK_THE_OPERATOR)
    probe.written.discard(uri)
    return Passed("an object was deleted and is gone")


def _multipart(probe: AccessProbe) -> Passed:
    _only_when_written(probe)
    client = probe.client(probe.own)
    place = probe.folder.join("multipart")
    with translated("beginning a multipart upload of", place.uri):
        begun = client.create_multipart_upload(Bucket=place.bucket, Key=place.key)
        upload_id = begun["UploadId"]
    probe.uploads.add((place.key, upload_id))
    with translated("aborting a multipart upload of", place.uri):
        client.abort_multipart_upload(Bucket=place.bucket, Key=place.key, UploadId=upload_id)
    probe.uploads.discard((place.key, upload_id))
    return Passed("a multipart upload was begun and aborted")


def _cleanup(probe: AccessProbe) -> Passed:
    left, why = _left(probe)
    if not left:
        return Passed("nothing was left behind")
    raise Failed(
        f"left behind: {', '.join(f'`{uri}`' for uri in left)}" + (f": {why}" if why else ""),
        "Allow `s3:DeleteObject` and `s3:AbortMultipartUpload` for the integration's path, and "
        f"delete what lies below `{probe.integration.location.join(PROBE_FOLDER).prefix}`.",
    )


def _left(probe: AccessProbe) -> tuple[list[str], str]:
    store = probe.store(probe.own)
    left = sorted(probe.written)
    why = ""
    try:
        store.delete(left)
        left = [uri for uri in left if store.exists(uri)]
    except CatalogError as error:
        why = error.message
    bucket = probe.integration.location.bucket
    for key, upload_id in sorted(probe.uploads):
        uri = f"s3://{bucket}/{key}"
        try:
            with translated("aborting a multipart upload of", uri):
                probe.client(probe.own).abort_multipart_upload(
                    Bucket=bucket, Key=key, UploadId=upload_id
                )
        except CatalogError as error:
            left.append(uri)
            why = why or error.message
    return left, why


_WRITE_REMEDY: Final = (
    "Attach the generated read-write policy to the role, or mark the integration read-only; for a "
    "bucket encrypted with KMS, also allow `kms:GenerateDataKey` and `kms:Decrypt` on its key."
)

STEPS: Final = (
    Step(
        "write",
        "Objects can be written",
        ("assume_role", "region"),
        _write,
        _WRITE_REMEDY,
        may_propagate=True,
    ),
    Step(
        "conditional_write",
        "Nothing is overwritten by accident",
        ("write",),
        _conditional_write,
        "Use a store that supports `If-None-Match` on writes.",
    ),
    Step(
        "delete",
        "Objects can be deleted",
        ("write",),
        _delete,
        "Allow `s3:DeleteObject` below the path, as in the generated read-write policy.",
    ),
    Step(
        "multipart",
        "Large objects can be written in parts",
        ("write",),
        _multipart,
        "Allow `s3:PutObject` and `s3:AbortMultipartUpload` below the path, as in the generated "
        "read-write policy.",
    ),
)

CLEANUP: Final = Step("cleanup", "Nothing is left behind", (), _cleanup)
"""Last, and whatever else failed."""
