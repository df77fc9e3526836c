"""PPTX and XLSX: made here part by part, read through the pool's own worker function."""

from __future__ import annotations

import pytest

from mmkg.config import Limits
from mmkg.factsio import from_json
from mmkg.ingest.worker import parse
from mmkg.testing import office_files as office
from mmkg.testing.hostile_files import png


def read(path, data, **limits):
    path.write_bytes(data)
    header, _ = parse(path, Limits(**limits), 1000, False)
    assert header["status"] == "ok", header["reason"]
    return from_json(header["facts"])


def show() -> bytes:
    chart = office.chart_part("Ships by year", ["1951", "1962"], {"Tamar": [3, 0.1 + 0.2], "Korvane": [5, 7]})
    return office.pptx(
        [
            office.shape("Kept by Perpetua Gale", box=(50, 300, 200, 40))
            + office.shape("The Pellworth Gauge", placeholder="ctrTitle", box=(50, 50, 620, 100))
            + office.shape("12", placeholder="sldNum"),
            office.shape("Harrow Bay", placeholder="title")
            + office.table([["Keeper", "From"], ["Imogen Vance", "1951"], ["Tobias Merrow", "1962"]], box=(10, 20, 300, 90))
            + office.group(office.shape("in a group", box=(10, 10, 10, 10)), box=(100, 100, 200, 200), inner_box=(0, 0, 100, 100)),
            office.chart("ch")
            + office.picture("pic", alt="The lamp room at night", box=(360, 200, 300, 300))
            + office.picture("out", alt="from elsewhere"),
        ],
        notes={2: "Say that Anselm Quarrie\nbuilt it."},
        parts={"ppt/charts/chart1.xml": chart, "ppt/media/image1.png": png(60, 50)},
        links={
            "ch": ("chart", "../charts/chart1.xml"),
            "pic": ("image", "../media/image1.png"),
            "out": ("image", "http://127.0.0.1:9/x.png"),
        },
        title="Lights of the Bay",
    )  # fmt: skip


def test_slides_are_pages_with_titles_tables_charts_pictures_and_notes(tmp_path):
    facts = read(tmp_path / "a.pptx", show())
    assert (facts.name, facts.meta["author"]) == ("Lights of the Bay", "Imogen Vance")
    assert [(p.number, p.width, p.height) for p in facts.pages] == [(n, 72_000, 54_000) for n in (1, 2, 3)]
    assert [s.heading for s in facts.sections] == ["The Pellworth Gauge", "Harrow Bay"]
    assert facts.text[facts.pages[0].start : facts.pages[0].end] == "The Pellworth Gauge\n\nKept by Perpetua Gale"
    second = facts.text[facts.pages[1].start : facts.pages[1].end]
    assert "Keeper: Imogen Vance; From: 1951\nKeeper: Tobias Merrow; From: 1962" in second
    assert second.endswith("Say that Anselm Quarrie\n\nbuilt it.")
    third = facts.text[facts.pages[2].start : facts.pages[2].end]
    assert "Ships by year\n\n1951; Tamar: 3; Korvane: 5\n1962; Tamar: 0.3; Korvane: 7" in third
    lines = {facts.text[x.start : x.end]: x.box for p in facts.pages for x in p.lines}
    assert lines["Kept by Perpetua Gale"] == (5_000, 30_000, 25_000, 34_000)
    assert lines["in a group"] == (12_000, 12_000, 14_000, 14_000)
    (image,) = [u for u in facts.units if u.label == "Image"]
    assert (image.page, image.box, image.width) == (3, (36_000, 20_000, 66_000, 50_000), 60)
    assert facts.words(image) == "The lamp room at night"
    tables = [u for u in facts.units if u.kind == "table"]
    assert [(u.page, u.box) for u in tables] == [(2, (1_000, 2_000, 31_000, 11_000)), (3, None)]


def book() -> bytes:
    c = office.cell
    return office.xlsx(
        {
            "Keepers": [
                (1, [c("A1", "Keepers of the Pellworth Gauge", kind="inlineStr")]),
                (3, [c("A3", 0, kind="s"), c("B3", 1, kind="s"), c("D3", "Share", kind="inlineStr")]),
                (4, [c("A4", 2, kind="s"), c("B4", 25405, style=1), c("D4", 0.125, style=2)]),
                (5, [c("A5", 3, kind="s"), c("B5", 25405.5, style=3), c("C5", None), c("D5", "#N/A", kind="e")]),
                (6, [c("A6", "Sum", kind="str"), c("D6", 0.30000000000000004, formula="SUM(D4:D5)")]),
                (7, [c("A7", "Left", kind="str"), c("D7", None, formula="D6-1"), c("E7", 1, kind="b")]),
            ],
            "Empty & hidden": [(9, [c("A9", 99, kind="s")])],
            "Far": [(1048576, [c("XFD1048576", 12.5), c("ZZZ1048576", 1)])],
        },
        strings=["Keeper", "Since", "Imogen Vance", "Tobias Merrow"],
    )


def test_sheets_are_sections_with_rows_that_name_their_columns(tmp_path):
    facts = read(tmp_path / "a.xlsx", book())
    assert [s.heading for s in facts.sections] == ["Keepers", "Empty & hidden", "Far"]
    assert facts.text == (
        "Keepers\n\nKeepers of the Pellworth Gauge\n\n"
        "Keeper: Imogen Vance; Since: 1969-07-21; Share: 12.5%\n"
        "Keeper: Tobias Merrow; Since: 1969-07-21 12:00\n"
        "Keeper: Sum; Share: 0.3\n"
        "Keeper: Left; Share: =D6-1; TRUE\n\nEmpty & hidden\n\nFar\n\n12.5"
    )
    (rows,) = [u for u in facts.units if u.kind == "table"]
    assert len(rows.sentences) == 4, "a row is a sentence"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        pytest.param("a.pptx", lambda: office.pptx([office.shape("x")] * 9), "pages: 9 slides", id="slides"),
        pytest.param("a.pptx", lambda: show()[:-40], "damaged", id="cut slides"),
        pytest.param("a.xlsx", lambda: book()[:-40], "damaged", id="cut sheets"),
        pytest.param(
            "a.xlsx",
            lambda: office.xlsx(
                {"S": [(n, [office.cell(f"A{n}", 0, kind="s")]) for n in range(1, 5_000)]}, strings=["long " * 1000]
            ),
            "characters: ",
            id="a shared string",
        ),
        pytest.param(
            "a.xlsx",
            lambda: office.xlsx({"S": []}, parts={"xl/worksheets/sheet0.xml": b" " * 40_000_000}),
            "expanded_bytes: ",
            id="bomb",
        ),
        pytest.param("a.pptx", book, "name: ", id="sheets as slides"),
    ],
)  # fmt: skip
def test_bad_ones_are_refused_with_a_reason(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data())
    limits = Limits(pages=8, characters=1_000_000, expanded_bytes=10_000_000)
    header, _ = parse(tmp_path / name, limits, 1000, False)
    assert header["status"] == "rejected" and header["reason"].startswith(reason), header["reason"]
