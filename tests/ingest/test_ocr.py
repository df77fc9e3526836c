"""Reading words in pictures with the packaged weights."""

import hashlib
import subprocess
import sys
import textwrap

import pytest
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from mmkg.errors import WeightsError
from mmkg.ingest import ocr
from mmkg.ingest.layout import reading_order

pytestmark = pytest.mark.models


def page(*texts: tuple[int, int, str], size: tuple[int, int] = (900, 500), letter: int = 36) -> Image.Image:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    for x, y, words in texts:
        draw.text((x, y), words, font=ImageFont.load_default(size=letter), fill="black")
    return image


def test_lines_come_in_reading_order_with_boxes_and_confidence():
    image = page((60, 300, "Third line"), (60, 60, "First line"), (500, 64, "beside it"), (60, 180, "Second line"))
    lines = ocr.read_words(image)
    assert [line.text for line in lines] == ["First line", "beside it", "Second line", "Third line"]
    for line, (x, y) in zip(lines, ((60, 60), (500, 64), (60, 180), (60, 300)), strict=True):
        x0, y0, x1, y1 = line.box
        assert abs(x0 - x) < 15 and y0 - 5 < y + 20 < y1 and x1 <= image.width and 0.75 <= line.confidence <= 1


@pytest.mark.parametrize("scale", [0.3, 3.0])
def test_boxes_are_in_the_pixels_of_the_picture_given(scale):
    base = page((60, 60, "TRANQUILITY BASE"), letter=60)
    image = base.resize((round(base.width * scale), round(base.height * scale)), Image.Resampling.LANCZOS)
    (line,) = ocr.read_words(image)
    assert line.text == "TRANQUILITY BASE"
    assert abs(line.box[0] - 60 * scale) < 12 * scale + 3


def test_light_letters_and_transparent_grounds_are_read():
    image = Image.new("RGBA", (500, 160), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((40, 40), "EAGLE", font=ImageFont.load_default(size=60), fill=(10, 10, 10, 255))
    assert [line.text for line in ocr.read_words(image)] == ["EAGLE"]
    dark = Image.new("L", (500, 160), 20)
    ImageDraw.Draw(dark).text((40, 40), "EAGLE", font=ImageFont.load_default(size=60), fill=235)
    assert [line.text for line in ocr.read_words(dark)] == ["EAGLE"]


@pytest.mark.parametrize(
    "image",
    [
        Image.effect_noise((400, 400), 60),
        Image.effect_noise((60, 60), 100).resize((600, 600)).filter(ImageFilter.GaussianBlur(5)),
        Image.linear_gradient("L").resize((500, 300)),
        Image.new("RGB", (300, 200), "navy"),
        Image.new("RGB", (1, 1)),
        Image.new("RGB", (3000, 5)),
    ],
    ids=["noise", "clouds", "gradient", "plain", "pixel", "strip"],
)
def test_textures_have_no_words(image):
    assert ocr.read_words(image) == []


def test_the_same_picture_gives_the_same_words():
    image = page((60, 60, "Lunar module ascent stage"), (60, 200, "Docked at 21:34"))
    assert ocr.read_words(image) == ocr.read_words(image.copy())


def test_it_runs_with_sockets_files_and_programs_forbidden():
    """Nothing is fetched, even on the first use in a process; torch is not needed."""
    code = """
        import sys
        refused = []
        def hook(event, args):
            if event.startswith(("socket.", "subprocess.", "urllib.", "http.client")) and event not in ("socket.gethostname",):
                refused.append(event)
                raise PermissionError(event)
        from PIL import Image, ImageDraw, ImageFont
        from mmkg.ingest import ocr
        sys.addaudithook(hook)
        image = Image.new("RGB", (500, 160), "white")
        ImageDraw.Draw(image).text((40, 40), "HOUSTON", font=ImageFont.load_default(size=60), fill="black")
        print([line.text for line in ocr.read_words(image)], [r for r in refused if r != "socket.__new__"], "torch" in sys.modules)
    """
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=200)
    assert run.stdout.strip() == "['HOUSTON'] [] False", run.stderr
    assert "RapidOCR" not in run.stderr


def test_other_weights_are_refused(tmp_path, monkeypatch):
    for name in ocr.WEIGHTS:
        (tmp_path / name).write_bytes(b"not the model")
    monkeypatch.setattr(ocr, "_model_folder", lambda: tmp_path)
    ocr._engine.cache_clear()
    try:
        with pytest.raises(WeightsError, match=hashlib.sha256(b"not the model").hexdigest()[:12]):
            ocr.read_words(page((60, 60, "words")))
        (tmp_path / ocr.DETECTOR).unlink()
        assert not ocr.ocr_available() and ocr.ocr_version() == ""
    finally:
        ocr._engine.cache_clear()


def test_the_version_names_package_and_weights():
    assert ocr.ocr_available()
    assert ocr.ocr_version().startswith("rapidocr-3.10.0/PP-OCRv6-small/")


def test_the_budget_counts_pictures_not_seconds():
    budget = ocr.OcrBudget(seconds=3.0)
    line = ocr.OcrLine(text="x", box=(0, 0, 1000, 30), confidence=1.0)
    costs = []
    while not budget.exhausted:
        before = budget.spent
        budget.charge((1200, 1600), [line] * 10)
        costs.append(budget.spent - before)
    assert len(costs) >= 2 and max(costs) - min(costs) < 1e-9
    other = ocr.OcrBudget(seconds=3.0)
    other.charge((1200, 1600), [line] * 30)
    assert other.spent > costs[0]


def test_reading_order_takes_columns_of_prose_but_rows_of_a_table():
    prose = [(x, y, x + 400, y + 20) for x in (0, 450) for y in range(100, 400, 30)]
    title = (100, 10, 700, 50)
    shuffled = [title, *sorted(prose, key=lambda b: (b[1], b[0]))]
    assert [shuffled[i] for i in reading_order(shuffled)] == [title, *prose]
    table = [(x, y, x + 60, y + 20) for y in range(100, 300, 30) for x in (0, 300, 600)]
    assert [table[i] for i in reading_order(table[::-1])] != table  # indices refer to the order given
    assert [table[::-1][i] for i in reading_order(table[::-1])] == table
