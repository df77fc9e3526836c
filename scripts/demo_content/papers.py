"""The two reports of the demo archive: a tide report as PDF and a restoration report as DOCX."""

from __future__ import annotations

import datetime
import io
import zipfile

from demo_content.diagrams import stair_drawing, tide_curve
from demo_content.pdf import PdfPage, write_pdf

LEVELS = (
    ("Month", "Mean level (m)", "Highest (m)", "Lowest (m)", "Days read"),
    ("January", "2.81", "5.31", "0.22", "31"),
    ("February", "2.79", "5.24", "0.31", "28"),
    ("March", "2.86", "5.77", "0.18", "31"),
    ("April", "2.74", "4.96", "0.35", "30"),
    ("May", "2.70", "4.71", "0.47", "31"),
    ("June", "2.69", "4.66", "0.52", "30"),
    ("July", "2.71", "4.70", "0.49", "29"),
    ("August", "2.73", "4.88", "0.40", "31"),
    ("September", "2.77", "5.19", "0.26", "30"),
    ("October", "2.83", "5.33", "0.20", "31"),
    ("November", "2.88", "5.52", "0.16", "26"),
    ("December", "2.85", "5.46", "0.21", "31"),
)

COSTS = (
    ("Part", "Work", "Cost (crowns)"),
    ("Masonry, south face", "Repointing in lime, 310 square metres", "48,200"),
    ("Bell Stair", "New treads, 9 of 24", "12,750"),
    ("Gull Stair", "New treads, 7 of 12", "9,400"),
    ("North rail", "Iron replaced by bronze", "21,600"),
    ("Lantern glazing", "4 of 32 panes", "6,150"),
)


def tide_report() -> bytes:
    """Two pages of text with a figure and a ruled table."""
    left, width = 64, 467
    one, two = PdfPage(), PdfPage()
    one.text(left, 62, "Vellamar Sound Observatory", 10, "F3", 0.35)
    one.text(left, 98, "The tide station on Korvane Holm: report for 1963", 18, "F2")
    one.text(left, 120, "Linnea Osterhold, director. Vellamar, 20 April 1964.", 10.5, "F3", 0.25)
    one.rule(left, 132, left + width, 132)
    y = 160.0
    one.text(left, y, "1. The station", 13, "F2")
    y = (
        one.paragraph(
            left,
            y + 20,
            (
                "The station lies in a natural slot in the granite below the boat landing, sheltered from every direction but the "
                "one the weather comes from. Levels have been read here since the winter of 1887, at first twice a day by eye and "
                "later without interruption on paper. No other record on this coast is as long, and only two are as dull, which in "
                "a tide record is a compliment."
            ),
            width,
        )
        + 12
    )
    one.text(left, y, "2. The instrument", 13, "F2")
    y = (
        one.paragraph(
            left,
            y + 20,
            (
                "The first recording instrument stood in a wooden hut and served for nineteen years. It was destroyed in the Saint "
                "Aldric Storm and replaced three years later by the Pellworth Gauge. The new instrument has a float of copper in a "
                "stilling well forty centimetres wide, open to the sea only through a narrow pipe, so that waves are lost and the "
                "tide remains. A clock turns the drum once a week. The clock gains four minutes a month, and has done so for forty "
                "years, which makes it the most reliable thing on the island."
            ),
            width,
        )
        + 5
    )
    y = (
        one.paragraph(
            left,
            y,
            (
                "During 1963 the observer visited the station 101 times. Two visits failed because of the swell and one because "
                "of a seal on the ladder."
            ),
            width,
        )
        + 12
    )
    one.text(left, y, "3. The surge of March", 13, "F2")
    y = (
        one.paragraph(
            left,
            y + 20,
            (
                "The highest level of the year came in the night of 7 March, when a wind from the south-west held the ebb back for "
                "five hours. Figure 1 shows the curve of those days. The peak stands more than a metre above the tide that had been "
                "predicted. No damage was reported, apart from a rowing boat that was found in a turnip field."
            ),
            width,
        )
        + 10
    )
    y = one.picture(left, y, width, tide_curve()) + 14
    one.text(left, y, "Figure 1. Levels at the station from 5 to 8 March 1963, in metres above chart datum.", 9.5, "F3")
    one.text(left + width - 10, 806, "1", 9.5)

    y = 74.0
    two.text(left, y, "4. Levels month by month", 13, "F2")
    y = (
        two.paragraph(
            left,
            y + 20,
            (
                "Table 1 gives the mean, the highest and the lowest level of each month. The mean of the year is 2.78 m, one "
                "centimetre above that of 1962. Days on which the pen ran dry are left out; there were five, all but two of them in "
                "November, when the ink was the wrong kind."
            ),
            width,
        )
        + 14
    )
    two.text(left, y, "Table 1. Levels of 1963 in metres above chart datum.", 9.5, "F3")
    y = two.table(left, y + 8, (107, 95, 90, 90, 85), LEVELS) + 34
    two.text(left, y, "5. Remarks", 13, "F2")
    y = (
        two.paragraph(
            left,
            y + 20,
            (
                "Levels are counted from chart datum, which on this coast is the lowest tide that can be predicted for the slot "
                "itself. The bench mark is a brass bolt in the third step of the landing. It was levelled in May and had not moved. "
                "The ladder was painted in June and had moved. On the mainland, the gauge that was destroyed in the Candlemas "
                "Storm of 1938 was replaced by the Marrow Quay Gauge, whose levels are reported separately."
            ),
            width,
        )
        + 5
    )
    y = two.paragraph(
        left,
        y,
        (
            "The observatory proposes to send the readings to the mainland by wire. The power for this is now on the island. "
            "The cost of a transmitter is about that of forty-five years of paper, and the director is prepared to wait."
        ),
        width,
    )
    two.text(left + width - 10, 806, "2", 9.5)
    return write_pdf([one, two], title="The tide station on Korvane Holm: report for 1963", author="Linnea Osterhold")


