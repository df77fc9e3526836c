"""DOCX files made with python-docx, and containers made by hand where it would refuse to write them."""

import io
import zipfile
from dataclasses import replace
from pathlib import Path

import docx
import pytest
from docx.shared import Inches
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError
from mmkg.ingest.docx import load_docx
from mmkg.ingest.raw import RawDocument

MEDIA_TYPE = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"


def load(path: Path, ocr: bool = False, **limits: int) -> RawDocument:
    raw = load_docx(path, MEDIA_TYPE, replace(Limits(), **limits), ocr)
    end = 0
    for block in raw.blocks:
        assert end <= block.start < block.end <= len(raw.text)
        end = block.end
    return raw


def save(document, path: Path) -> Path:
    document.save(str(path))
    return path


def blocks(raw: RawDocument) -> list[tuple[str, str]]:
    return [(b.kind, raw.text[b.start : b.end]) for b in raw.blocks]


def png(colour: str = "red", size: tuple[int, int] = (120, 90), form: str = "PNG") -> io.BytesIO:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    out.seek(0)
    return out


def rewritten(path: Path, changes: dict[str, bytes], *, drop: tuple[str, ...] = ()) -> Path:
    with zipfile.ZipFile(path) as old:
        parts = {n: old.read(n) for n in old.namelist() if n not in drop}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name, data in {**parts, **changes}.items():
            new.writestr(name, data)
    return path


def body_xml(inner: str) -> bytes:
    space = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
    return f'<?xml version="1.0"?><w:document xmlns:w="{space}"><w:body>{inner}</w:body></w:document>'.encode()


# ---- What is read ---------------------------------------------------------------------------------------------------


def test_paragraphs_headings_lists_and_properties(tmp_path):
    d = docx.Document()
    d.core_properties.title = "Recovery of Apollo 11"
    d.core_properties.author = "R. Writer"
    d.add_heading("Recovery", level=1)
    d.add_paragraph("The capsule landed  in the\tPacific.")
    d.add_heading("Ships", level=2)
    d.add_paragraph("USS Hornet", style="List Bullet")
    d.add_paragraph("Helicopter 66", style="List Bullet")
    raw = load(save(d, tmp_path / "a.docx"))
    assert blocks(raw) == [
        ("heading", "Recovery"),
        ("text", "The capsule landed in the Pacific."),
        ("heading", "Ships"),
        ("text", "USS Hornet"),
        ("text", "Helicopter 66"),
    ]
    assert [b.level for b in raw.blocks if b.kind == "heading"] == [1, 2]
    assert raw.text == "Recovery\n\nThe capsule landed in the Pacific.\n\nShips\n\nUSS Hornet\nHelicopter 66"
    assert raw.name == "Recovery of Apollo 11" and raw.meta["author"] == "R. Writer"
    assert raw.pages == () and raw.notes == ()


def test_a_title_paragraph_names_a_document_without_properties(tmp_path):
    d = docx.Document()
    d.core_properties.title = "Microsoft Word - draft.docx"
    d.add_heading("The Command Module", level=0)
    d.add_paragraph("It was named Columbia.")
    assert load(save(d, tmp_path / "a.docx")).name == "The Command Module"


def test_a_heading_style_of_ones_own_keeps_the_level_it_builds_on(tmp_path):
    d = docx.Document()
    style = d.styles.add_style("House Heading", 1)
    style.base_style = d.styles["Heading 2"]
    d.add_paragraph("Splashdown", style=style)
    raw = load(save(d, tmp_path / "a.docx"))
    assert [(b.kind, b.level) for b in raw.blocks] == [("heading", 2)]


def test_table_rows_are_lines_and_cells_are_parted_by_bars(tmp_path):
    d = docx.Document()
    rows = [["Mission", "Ship"], ["Apollo 11", "Hornet"], ["Apollo 13", "Iwo | Jima"]]
    table = d.add_table(rows=3, cols=2)
    for r, row in enumerate(rows):
        for c, text in enumerate(row):
            table.cell(r, c).text = text
    raw = load(save(d, tmp_path / "a.docx"))
    assert blocks(raw) == [("table", "Mission: Apollo 11; Ship: Hornet\nMission: Apollo 13; Ship: Iwo | Jima")]


