"""PPTX and XLSX files made here, part by part, for tests: what a reader needs and nothing else."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape, quoteattr

_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_PACKAGE = "http://schemas.openxmlformats.org/package/2006"
_SPACES = (
    'xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main" '
    f'xmlns:r="{_OFFICE}" xmlns:p="http://schemas.openxmlformats.org/presentationml/2006/main" '
    'xmlns:c="http://schemas.openxmlformats.org/drawingml/2006/chart"'
)
_SHEET = f'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="{_OFFICE}"'


def container(parts: Mapping[str, str | bytes]) -> bytes:
    """A zip container of these parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", f'<Types xmlns="{_PACKAGE}/content-types"/>')
        for name, data in parts.items():
            archive.writestr(name, data)
    return out.getvalue()


def relations(items: Mapping[str, tuple[str, str]]) -> str:
    """A relations part: id -> (kind, target)."""
    rows = "".join(
        f'<Relationship Id="{i}" Type="{_OFFICE}/{kind}" Target={quoteattr(target)}'
        + (' TargetMode="External"' if "://" in target else "")
        + "/>"
        for i, (kind, target) in items.items()
    )
    return f'<Relationships xmlns="{_PACKAGE}/relationships">{rows}</Relationships>'


# ---- PPTX ----


def shape(text: str, *, placeholder: str = "", box: Sequence[int] = ()) -> str:
    """A text shape, one paragraph a line. placeholder: title, body, ftr, ... box: x, y, width, height in points."""
    kind = f'<p:nvPr><p:ph type="{placeholder}"/></p:nvPr>' if placeholder else "<p:nvPr/>"
    lines = "".join(f"<a:p><a:r><a:t>{escape(line)}</a:t></a:r></a:p>" for line in text.split("\n"))
    return f'<p:sp><p:nvSpPr><p:cNvPr id="2" name="x"/>{kind}</p:nvSpPr><p:spPr>{_place("a", box)}</p:spPr><p:txBody>{lines}</p:txBody></p:sp>'


def _place(space: str, box: Sequence[int]) -> str:
    if not box:
        return ""
    x, y, w, h = (12_700 * v for v in box)
    return f'<{space}:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="{w}" cy="{h}"/></{space}:xfrm>'


def group(inner: str, *, box: Sequence[int], inner_box: Sequence[int]) -> str:
    """A group whose own coordinates `inner_box` lie at `box` (both x, y, width, height in points)."""
    x, y, w, h = (12_700 * v for v in box)
    cx, cy, cw, ch = (12_700 * v for v in inner_box)
    place = f'<a:xfrm><a:off x="{x}" y="{y}"/><a:ext cx="{w}" cy="{h}"/><a:chOff x="{cx}" y="{cy}"/><a:chExt cx="{cw}" cy="{ch}"/></a:xfrm>'
    return f"<p:grpSp><p:grpSpPr>{place}</p:grpSpPr>{inner}</p:grpSp>"


def table(rows: Sequence[Sequence[str]], *, box: Sequence[int] = ()) -> str:
    """A table in a graphic frame."""
    body = "".join(
        "<a:tr>" + "".join(f"<a:tc><a:txBody><a:p><a:r><a:t>{escape(c)}</a:t></a:r></a:p></a:txBody></a:tc>" for c in row) + "</a:tr>"
        for row in rows
    )  # fmt: skip
    return f"<p:graphicFrame>{_place('p', box)}<a:graphic><a:graphicData><a:tbl>{body}</a:tbl></a:graphicData></a:graphic></p:graphicFrame>"


def chart(relation: str) -> str:
    """A frame that shows the chart of a relation."""
    return f'<p:graphicFrame><a:graphic><a:graphicData><c:chart r:id="{relation}"/></a:graphicData></a:graphic></p:graphicFrame>'


