"""EPUB and EML: made here byte by byte, read through the pool's own worker function."""

from __future__ import annotations

import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from mmkg.config import Limits
from mmkg.factsio import from_json
from mmkg.ingest.worker import parse

PACKAGE = """<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>The Keeper's Year</dc:title><dc:creator>Hester Lorne</dc:creator><dc:language>en</dc:language></metadata>
<manifest><item id="b" href="text/two.xhtml" media-type="application/xhtml+xml"/>
<item id="a" href="text/one%20a.xhtml" media-type="application/xhtml+xml"/>
<item id="n" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
<item id="out" href="http://127.0.0.1:9/x.xhtml" media-type="application/xhtml+xml"/>
<item id="up" href="../../up.xhtml" media-type="application/xhtml+xml"/>
<item id="lost" href="lost.xhtml" media-type="application/xhtml+xml"/></manifest>
<spine><itemref idref="a"/><itemref idref="b"/><itemref idref="n"/><itemref idref="out"/><itemref idref="up"/><itemref idref="lost"/>
</spine></package>"""


def book(path: Path, **parts: str) -> Path:
    files = {
        "META-INF/container.xml": '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
        '<rootfile full-path="OPS/book.opf"/></rootfiles></container>',
        "OPS/book.opf": PACKAGE,
        "OPS/text/one a.xhtml": "<html><body><h1>January</h1><p>The Grey Petrel came on the third.</p></body></html>",
        "OPS/text/two.xhtml": "<html><body><h1>February</h1><p>Nobody came.</p></body></html>",
        "OPS/nav.xhtml": "<html><body><p>Table of contents</p></body></html>",
    } | parts
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("mimetype", "application/epub+zip")
        for name, text in files.items():
            out.writestr(name, text)
    return path


def facts_of(path: Path):
    header, _ = parse(path, Limits(), 1000, False)
    assert header["status"] == "ok", header["reason"]
    return from_json(header["facts"]), header["notes"]


def test_a_book_is_read_in_the_order_of_its_spine(tmp_path):
    facts, notes = facts_of(book(tmp_path / "year.epub"))
    assert (facts.media_type, facts.name) == ("application/epub+zip", "The Keeper's Year")
    assert facts.meta == {"author": "Hester Lorne", "language": "en"}
    assert [s.heading for s in facts.sections] == ["January", "February"]
    assert "Grey Petrel" in facts.text and "Table of contents" not in facts.text
    assert notes == ["1 of 3 chapters could not be read"]


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        pytest.param({"META-INF/container.xml": "<container/>"}, "damaged: not an EPUB", id="no package"),
        pytest.param({"OPS/book.opf": "<package"}, "damaged", id="broken package"),
        pytest.param({"OPS/text/two.xhtml": "a" * 40_000_000}, "expanded_bytes: ", id="bomb"),
    ],
)
def test_a_bad_book_is_refused_with_a_reason(tmp_path, parts, reason):
    header, _ = parse(book(tmp_path / "bad.epub", **parts), Limits(expanded_bytes=10_000_000), 1000, False)
    assert header["status"] in ("rejected", "empty")
    assert header["reason"].startswith(reason) or header["status"] == "empty"


def test_a_book_by_another_name_is_refused(tmp_path):
    header, _ = parse(book(tmp_path / "year.pdf"), Limits(), 1000, False)
    assert (header["status"], header["reason"].split(":")[0]) == ("rejected", "name")


def message(**options) -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Perpetua Gale <gale@example.org>", "Anselm Quarrie <quarrie@example.org>"
    mail["Subject"] = "The gauge at Pellworth"
    mail["Date"] = "Tue, 03 Mar 1998 09:30:00 +0000"
    mail.set_content("Dear Anselm,\n\nThe Pellworth Gauge is stuck again.\n\nPerpetua\n")
    return mail


def test_a_message_has_its_people_its_subject_and_its_words(tmp_path):
    mail = message()
    mail.add_alternative("<p>The Pellworth Gauge is <b>stuck</b> again.</p>", subtype="html")
    mail.add_attachment(b"\x89PNG", maintype="image", subtype="png", filename="gauge.png")
    path = tmp_path / "a.eml"
    path.write_bytes(bytes(mail))
    facts, notes = facts_of(path)
    assert (facts.media_type, facts.name) == ("message/rfc822", "The gauge at Pellworth")
    assert facts.meta["from"] == "Perpetua Gale <gale@example.org>"
    assert facts.text.count("stuck") == 1, "one of the alternatives is read"
    assert "From: Perpetua Gale" in facts.text
    assert (notes, facts.meta["attachments"]) == ([], "gauge.png")
    same = tmp_path / "a.txt"
    same.write_bytes(bytes(mail))
    assert facts_of(same)[0] == facts, "what it is follows from its bytes, not its name"


@pytest.mark.parametrize(
    "text", ["From: here to there\n\nA story.\n", "Subject: all of us\nWe went on.\nFrom: nowhere\nDate: today\n\nx\n"]
)
def test_what_only_begins_like_a_message_is_text(tmp_path, text):
    (tmp_path / "a.txt").write_text(text)
    assert facts_of(tmp_path / "a.txt")[0].media_type.startswith("text/")


def test_html_alone_and_odd_encodings_are_read(tmp_path):
    path = tmp_path / "a.eml"
    path.write_bytes(
        b"From: a@b.c\r\nTo: d@e.f\r\nSubject: =?utf-8?q?Caf=C3=A9_Ada?=\r\nDate: x\r\n"
        b"Content-Type: text/html; charset=klingon\r\n\r\n<p>Meet me at the Steps.</p>\r\n"
    )
    facts, _ = facts_of(path)
    assert facts.name == "Café Ada"
    assert "Meet me at the Steps." in facts.text