def test_deleted_text_is_gone_and_footnotes_come_last(tmp_path):
    d = docx.Document()
    d.add_paragraph("x")
    path = save(d, tmp_path / "a.docx")
    notes = body_xml("").replace(b"document", b"footnotes").replace(b"<w:body></w:body>", (
        b'<w:footnote w:type="separator" w:id="0"><w:p><w:r><w:t>line</w:t></w:r></w:p></w:footnote>'
        b'<w:footnote w:id="1"><w:p><w:r><w:t>A note below.</w:t></w:r></w:p></w:footnote>'
    ))  # fmt: skip
    with zipfile.ZipFile(path) as z:
        relations = z.read("word/_rels/document.xml.rels")
    kind = b"http://schemas.openxmlformats.org/officeDocument/2006/relationships/footnotes"
    relations = relations.replace(
        b"</Relationships>", b'<Relationship Id="f1" Type="' + kind + b'" Target="footnotes.xml"/></Relationships>'
    )
    rewritten(path, {
        "word/document.xml": body_xml(
            "<w:p><w:r><w:t>Kept</w:t></w:r><w:del><w:r><w:delText>gone</w:delText><w:t>gone</w:t></w:r></w:del>"
            "<w:ins><w:r><w:t xml:space='preserve'> and added</w:t></w:r></w:ins></w:p>"
        ),
        "word/footnotes.xml": notes, "word/_rels/document.xml.rels": relations,
    })  # fmt: skip
    assert load(path).text == "Kept and added\n\nA note below."


def test_pictures_keep_their_bytes_and_find_their_captions(tmp_path):
    d = docx.Document()
    d.add_paragraph("Before.")
    d.add_picture(png("red"), width=Inches(2))
    d.add_paragraph("Figure 1: The red one.", style="Caption")
    d.add_paragraph("Figure 2. Above the blue one.")
    d.add_picture(png("blue", form="BMP"), width=Inches(2))
    d.add_paragraph("After.")
    path = save(d, tmp_path / "a.docx")
    raw = load(path)
    assert [(f.label, raw.text[slice(*f.caption)]) for f in raw.figures] == [
        ("figure 1", "Figure 1: The red one."),
        ("figure 2", "Figure 2. Above the blue one."),
    ]
    assert raw.figures[0].data == png("red").getvalue()
    converted = Image.open(io.BytesIO(raw.figures[1].data))
    assert converted.format == "PNG" and converted.getpixel((5, 5)) == (0, 0, 255)
    assert (raw.figures[0].width, raw.figures[0].height) == (120, 90)
    assert [text for _, text in blocks(raw)] == [
        "Before.",
        "Figure 1: The red one.",
        "Figure 2. Above the blue one.",
        "After.",
    ]


def test_an_alternative_text_is_the_caption_of_a_picture_without_one(tmp_path):
    d = docx.Document()
    for text in ("The hatch of the capsule", "Picture 7"):
        d.add_picture(png(), width=Inches(1))
        d.paragraphs[-1]._p.xpath(".//wp:docPr")[0].set("descr", text)
        d.add_paragraph("Some words.")
    raw = load(save(d, tmp_path / "a.docx"))
    assert [f.caption and raw.text[slice(*f.caption)] for f in raw.figures] == ["The hatch of the capsule", None]


@pytest.mark.models
def test_words_in_a_picture_are_read(tmp_path):
    image = Image.new("RGB", (600, 200), "white")
    ImageDraw.Draw(image).text((50, 60), "HEAT SHIELD", font=ImageFont.load_default(size=64), fill="black")
    out = io.BytesIO()
    image.save(out, "PNG")
    d = docx.Document()
    d.add_picture(out, width=Inches(4))
    raw = load(save(d, tmp_path / "a.docx"), ocr=True)
    assert raw.text[slice(*raw.figures[0].words)] == "HEAT SHIELD"


# ---- What is refused or left alone ----------------------------------------------------------------------------------


def test_relations_that_lead_outside_are_not_followed(tmp_path):
    d = docx.Document()
    d.add_picture(png(), width=Inches(1))
    path = save(d, tmp_path / "a.docx")
    (tmp_path / "secret.png").write_bytes(png("green").getvalue())
    with zipfile.ZipFile(path) as z:
        relations = z.read("word/_rels/document.xml.rels").decode()
    for target in ("https://example.com/a.png", "file:///etc/passwd", "../../secret.png", "../../../../../etc/passwd"):
        for mode in (' TargetMode="External"', ""):
            changed = relations.replace('Target="media/image1.png"', f'Target="{target}"{mode}')
            assert changed != relations
            raw = load(rewritten(path, {"word/_rels/document.xml.rels": changed.encode()}))
            assert raw.figures == ()


