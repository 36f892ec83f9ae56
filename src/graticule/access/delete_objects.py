"""The body of S3's DeleteObjects: which keys it names.  Pure.

As narrow as what clients send, since the store reads the same bytes with another parser: anything
that two parsers could understand differently is refused.
"""

import re
from typing import Final
from xml.etree.ElementTree import Element, ParseError  # only the types: defusedxml parses

from defusedxml.common import DefusedXmlException
from defusedxml.ElementTree import fromstring

from graticule.access.s3_urls import check_key
from graticule.domain.errors import SignatureRefused

BODY_BYTES_MAX: Final = 2 * 1024 * 1024
KEYS_MAX: Final = 1000
NAMESPACE: Final = "http://s3.amazonaws.com/doc/2006-03-01/"

_DECLARATION: Final = re.compile(
    rb"""\s*<\?xml version=["']1\.0["'](?: encoding=["'](?i:utf-8)["'])?\s*\?>"""
)
_OTHER_MARKUP: Final = re.compile(rb"<[!?]")


def keys_to_delete(body: bytes) -> tuple[str, ...]:
    """Every key that the body names.

    Raises:
        SignatureRefused: too large, not well-formed, or more than a plain list of keys.
    """
    if len(body) > BODY_BYTES_MAX:
        raise SignatureRefused(f"the body of DeleteObjects has at most {BODY_BYTES_MAX} bytes")
    declared = _DECLARATION.match(body)
    # No document type, entities, comments or character data sections, and no other encoding.
    if _OTHER_MARKUP.search(body, declared.end() if declared else 0):
        raise SignatureRefused("the body of DeleteObjects may hold elements and nothing else")
    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as error:
        raise SignatureRefused("the body of DeleteObjects is not XML as S3 reads it") from error
    space = f"{{{NAMESPACE}}}" if root.tag.startswith("{") else ""
    if root.tag != f"{space}Delete":
        raise SignatureRefused("the body of DeleteObjects must be a `Delete` element")
    objects = [child for child in root if child.tag != f"{space}Quiet"]
    if not objects or len(objects) > KEYS_MAX:
        raise SignatureRefused(f"DeleteObjects names 1 to {KEYS_MAX} keys")
    _require_plain(root)
    for quiet in root.findall(f"{space}Quiet"):
        _require_plain(quiet, text=True)
    return tuple(_key(element, space) for element in objects)


def _key(element: Element, space: str) -> str:
    keys = list(element)
    if element.tag != f"{space}Object" or [key.tag for key in keys] != [f"{space}Key"]:
        raise SignatureRefused(
            "DeleteObjects is signed only with `Object` elements of one `Key` each; "
            "versions and conditions are not"
        )
    _require_plain(element)
    _require_plain(keys[0], text=True)
    key = keys[0].text or ""
    if not key:
        raise SignatureRefused("a `Key` of DeleteObjects is empty")
    return check_key(key)


def _require_plain(element: Element, *, text: bool = False) -> None:
    """Only blanks between elements, no attributes, and no elements in texts."""
    between = [child.tail for child in element]
    if not text:
        between.append(element.text)
    has_words = any((words or "").strip() for words in between)
    if has_words or element.attrib or (text and len(element)):
        raise SignatureRefused("the body of DeleteObjects holds something beside its keys")
