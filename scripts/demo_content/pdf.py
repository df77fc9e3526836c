"""A small PDF writer: lines of Helvetica, ruled tables, pictures. Same input, same bytes."""

from __future__ import annotations

import io
import zlib
from collections.abc import Sequence

from PIL import Image

A4 = (595, 842)
# Advance widths of Helvetica, in thousandths of the size, for the printable ASCII characters.
_WIDTHS = (
    "278 278 355 556 556 889 667 191 333 333 389 584 278 333 278 278 556 556 556 556 556 556 556 556 556 556 278 278 584 "
    "584 584 556 1015 667 667 722 722 667 611 778 722 278 500 667 556 833 722 778 667 778 722 667 611 722 667 944 667 667 "
    "611 278 278 278 469 556 333 556 556 500 556 556 278 556 556 222 222 500 222 833 556 556 556 556 333 500 278 556 500 "
    "722 500 500 500 334 260 334 584"
)
WIDTHS = dict(zip(map(chr, range(32, 127)), map(int, _WIDTHS.split()), strict=True))


def text_width(words: str, size: float) -> float:
    """Width of one line of Helvetica in points. Raises KeyError for a character outside ASCII."""
    return sum(WIDTHS[c] for c in words) * size / 1000


def wrap(words: str, size: float, width: float) -> list[str]:
    """Lines no wider than `width` points, broken at spaces."""
    lines: list[str] = []
    for word in words.split():
        if lines and text_width(f"{lines[-1]} {word}", size) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


class PdfPage:
    """One page; positions are in points from the top left corner."""

    def __init__(self, size: tuple[int, int] = A4) -> None:
        self.size = size
        self.operators: list[str] = []
        self.pictures: list[tuple[str, bytes]] = []

    def text(self, x: float, y: float, words: str, size: float = 10.5, font: str = "F1", grey: float = 0.1) -> None:
        """One line with its baseline at y. font: F1 regular, F2 bold, F3 oblique."""
        escaped = words.replace("\\", r"\\").replace("(", r"\(").replace(")", r"\)")
        self.operators.append(f"BT {grey:g} g /{font} {size:g} Tf {x:.2f} {self.size[1] - y:.2f} Td ({escaped}) Tj ET")

    def paragraph(self, x: float, y: float, words: str, width: float, size: float = 10.5, lead: float = 14.5) -> float:
        """Wrapped lines from y down; returns the y after the last one."""
        for line in wrap(words, size, width):
            self.text(x, y, line, size)
            y += lead
        return y

    def rule(self, x0: float, y0: float, x1: float, y1: float, width: float = 0.6) -> None:
        top = self.size[1]
        self.operators.append(f"{width:g} w 0.35 G {x0:.2f} {top - y0:.2f} m {x1:.2f} {top - y1:.2f} l S")

    def table(
        self, x: float, y: float, columns: Sequence[float], rows: Sequence[Sequence[str]], lead: float = 17
    ) -> float:
        """A ruled table, its first row in bold; columns are widths in points. Returns the y of its lower edge."""
        right, bottom = x + sum(columns), y + lead * len(rows)
        for k in range(len(rows) + 1):
            self.rule(x, y + lead * k, right, y + lead * k, 1.0 if k in (0, 1, len(rows)) else 0.4)
        edge = x
        for width in (*columns, 0):
            self.rule(edge, y, edge, bottom, 0.4)
            edge += width
        for r, row in enumerate(rows):
            edge = x
            for width, cell in zip(columns, row, strict=True):
                self.text(edge + 6, y + lead * r + 12, cell, 9.5, "F2" if r == 0 else "F1")
                edge += width
        return bottom

    def picture(self, x: float, y: float, width: float, image: Image.Image, quality: int = 80) -> float:
        """A picture as JPEG, scaled to `width` points; returns the y of its lower edge."""
        height = width * image.height / image.width
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        name = f"Im{len(self.pictures)}"
        space = "DeviceGray" if image.mode == "L" else "DeviceRGB"
        head = (
            f"<< /Type /XObject /Subtype /Image /Width {image.width} /Height {image.height} /ColorSpace /{space} "
            f"/BitsPerComponent 8 /Filter /DCTDecode /Length {data.tell()} >>"
        )
        self.pictures.append((head, data.getvalue()))
        self.operators.append(f"q {width:.2f} 0 0 {height:.2f} {x:.2f} {self.size[1] - y - height:.2f} cm /{name} Do Q")
        return y + height


def write_pdf(pages: Sequence[PdfPage], *, title: str = "", author: str = "") -> bytes:
    """The bytes of a PDF 1.4 file with these pages. No date is written, so that equal pages give equal bytes."""
    objects: list[bytes] = [b"", b""]  # the catalogue and the page tree, filled in below

    def add(body: bytes) -> int:
        objects.append(body)
        return len(objects)

    fonts = " ".join(
        f"/F{k} {add(f'<< /Type /Font /Subtype /Type1 /BaseFont /{name} /Encoding /WinAnsiEncoding >>'.encode())} 0 R"
        for k, name in enumerate(("Helvetica", "Helvetica-Bold", "Helvetica-Oblique"), start=1)
    )
    kids = []
    for page in pages:
        pictures = " ".join(
            f"/Im{k} {add(_stream(head.encode(), data))} 0 R" for k, (head, data) in enumerate(page.pictures)
        )
        packed = zlib.compress("\n".join(page.operators).encode("latin-1"), 9)
        content = add(_stream(f"<< /Filter /FlateDecode /Length {len(packed)} >>".encode(), packed))
        kids.append(
            add(
                f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {page.size[0]} {page.size[1]}] /Contents {content} 0 R "
                f"/Resources << /Font << {fonts} >> /XObject << {pictures} >> >> >>".encode()
            )
        )
    info = add(f"<< /Title ({title}) /Author ({author}) >>".encode("latin-1")) if title or author else 0
    objects[0] = b"<< /Type /Catalog /Pages 2 0 R >>"
    objects[1] = f"<< /Type /Pages /Count {len(kids)} /Kids [{' '.join(f'{k} 0 R' for k in kids)}] >>".encode()
    out = io.BytesIO()
    out.write(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places = []
    for number, body in enumerate(objects, start=1):
        places.append(out.tell())
        out.write(f"{number} 0 obj\n".encode() + body + b"\nendobj\n")
    start = out.tell()
    out.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    out.write(b"".join(f"{place:010d} 00000 n \n".encode() for place in places))
    tail = f" /Info {info} 0 R" if info else ""
    out.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R{tail} >>\nstartxref\n{start}\n%%EOF\n".encode())
    return out.getvalue()


def _stream(head: bytes, data: bytes) -> bytes:
    return head + b"\nstream\n" + data + b"\nendstream"
