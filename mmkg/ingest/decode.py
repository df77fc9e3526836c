"""Bytes to text: byte order marks, UTF-8, UTF-16, declared or detected legacy encodings; never mojibake.

What cannot be read with confidence is refused with a reason, since a wrong guess would fill the index with garbage.
"""

from __future__ import annotations

import codecs
import re
import unicodedata

from mmkg.errors import LoadError

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16: its mark begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
MAX_CONTROL_SHARE = 0.01
"""More control characters than this and the bytes are not text."""

_SAMPLE = 256 * 1024
_CONTROL_BYTES = bytes([*range(9), 11, *range(14, 27), *range(28, 32), 127])  # escape begins a shift in ISO-2022
_LINE_END = re.compile("\r\n?|[\u2028\u2029\x85]")
_DROPPED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff\ud800-\udfff\ufffe\uffff]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\u200e\u200f\u202a-\u202e\u2066-\u2069]")
_UNASSIGNED = frozenset({"Cn", "Co", "Cs", "Cc"})


def decode(data: bytes, *, hint: str = "") -> str:
    """The text of a file, with line ends as "\\n" and without control characters other than "\\n" and tab.

    hint: an encoding that the file declares (HTML), tried after UTF-8. Raises LoadError with a reason if the bytes
    are not text or their encoding is not clear.

    >>> decode("café".encode("cp1252"))
    'café'
    """
    return normalise(_decoded(data, hint))


def normalise(text: str) -> str:
    """Line ends as "\\n"; other control characters, marks of direction and soft hyphens dropped; NFC is not applied."""
    text = _LINE_END.sub("\n", text).replace("\x0c", "\n\n").replace("\xa0", " ")
    return _INVISIBLE.sub("", _DROPPED.sub("", text))


def is_text(data: bytes) -> bool:
    """Whether the start of a file reads as text (of any encoding that decode takes)."""
    try:
        _decoded(data, "")
    except LoadError:
        return False
    return True


def encoding_of(sample: bytes) -> tuple[str, int, str]:
    """(encoding, length of its mark, how to take bytes that are none of it) of a file by a stretch of it.

    sample: its beginning, or, if that is ASCII, a stretch with the first bytes that are not. Raises LoadError as decode does.
    """
    for bom, encoding in _BOMS:
        if sample.startswith(bom):
            return encoding, len(bom), "strict"
    if (wide := _wide(sample)) is not None:
        return wide[1], 0, "strict"
    text = _decoded(sample, "")
    if sample.decode("utf-8", errors="ignore") == text.replace("\ufffd", ""):
        return "utf-8", 0, "ignore"
    return _guess(sample)[1], 0, "strict"


def _decoded(data: bytes, hint: str) -> str:
    for bom, encoding in _BOMS:
        if data.startswith(bom):
            return _checked(_strict(data[len(bom) :], encoding, bom=True), encoding)
    if (wide := _wide(data)) is not None:
        return wide[0]
    controls = len(data) - len(data.translate(None, _CONTROL_BYTES))
    if controls > max(1, MAX_CONTROL_SHARE * len(data)):
        kind = "NUL bytes" if data.count(0) * 2 > controls else "control bytes"
        raise LoadError(f"not text: {controls} of {len(data)} bytes are {kind}", code="not-text")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as e:
        # Cut in the middle of a character; without another one before it, the last byte may be of another encoding.
        if e.reason == "unexpected end of data" and not data[: e.start].isascii():
            return data[: e.start].decode("utf-8")
    if hint and (text := _try(data, hint)) is not None:
        return text
    damaged = data.decode("utf-8", errors="replace")
    bad, good = damaged[:_SAMPLE].count("\ufffd"), sum(1 for c in damaged[:_SAMPLE] if c > "\x7f" and c != "\ufffd")
    if good > 10 * bad:
        # No other encoding gives valid sequences by chance: this is UTF-8 with a few broken bytes.
        return damaged.replace("\ufffd", "")
    return _guess(data)[0]


def _strict(data: bytes, encoding: str, *, bom: bool = False) -> str:
    width = {"utf-16": 2, "utf-32": 4}.get(encoding[:6], 1)
    try:
        return data[: len(data) - len(data) % width].decode(encoding)
    except UnicodeDecodeError as e:
        if e.reason == "unexpected end of data":
            return data[: e.start].decode(encoding)
        name = f"{encoding.upper()} by its byte order mark" if bom else encoding.upper()
        raise LoadError(f"not text: {name}, but byte {e.start} is not valid in it", code="not-text") from e


def _checked(text: str, encoding: str) -> str:
    odd = len(_DROPPED.findall(text)) - text.count("\r") - text.count("\x0c")
    if odd > MAX_CONTROL_SHARE * len(text):
        raise LoadError(
            f"not text: {odd} of {len(text)} characters are control characters ({encoding.upper()})", code="not-text"
        )
    return text


def _wide(data: bytes) -> tuple[str, str] | None:
    """(text, encoding) of UTF-16 without a mark: text in a Latin script has a NUL in every second byte."""
    sample = data[: _SAMPLE - _SAMPLE % 2]
    if len(sample) < 4 or 0 not in sample:
        return None
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    half = len(sample) // 2
    for encoding, nul, other in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        if nul > 0.4 * half and other < 0.02 * half:
            try:
                return _checked(_strict(data, encoding), encoding), encoding
            except LoadError:
                return None
    return None


def _try(data: bytes, encoding: str) -> str | None:
    try:
        codecs.lookup(encoding)
        text = data.decode(encoding)
    except (LookupError, UnicodeError, ValueError, TypeError):
        return None
    return text if isinstance(text, str) and _plausible(text) else None


def _guess(data: bytes) -> tuple[str, str]:
    """(text, encoding)."""
    high = sum(1 for b in data[:_SAMPLE] if b > 127)
    share = high / len(data[:_SAMPLE])
    # Western text has few high bytes; the detector is erratic on so little evidence, so try the common one first.
    if (share < 0.15 or high <= 20) and (text := _try(data, "cp1252")) is not None and _western(text):
        return text, "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(data[:_SAMPLE], threshold=0.15).best()
    if best is not None and best.encoding not in ("ascii", "utf_8"):
        text = _try(data[: len(data)], best.encoding)
        if text is not None:
            return text, best.encoding
    raise LoadError("unknown text encoding", hint="save the file as UTF-8", code="encoding")


def _plausible(text: str) -> bool:
    sample = text[:_SAMPLE]
    if not sample:
        return False
    odd = sum(1 for c in sample if c > "\x7e" and unicodedata.category(c) in _UNASSIGNED)
    return odd <= 0.002 * len(sample)


_WESTERN_MARKS = frozenset("–—‘’“”„…•€£§©®°±²³·¼½¾«»¿¡×´™ \xa0")


def _western(text: str) -> bool:
    """Whether the letters beyond ASCII stand inside Latin words, and the signs among them are the usual ones."""
    seen = wrong = 0
    for match in re.finditer("[^\x00-\x7f]+", text[:_SAMPLE]):
        run = match.group()
        seen += len(run)
        for c in run:
            if c.isalpha():
                wrong += len(run) > 3 or (c in "ƒˆÞþÐðŠŽžŸª" and len(run) > 1)
            elif c not in _WESTERN_MARKS:
                wrong += 1
        before = text[match.start() - 1] if match.start() else " "
        wrong += run[0].islower() and before.isupper() and before != run[0].upper() and len(run) > 1
    return seen > 0 and wrong <= 0.1 * seen
