"""PDF files, made byte by byte, so that every object in them is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def pdf(objects: Mapping[int, bytes], *, root: int = 1) -> bytes:
    """A PDF of numbered objects (the bytes between obj and endobj), with a cross-reference table."""
    out = bytearray(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
    places = {}
    for number, body in sorted(objects.items()):
        places[number] = len(out)
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    start, count = len(out), max(objects) + 1
    out += b"xref\n0 %d\n0000000000 65535 f \n" % count
    for number in range(1, count):
        out += b"%010d 00000 n \n" % places[number] if number in places else b"0000000000 65535 f \n"
    out += b"trailer\n<< /Size %d /Root %d 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, root, start)
    return bytes(out)


def pages_pdf(contents: Iterable[bytes]) -> bytes:
    """A PDF with a page for each of these contents (drawing operators), font F1."""
    objects = {1: b"<< /Type /Catalog /Pages 2 0 R >>", 3: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"}
    kids = []
    for number, content in enumerate(contents):
        page = 4 + 2 * number
        objects[page] = (
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents %d 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
            % (page + 1)
        )
        objects[page + 1] = stream(content)
        kids.append(b"%d 0 R" % page)
    objects[2] = b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join(kids), len(kids))
    return pdf(objects)


def written_pdf(pages: Iterable[Sequence[str]]) -> bytes:
    """A PDF whose pages have these lines of words, the first at the top; lines far apart are paragraphs."""
    return pages_pdf(
        b"\n".join(b"BT /F1 11 Tf 72 %d Td (%s) Tj ET" % (740 - 40 * i, line.encode()) for i, line in enumerate(lines))
        for lines in pages
    )


def stream(data: bytes, head: bytes = b"", *, deflated: bool = False) -> bytes:
    """A PDF stream object. deflated: data is compressed already."""
    filters = b" /Filter /FlateDecode" if deflated else b""
    return b"<< /Length %d%s %s >>\nstream\n%s\nendstream" % (len(data), filters, head, data)


def one_page(
    content: bytes, *, resources: bytes = b"", more: Mapping[int, bytes] | None = None, page: bytes = b""
) -> bytes:
    """A PDF of one page with this content stream object (number 4), font F1, and further objects from number 6."""
    return pdf(
        {
            1: b"<< /Type /Catalog /Pages 2 0 R >>",
            2: b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
            3: b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R %s /Resources << /Font << /F1 5 0 R >> %s >> >>"
            % (page, resources),
            4: content,
            5: b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            **(more or {}),
        }
    )