def test_entities_are_not_expanded(tmp_path):
    path = save(docx.Document(), tmp_path / "a.docx")
    (tmp_path / "secret.txt").write_text("top secret")
    bomb = b'<!DOCTYPE w [<!ENTITY a "AAAAAAAAAA"><!ENTITY b "&a;&a;&a;&a;"><!ENTITY f SYSTEM "file://%s">]>' % (
        str(tmp_path / "secret.txt").encode()
    )
    xml = body_xml("<w:p><w:r><w:t>start &b;&f; end</w:t></w:r></w:p>").replace(
        b"<w:document", bomb + b"<w:document", 1
    )
    raw = load(rewritten(path, {"word/document.xml": xml}))
    assert "AAAA" not in raw.text and "secret" not in raw.text


def test_millions_of_empty_paragraphs_hit_the_limit_before_they_are_read(tmp_path):
    path = save(docx.Document(), tmp_path / "a.docx")
    rewritten(path, {"word/document.xml": body_xml("<w:p/>" * 6_000_000)})
    assert path.stat().st_size < 200_000
    with pytest.raises(LimitExceededError, match="fold") as caught:
        load(path)
    assert caught.value.limit == "expanded_bytes" and caught.value.path == path


@pytest.mark.parametrize(
    ("limit", "value"), [("expanded_bytes", 10_000), ("characters", 30), ("pixels", 5_000)], ids=lambda v: str(v)
)
def test_limits_are_named(tmp_path, limit, value):
    d = docx.Document()
    d.add_paragraph("Words enough to pass a limit of thirty characters.")
    d.add_picture(png(), width=Inches(1))
    path = save(d, tmp_path / "a.docx")
    load(path)
    with pytest.raises(LimitExceededError) as caught:
        load(path, **{limit: value})
    assert caught.value.limit == limit


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lambda whole: whole[: len(whole) // 2], "truncated DOCX"),
        (lambda whole: b"no container at all", "not a DOCX"),
        (lambda whole: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600 + "EncryptedPackage".encode("utf-16-le"), "needs a password"),
        (lambda whole: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600, "old Word format"),
    ],
    ids=["truncated", "garbage", "encrypted", "doc"],
)  # fmt: skip
def test_a_broken_file_says_why(tmp_path, data, reason):
    path = save(docx.Document(), tmp_path / "a.docx")
    path.write_bytes(data(path.read_bytes()))
    with pytest.raises(LoadError, match=reason):
        load(path)


def test_broken_parts_are_named(tmp_path):
    path = save(docx.Document(), tmp_path / "a.docx")
    rewritten(path, {"word/document.xml": body_xml("<w:p>")[:-20]})
    with pytest.raises(LoadError, match="not valid XML"):
        load(path)
    with pytest.raises(LoadError, match="no document part"):
        load(rewritten(path, {}, drop=("word/document.xml",)))


def test_a_damaged_picture_costs_only_itself(tmp_path):
    d = docx.Document()
    d.add_picture(png(), width=Inches(1))
    d.add_paragraph("Text after it.")
    path = save(d, tmp_path / "a.docx")
    raw = load(rewritten(path, {"word/media/image1.png": png().getvalue()[:60]}))
    assert raw.text == "Text after it." and raw.figures == ()
    assert raw.notes == ("1 picture could not be read (damaged, or a format such as EMF)",)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.floats(0, 1), byte=st.integers(0, 255), cut=st.floats(0.5, 1))
def test_a_damaged_container_gives_a_document_or_a_load_error(tmp_path, at, byte, cut):
    path = tmp_path / "b.docx"
    if not (tmp_path / "good").exists():
        d = docx.Document()
        d.add_paragraph("Some text.")
        d.add_picture(png(), width=Inches(1))
        save(d, tmp_path / "good")
    data = bytearray((tmp_path / "good").read_bytes())
    data[int(at * (len(data) - 1))] = byte
    path.write_bytes(bytes(data[: int(cut * len(data))]))
    try:
        load(path)
    except LoadError as e:
        assert str(e)
