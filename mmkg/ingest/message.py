"""E-mail messages (EML): who wrote to whom when, and the words. Attachments are documents of their own (see unpack)."""

from __future__ import annotations

import email
import email.policy
import mimetypes
import re
from dataclasses import dataclass
from email.message import EmailMessage
from pathlib import Path

from mmkg.config import Limits
from mmkg.errors import LoadError
from mmkg.ingest.builder import TextBuilder
from mmkg.ingest.markup import add_html
from mmkg.ingest.raw import RawDocument
from mmkg.ingest.textbuild import clean_property

MESSAGE = "message/rfc822"
_HEADER = re.compile(
    r"^(from|to|cc|subject|date|message-id|mime-version|received|return-path|delivered-to|content-type|reply-to):[ \t]",
    re.I,
)
_FOLDED = re.compile(r"^[ \t]+\S|^[\w-]+:")
_SHOWN = ("from", "to", "cc", "date")
_PARTS = 1_000


def looks_like_message(text: str) -> bool:
    """Whether a text begins with the headers of a message: every line of its first block, and a sender and a subject or date.

    >>> looks_like_message("From: a@b.c\\nTo: d@e.f\\nSubject: Tea\\nDate: Mon, 1 Jan 2024 10:00:00 +0000\\n\\nHello.")
    True
    >>> looks_like_message("From: here to there\\n\\nA story.")
    False
    """
    head = re.split(r"\r?\n\r?\n", text, maxsplit=1)[0].splitlines()
    names = {found[1].lower() for line in head if (found := _HEADER.match(line))}
    return (
        "from" in names
        and len(names) >= 3
        and bool(names & {"subject", "date", "message-id"})
        and all(_FOLDED.match(line) for line in head)
    )


def load_message(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """One message. Title: its subject. HTML is read where there is no plain text. Raises LoadError if no header can be read."""
    parsed = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(parsed, EmailMessage)
    if not parsed.keys():
        raise LoadError("damaged message: it has no headers", path=path)
    builder = TextBuilder(limits.characters)
    subject = _field(parsed, "subject")
    if subject:
        builder.add(subject, "heading", level=1)
    meta = {name: value for name in _SHOWN if (value := _field(parsed, name))}
    # Names are in the head of a message as often as in its words, and are asked for as often.
    builder.add("\n".join(f"{name.capitalize()}: {value}" for name, value in meta.items()))
    _add_words(parsed, builder)
    if attached := [a.name for a in attachments(parsed)]:
        meta["attachments"] = clean_property(", ".join(attached), 500)
    return RawDocument(media_type=media_type, text=builder.text, name=subject, blocks=tuple(builder.blocks), meta=meta)


@dataclass(frozen=True, slots=True)
class Attachment:
    """A part of a message that is no body. name: as a file name without folders, made from the part's kind if it has none."""

    name: str
    part: EmailMessage

    def content(self) -> bytes:
        """Its bytes; what cannot be decoded is taken as it stands."""
        data = self.part.get_payload(decode=True)
        return data if isinstance(data, bytes) else str(self.part.get_payload()).encode("utf-8", "replace")


def attachments(message: EmailMessage) -> list[Attachment]:
    """The attachments of a message and of messages inside it, in their order."""
    parts, bodies = _parts(message)
    body = {id(p) for p in bodies}
    return [Attachment(_file_name(p, n), p) for n, p in enumerate(parts, 1) if id(p) not in body]


def _file_name(part: EmailMessage, number: int) -> str:
    try:
        given = part.get_filename() or ""
    except (ValueError, LookupError, IndexError, AttributeError, TypeError):  # a header the parser stumbles over
        given = ""
    name = clean_property(given, 200).replace("\\", "/").rpartition("/")[2].strip(". ")
    return name or f"part-{number}{mimetypes.types_map.get(part.get_content_type(), '')}"


def _parts(message: EmailMessage) -> tuple[list[EmailMessage], list[EmailMessage]]:
    """(all parts that have no parts, those of them that are words of the message itself)."""
    parts = [p for p, _ in zip(message.walk(), range(_PARTS), strict=False) if not p.is_multipart()]
    bodies = [p for p in parts if p.get_content_disposition() != "attachment" and p.get_content_maintype() == "text"]
    return parts, bodies


def _add_words(message: EmailMessage, builder: TextBuilder) -> None:
    _, bodies = _parts(message)
    plain = [p for p in bodies if p.get_content_subtype() != "html"]
    for part in plain or bodies:
        try:
            words = part.get_content()
        except (LookupError, ValueError, KeyError, UnicodeError):  # an unknown encoding: what can be read is read
            payload = part.get_payload(decode=True)
            words = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else ""
        if part.get_content_subtype() == "html":
            add_html(str(words), builder)
            continue
        for paragraph in re.split(r"\n\s*\n", str(words).replace("\r\n", "\n")):
            builder.add(paragraph)


def _field(message: EmailMessage, name: str) -> str:
    try:
        return clean_property(message.get(name) or "", 300)
    except (ValueError, LookupError, IndexError, AttributeError, TypeError):  # a header the parser stumbles over
        return ""