def chart_part(title: str, categories: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A chart part with its cached values."""

    def points(values: Sequence[object]) -> str:
        return "".join(f'<c:pt idx="{i}"><c:v>{escape(str(v))}</c:v></c:pt>' for i, v in enumerate(values))

    rows = "".join(
        f"<c:ser><c:tx><c:strRef><c:strCache>{points([name])}</c:strCache></c:strRef></c:tx>"
        f"<c:cat><c:strRef><c:strCache>{points(list(categories))}</c:strCache></c:strRef></c:cat>"
        f"<c:val><c:numRef><c:numCache>{points(list(values))}</c:numCache></c:numRef></c:val></c:ser>"
        for name, values in series.items()
    )
    return f"<c:chartSpace {_SPACES}><c:chart><c:title><c:tx><c:rich><a:p><a:r><a:t>{escape(title)}</a:t></a:r></a:p></c:rich></c:tx></c:title>{rows}</c:chart></c:chartSpace>"


def picture(relation: str, *, alt: str = "", box: Sequence[int] = ()) -> str:
    """A picture of a relation."""
    return f'<p:pic><p:nvPicPr><p:cNvPr id="4" name="p" descr={quoteattr(alt)}/></p:nvPicPr><p:blipFill><a:blip r:embed="{relation}"/></p:blipFill><p:spPr>{_place("a", box)}</p:spPr></p:pic>'


def pptx(
    slides: Sequence[str],
    *,
    notes: Mapping[int, str] | None = None,
    parts: Mapping[str, str | bytes] | None = None,
    links: Mapping[str, tuple[str, str]] | None = None,
    title: str = "",
) -> bytes:
    """A presentation of slides (the XML of their shapes), 720 x 540 points, in this order though their parts are not.

    notes: by number of the slide, from 1. parts, links: further parts, and relations that every slide has.
    """
    count = len(slides)
    made: dict[str, str | bytes] = {
        "_rels/.rels": relations(
            {"a": ("officeDocument", "ppt/presentation.xml"), "b": ("metadata/core-properties", "docProps/core.xml")}
        ),
        "docProps/core.xml": f'<cp xmlns:dc="http://purl.org/dc/elements/1.1/"><dc:title>{escape(title)}</dc:title><dc:creator>Imogen Vance</dc:creator></cp>',
        "ppt/presentation.xml": f"<p:presentation {_SPACES}><p:sldIdLst>"
        + "".join(f'<p:sldId id="{256 + n}" r:id="s{n}"/>' for n in range(count))
        + '</p:sldIdLst><p:sldSz cx="9144000" cy="6858000"/></p:presentation>',
        "ppt/_rels/presentation.xml.rels": relations(
            {f"s{n}": ("slide", f"slides/slide{count - n}.xml") for n in range(count)}
        ),
    }
    for n, shapes in enumerate(slides):
        name = f"slide{count - n}.xml"
        made[f"ppt/slides/{name}"] = f"<p:sld {_SPACES}><p:cSld><p:spTree>{shapes}</p:spTree></p:cSld></p:sld>"
        own = dict(links or {})
        if notes and n + 1 in notes:
            own["note"] = ("notesSlide", f"../notesSlides/n{n}.xml")
            made[f"ppt/notesSlides/n{n}.xml"] = (
                f"<p:notes {_SPACES}><p:cSld><p:spTree>{shape('page furniture', placeholder='sldNum')}"
                f"{shape(notes[n + 1], placeholder='body')}</p:spTree></p:cSld></p:notes>"
            )
        made[f"ppt/slides/_rels/{name}.rels"] = relations(own)
    return container(made | dict(parts or {}))


# ---- XLSX ----


def cell(reference: str, value: object, *, kind: str = "", style: int = 0, formula: str = "") -> str:
    """A cell as XML. kind: "" number, s shared string, inlineStr, b, e, str."""
    about = f' t="{kind}"' if kind else ""
    inside = f"<f>{escape(formula)}</f>" if formula else ""
    if kind == "inlineStr":
        inside += f"<is><t>{escape(str(value))}</t></is>"
    elif value is not None:
        inside += f"<v>{escape(str(value))}</v>"
    return f'<c r="{reference}"{about} s="{style}">{inside}</c>'


def xlsx(
    sheets: Mapping[str, Sequence[tuple[int, Sequence[str]]]],
    *,
    strings: Sequence[str] = (),
    parts: Mapping[str, str | bytes] | None = None,
) -> bytes:
    """A workbook: name -> rows (number, cells as XML). Styles: 0 plain, 1 a day, 2 a share, 3 a day by a format of its own."""
    names = list(sheets)
    made: dict[str, str | bytes] = {
        "_rels/.rels": relations({"a": ("officeDocument", "xl/workbook.xml")}),
        "xl/workbook.xml": f"<workbook {_SHEET}><sheets>"
        + "".join(f'<sheet name={quoteattr(n)} sheetId="{k + 1}" r:id="r{k}"/>' for k, n in enumerate(names))
        + "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": relations(
            {f"r{k}": ("worksheet", f"worksheets/sheet{k}.xml") for k in range(len(names))}
            | {"t": ("sharedStrings", "sharedStrings.xml"), "u": ("styles", "styles.xml")}
        ),
        "xl/sharedStrings.xml": f"<sst {_SHEET}>" + "".join(f"<si><t>{escape(s)}</t></si>" for s in strings) + "</sst>",
        "xl/styles.xml": f'<styleSheet {_SHEET}><numFmts><numFmt numFmtId="170" formatCode="dd/mm/yyyy &quot;h&quot;"/></numFmts>'
        '<cellXfs><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="10"/><xf numFmtId="170"/></cellXfs></styleSheet>',
    }
    for k, name in enumerate(names):
        rows = "".join(f'<row r="{number}">{"".join(cells)}</row>' for number, cells in sheets[name])
        made[f"xl/worksheets/sheet{k}.xml"] = f"<worksheet {_SHEET}><sheetData>{rows}</sheetData></worksheet>"
    return container(made | dict(parts or {}))