def scanned_pdf(picture: object) -> bytes:
    """A PDF of one page that is only a picture."""
    page = PdfPage()
    page.picture(0, 0, page.size[0], picture, quality=72)  # type: ignore[arg-type]
    return write_pdf([page])


def restoration_report() -> bytes:
    """A Word document with headings, a table and a drawing; its dates are fixed."""
    from docx import Document
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Cm, Pt

    doc = Document()
    when = datetime.datetime(2011, 9, 12, 10, 0, 0)
    properties = doc.core_properties
    properties.title = "Restoring the tower, 2009 to 2011"
    properties.author, properties.last_modified_by = "Corvin Aldous Maye", "Corvin Aldous Maye"
    properties.created = properties.modified = properties.last_printed = when
    properties.comments, properties.revision = "", 1
    doc.styles["Normal"].font.size = Pt(11)

    doc.add_heading("Restoring the tower, 2009 to 2011", 0)
    doc.add_paragraph("Final report to the Friends of Korvane, by Corvin Aldous Maye, surveyor. 12 September 2011.")
    doc.add_heading("What was found", 1)
    doc.add_paragraph(
        "The survey of 2008 found the granite sound and everything fixed to it in poor order. Salt had opened the joints of "
        "the south face to the depth of a hand. The iron of the north rail had rusted from the inside, so that it looked "
        "well and held nothing. Of the two outdoor stairs one was worn and the other was moving."
    )
    doc.add_paragraph(
        "Nobody had been hurt, which the surveyor puts down to the habit of the visitors of looking where they put their "
        "feet, and to the habit of the gulls of making that necessary."
    )
    doc.add_heading("The masonry", 1)
    doc.add_paragraph(
        "All cement from the repairs of 1961 was cut out and replaced by lime. The work took two summers, since lime will "
        "not set in frost and the scaffold could not stand in a gale. The stone for new pieces came from the old Harrow "
        "quarry, where the last usable bed was found behind a fish smokehouse. It will smell for some years."
    )
    doc.add_heading("The stairs", 1)
    doc.add_paragraph(
        "Tamsin Arkwell rebuilt the Gull Stair in the summer of 2010, working alone and from a rope. Seven of its twelve "
        "treads are new, and the drawing below shows which. She numbered every stone she took out, and put back five that "
        "the contract would have thrown away."
    )
    doc.add_paragraph(
        "Piers Undry rebuilt the Bell Stair with two apprentices in the spring of 2011. It is the longer of the two and "
        "leads from the yard to the old fog bell. Nine of its twenty-four treads are new. Those who paid for the stairs are "
        "named on the board in the entrance and not, at their request, in this report."
    )
    picture = io.BytesIO()
    stair_drawing().save(picture, "PNG", optimize=True)
    picture.seek(0)
    doc.add_picture(picture, width=Cm(13))
    doc.paragraphs[-1].alignment = WD_ALIGN_PARAGRAPH.CENTER
    doc.add_paragraph("Figure 1. Side view of the shorter stair, with the new treads marked.", style="Caption")
    doc.add_heading("Costs", 1)
    doc.add_paragraph(
        "The table gives the main parts of the work. Transport, at 17,300 crowns, is mostly boat fuel and tea."
    )
    table = doc.add_table(rows=0, cols=3, style="Table Grid")
    for row in COSTS:
        for cell, words in zip(table.add_row().cells, row, strict=True):
            cell.text = words
    doc.add_heading("What remains", 1)
    doc.add_paragraph(
        "The lantern roof should be looked at again in 2021. The lightning rod is bent and works. The door key is a copy; the "
        "original is believed to be in the post."
    )
    data = io.BytesIO()
    doc.save(data)
    return _without_dates(data.getvalue())


def _without_dates(data: bytes) -> bytes:
    """The same zip archive with every entry dated 1 January 1980, so that equal content gives equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o600 << 16
            new.writestr(entry, old.read(name))
    return out.getvalue()
