"""The drawn pages of the demo archive: a wall chart, a section of the tower, a map, a screen, an animation, a sheet of drawings."""

from __future__ import annotations

import math
from functools import cache
from itertools import pairwise

import numpy as np
from PIL import Image

from demo_content.canvas import Board, Colour, Point

INK, PAPER, SOFT, RED, BLUE = "#22303c", "#f6f1e4", "#7d8a94", "#a8402d", "#2c6a8f"

LENSES = (
    "The Marigold Lens was ground by Tobit Ambrey in 1893.",
    "The Harrow Lens was ground by Enoch Pellow in 1879.",
    "The Sorrel Lens was ground by Mirela Dusk in 1886.",
)
FLOORS = (
    ("Lantern and gallery", "lamp"),
    ("Fifth floor: watch room and journal.", "watch"),
    ("Fourth floor: the room of Wilmot Sayle.", "bed"),
    ("Third floor: the room of Anselm Quarrie.", "scope"),
    ("Second floor: the room of Joram Teague.", "bed"),
    ("First floor: kitchen and stove.", "stove"),
    ("Ground floor: oil, coal and ropes.", "oil"),
)
MAP_NOTES = (
    "The Sandling Cable comes ashore at Otter Cove.",
    "The Tressel Cable comes ashore at Gannet Steps.",
    "The old telegraph wire came ashore at Tern Beach.",
)
MONITOR_NOTES = (
    "The highest level at the Marrow Quay Gauge is 6.05 m (2 February 1983).",
    "The highest level at the Pellworth Gauge is 6.42 m (11 January 1993).",
    "The highest level at the Sandling Gauge is 5.87 m (27 October 2002).",
)
LIGHTS = (
    ("Korvane Light shows three flashes every 20 seconds.", 20, (1, 3, 5)),
    ("Marrow Quay Light shows one flash every 6 seconds.", 6, (1,)),
    ("Harrow Point Light shows two flashes every 12 seconds.", 12, (1, 3)),
)


def lens_chart() -> Image.Image:
    """The wall chart of three lenses, numbered, with the grinders' names below."""
    board = Board(1100, 820, PAPER)
    board.rect((22, 22, 1078, 798), outline=INK, width=3)
    board.rect((32, 32, 1068, 788), outline=SOFT, width=1)
    board.text((550, 92), "Lenses of Vellamar Sound", 40, INK, "ms", bold=True)
    board.text((550, 128), "Drawn to one scale from the marks on the bronze", 20, SOFT, "ms")
    for number, (x, height, rings) in enumerate(((230, 270, 4), (550, 330, 6), (870, 410, 8)), start=1):
        _lens(board, x, 580, height, rings)
        board.disc((x, 610), 17, fill=RED)
        board.text((x, 610), str(number), 22, "white", "mm", bold=True)
    for number, words in enumerate(LENSES, start=1):
        y = 672 + 42 * (number - 1)
        board.disc((190, y - 8), 14, fill=RED)
        board.text((190, y - 8), str(number), 18, "white", "mm", bold=True)
        board.text((220, y), words, 26, INK)
    return board.done()


def _lens(board: Board, x: float, base: float, height: float, rings: int) -> None:
    """A beehive lens in front view: bull's eye, prism rings above and below, bronze frame, pedestal."""
    half, top = height * 0.34, base - height
    middle = top + height * 0.46
    for k in range(rings, 0, -1):
        part = k / rings
        # Prisms above and below the eye are bowed outward, and narrower toward the ends.
        for side in (-1, 1):
            y = middle + side * height * 0.40 * part
            w = half * math.sqrt(max(0.06, 1 - (0.88 * part) ** 2)) + 8
            thick = height * 0.36 / rings
            shape = [(x - w, y), (x - w * 0.9, y - side * thick), (x + w * 0.9, y - side * thick), (x + w, y)]
            board.polygon(shape, "#cfe4e6" if k % 2 else "#e4f1ef", outline="#5b8a93", width=1.5)
    for k, colour in enumerate(("#b9d9de", "#d6ebea", "#eef8f4", "#ffe9a8")):
        board.disc((x, middle), height * (0.17 - 0.042 * k), fill=colour, outline="#5b8a93", width=1.5)
    for side in (-1, 1):
        frame = [
            (x + side * half * 1.08 * math.cos(t), middle + height * 0.47 * math.sin(t))
            for t in np.linspace(-1.2, 1.2, 30)
        ]
        board.line(frame, fill="#8a6d2f", width=5)
    board.rect((x - half * 0.5, base - height * 0.065, x + half * 0.5, base - height * 0.035), fill="#8a6d2f")
    board.polygon(
        [
            (x - half * 0.3, base - height * 0.035),
            (x + half * 0.3, base - height * 0.035),
            (x + half * 0.45, base),
            (x - half * 0.45, base),
        ],
        "#6d5524",
    )


def tower_section() -> Image.Image:
    """A cut through the tower with a label at each floor."""
    board = Board(1000, 1240, "#f3f6f7")
    board.text((60, 86), "Korvane Light, section of the tower", 38, INK, bold=True)
    board.text((60, 122), "Rooms as the last keepers knew them", 22, SOFT)
    board.polygon(
        [(0, 1150), (120, 1120), (200, 1142), (420, 1128), (520, 1150), (1000, 1170), (1000, 1240), (0, 1240)],
        "#98a3a5",
    )
    left, right = (lambda y: 250 - (y - 320) * 0.085), (lambda y: 350 + (y - 320) * 0.085)
    top, base, step = 320.0, 1130.0, 135.0
    board.polygon(
        [(left(top) - 16, top), (right(top) + 16, top), (right(base) + 16, base), (left(base) - 16, base)],
        "#b9b2a4",
        INK,
    )
    floors = [base - step * k for k in range(7)]
    for y1, y0 in pairwise(floors):
        board.polygon([(left(y0), y0 + 8), (right(y0), y0 + 8), (right(y1), y1), (left(y1), y1)], "#fbf7ea", SOFT, 1.5)
    _lantern(board, 300, top)
    board.rect((left(base) - 30, base - 76, left(base) + 12, base), fill="#6b4a34", outline=INK)
    for k, (words, thing) in enumerate(FLOORS):
        y = 240 if k == 0 else floors[6 - k] - step / 2 + 8
        edge = 350 if k == 0 else right(y) + 16
        board.line([(edge, y), (430, y)], fill=RED, width=2)
        board.disc((edge, y), 5, fill=RED)
        board.text((444, y + 8), words, 26, INK, bold=k == 0)
        if k:
            _thing(board, thing, (300, floors[6 - k]))
    board.text((444, 1108), "162 steps from the door to the lantern", 22, SOFT)
    board.text((60, 1212), "Surveyed for the Friends of Korvane", 20, "#f3f6f7")
    return board.done()


def _lantern(board: Board, x: float, top: float) -> None:
    board.rect((x - 92, top - 16, x + 92, top), fill="#7e776a", outline=INK)
    for k in range(7):
        board.line([(x - 88 + k * 29.3, top - 16), (x - 88 + k * 29.3, top - 46)], INK, 2)
    board.line([(x - 90, top - 46), (x + 90, top - 46)], INK, 3)
    board.rect((x - 52, top - 128, x + 52, top - 16), fill="#fff3c4", outline=INK, width=3)
    for k in (-1, 0, 1):
        board.line([(x + 26 * k, top - 128), (x + 26 * k, top - 16)], INK, 1.5)
    board.disc((x, top - 70), 30, fill="#d9edf0", outline="#5b8a93")
    board.disc((x, top - 70), 13, fill="#ffd25e", outline="#b98a17")
    board.polygon([(x - 64, top - 128), (x + 64, top - 128), (x + 22, top - 168), (x - 22, top - 168)], RED, INK)
    board.line([(x, top - 168), (x, top - 192)], INK, 4)
    board.disc((x, top - 172), 8, fill=INK)


def _thing(board: Board, thing: str, at: Point) -> None:
    """A small piece of furniture standing on the floor at `at`."""
    x, y = at
    if thing == "bed":
        board.rect((x - 46, y - 26, x + 40, y - 10), fill="#c9d8df", outline=INK)
        board.rect((x - 46, y - 36, x - 24, y - 24), fill="white", outline=INK)
        board.line([(x - 46, y - 44), (x - 46, y)], INK, 4)
        board.line([(x + 40, y - 30), (x + 40, y)], INK, 4)
    elif thing == "scope":
        board.line([(x - 6, y), (x + 10, y - 40), (x + 26, y)], INK, 3)
        board.line([(x - 34, y - 26), (x + 40, y - 58)], "#8a6d2f", 10)
    elif thing == "stove":
        board.rect((x - 28, y - 52, x + 28, y), fill="#47525a", outline=INK)
        board.rect((x - 16, y - 30, x + 16, y - 10), fill="#e0702c")
        board.line([(x, y - 52), (x, y - 110)], "#47525a", 9)
    elif thing == "oil":
        for k in (-1, 0, 1):
            board.rect((x - 16 + 44 * k, y - 56, x + 18 + 44 * k, y), fill="#4c7a6b", outline=INK, radius=6)
            board.line([(x - 16 + 44 * k, y - 28), (x + 18 + 44 * k, y - 28)], INK, 1.5)
    else:
        board.line([(x - 44, y - 44), (x + 44, y - 44)], "#6b4a34", 7)
        board.line([(x - 36, y - 44), (x - 36, y)], "#6b4a34", 5)
        board.line([(x + 36, y - 44), (x + 36, y)], "#6b4a34", 5)
        board.polygon([(x - 22, y - 48), (x, y - 56), (x + 22, y - 48), (x, y - 46)], "white", INK, 1.5)


def island_map() -> Image.Image:
    """The map of Korvane Holm with its two cables, and notes at the foot."""
    board = Board(1200, 1000, "#cfe3ea")
    rng = np.random.default_rng(7)
    angles = np.linspace(0, 2 * math.pi, 361)[:-1]
    bumps = np.interp(np.arange(360 * 3) / 9, np.arange(120), np.tile(rng.normal(0, 1, 40), 3))
    wobble = np.convolve(bumps, np.hanning(15) / np.hanning(15).sum(), "same")[360:720]
    for grow, colour in (
        (1.34, "#c2dae3"),
        (1.19, "#b3d0dc"),
        (1.06, "#e9dfbf"),
        (1.0, "#b5c79a"),
        (0.72, "#c6d3a6"),
        (0.42, "#d6ddb8"),
    ):
        shape = [
            (
                610 + (300 + 13 * w) * grow * math.cos(a) * (1 - 0.18 * math.sin(2 * a)),
                410 + (205 + 10 * w) * grow * math.sin(a),
            )
            for a, w in zip(angles, wobble, strict=True)
        ]
        board.polygon(shape, colour, outline="#7d8f77" if grow == 1.0 else None, width=2.5)
    board.dashes([(20, 300), (140, 322), (236, 300), (336, 352)], BLUE, 4)
    board.dashes([(1180, 640), (1060, 600), (950, 622), (826, 512)], RED, 4)
    _places(board)
    board.text((48, 84), "Korvane Holm", 44, INK, bold=True)
    board.text((48, 116), "Edition of 1959, with cables and landings", 22, INK)
    for k in range(5):
        board.rect((836 + 60 * k, 92, 896 + 60 * k, 104), fill=INK if k % 2 == 0 else "white", outline=INK, width=1.5)
    board.text((836, 84), "0", 20, INK, "ms")
    board.text((1136, 84), "500 m", 20, INK, "ms")
    board.polygon([(1100, 160), (1122, 226), (1100, 212), (1078, 226)], INK)
    board.text((1100, 152), "N", 26, INK, "ms", bold=True)
    board.rect((40, 790, 1160, 968), fill=PAPER, outline=INK, radius=6)
    for k, (words, colour) in enumerate(zip(MAP_NOTES, (BLUE, RED, SOFT), strict=True)):
        y = 836 + 52 * k
        board.dashes([(70, y - 9), (152, y - 9)], colour, 4)
        board.text((176, y), words, 28, INK)
    return board.done()


def _places(board: Board) -> None:
    board.disc((336, 352), 9, fill=BLUE, outline="white")
    board.text((250, 268), "Otter Cove", 24, INK, "ms")
    board.disc((826, 512), 9, fill=RED, outline="white")
    board.text((858, 508), "Gannet Steps", 24, INK)
    board.text((622, 166), "Tern Beach", 24, INK, "ms")
    board.disc((622, 200), 7, fill=SOFT, outline="white")
    board.line([(590, 588), (572, 490), (560, 400), (590, 300), (622, 208)], "#8a7b5c", 3)
    board.line([(560, 400), (440, 380), (346, 354)], "#8a7b5c", 3)
    board.line([(572, 490), (700, 520), (818, 512)], "#8a7b5c", 3)
    board.polygon([(580, 596), (600, 596), (596, 534), (584, 534)], "white", INK)
    board.rect((582, 520, 598, 534), fill=RED, outline=INK, width=1.5)
    board.text((618, 570), "Korvane Light", 24, INK, bold=True)
    board.disc((590, 372), 4, fill=INK)
    board.text((602, 380), "41 m", 20, INK)
    board.text((960, 376), "Vellamar Sound", 26, BLUE)
    for k in range(5):
        x = 640 + 42 * k
        board.line([(x, 664 + 6 * k), (x + 20, 716 + 6 * k)], "#6d7d84", 7)
    board.text((860, 720), "The Combs", 24, INK)


def tide_monitor() -> Image.Image:
    """The window of the tide monitor: a curve, three stations and the notes under them."""
    board = Board(1280, 860, "#8fa3ad")
    board.rect((30, 26, 1250, 834), fill="#14212b", outline="#0b141b", radius=12)
    board.rect((30, 26, 1250, 78), fill="#22343f", radius=12)
    board.rect((30, 60, 1250, 78), fill="#22343f")
    for k, colour in enumerate(("#e0695e", "#e3b34f", "#6dbb74")):
        board.disc((60 + 28 * k, 52), 9, fill=colour)
    board.text((640, 60), "Sound Tide Monitor", 24, "#dbe7ec", "ms")
    board.text((64, 126), "Levels above chart datum, last 48 hours", 26, "#ffffff")
    board.rect((64, 150, 860, 520), fill="#0d1820", outline="#2e4350", radius=6)
    for k in range(7):
        y = 490 - 52 * k
        board.line([(120, y), (846, y)], "#22343f", 1)
        board.text((106, y + 7), f"{k} m", 18, "#9fb4bf", "rs")
    for phase, mean, swing, colour in (
        (0.0, 2.9, 2.1, "#63c5da"),
        (0.5, 2.7, 1.7, "#e3b34f"),
        (0.9, 2.5, 1.9, "#c08be0"),
    ):
        curve = []
        for x in range(120, 847, 3):
            t = (x - 120) / 726 * 48
            level = (
                mean + swing * math.sin(2 * math.pi * t / 12.42 + phase) + 0.25 * math.sin(2 * math.pi * t / 24 + phase)
            )
            curve.append((float(x), 490 - 52 * level))
        board.line(curve, colour, 3)
    for k, (name, level, colour) in enumerate(
        (
            ("Pellworth Gauge", "3.18 m", "#63c5da"),
            ("Marrow Quay Gauge", "2.76 m", "#e3b34f"),
            ("Sandling Gauge", "2.41 m", "#c08be0"),
        )
    ):
        y = 150 + 126 * k
        board.rect((884, y, 1216, y + 118), fill="#1c2c37", outline="#2e4350", radius=6)
        board.rect((884, y, 892, y + 118), fill=colour)
        board.text((914, y + 40), name, 24, "#dbe7ec")
        board.text((914, y + 96), level, 42, "#ffffff", bold=True)
        board.text((1196, y + 94), "now", 20, "#9fb4bf", "rs")
    board.rect((64, 546, 1216, 746), fill="#1c2c37", outline="#2e4350", radius=6)
    board.text((92, 588), "Records", 24, "#63c5da", bold=True)
    for k, words in enumerate(MONITOR_NOTES):
        board.text((92, 634 + 42 * k), words, 25, "#f2f7f9")
    board.disc((78, 794), 8, fill="#6dbb74")
    board.text((98, 801), "All stations report. Next reading in 40 seconds.", 20, "#9fb4bf")
    return board.done()


def light_frames() -> list[Image.Image]:
    """One minute of three lighthouses at night, a second a frame; the words are on every frame.

    It begins with all lamps lit, since many programs show the first frame only.
    """
    return [_night(float((1 + frame) % 60)) for frame in range(60)]


@cache
def _dark() -> Board:
    """What is the same on every frame."""
    board = Board(920, 480, "#0e1a2b")
    board.text((40, 60), "Light characters of the Sound", 32, "#f4e9c8", bold=True)
    for k, (words, period, flashes) in enumerate(LIGHTS):
        y = 128 + 118 * k
        board.text((176, y + 46), words, 27, "#e8eef5")
        board.line([(176, y + 66), (866, y + 66)], "#2b3c55", 2)
        for f in range(0, 60, period):
            for flash in flashes:
                board.disc((176 + 690 * (f + flash) / 60, y + 66), 5, fill="#f4c84f")
    return board


def _night(second: float) -> Image.Image:
    board = Board(920, 480)
    board.put(_dark().image)
    for k, (_, period, flashes) in enumerate(LIGHTS):
        y = 128 + 118 * k
        _lamp(board, (92, y + 36), (second % period) in {float(f) for f in flashes})
        board.disc((176 + 690 * second / 60, y + 66), 8, outline="#ffffff", width=2)
    return board.done()


def _lamp(board: Board, at: Point, lit: bool) -> None:
    x, y = at
    glow: tuple[tuple[float, Colour], ...] = ((40, "#2c3340"), (30, "#5a5438"), (21, "#a88f3c")) if lit else ()
    for radius, colour in glow:
        board.disc((x, y - 22), radius, fill=colour)
    board.polygon([(x - 10, y - 8), (x + 10, y - 8), (x + 17, y + 42), (x - 17, y + 42)], "#c9d3dc")
    board.polygon([(x - 12, y + 10), (x + 12, y + 10), (x + 14, y + 24), (x - 14, y + 24)], "#a8402d")
    board.rect((x - 9, y - 30, x + 9, y - 10), fill="#ffe48a" if lit else "#33435a")
    board.polygon([(x - 12, y - 30), (x + 12, y - 30), (x, y - 42)], "#a8402d")


def stair_drawing() -> Image.Image:
    """The picture in the restoration report: a stair in side view with its rail."""
    board = Board(900, 520, "#fbfaf6")
    board.text((40, 58), "Stair from the landing, side view", 28, INK, bold=True)
    steps = 12
    points: list[Point] = [(90.0, 450.0)]
    for k in range(steps):
        points += [(90 + 58.0 * k, 450 - 24.0 * (k + 1)), (90 + 58.0 * (k + 1), 450 - 24.0 * (k + 1))]
    board.polygon([*points, (786.0, 450.0)], "#cbc6b8", INK)
    for k in range(1, steps):
        board.line([(90 + 58 * k, 450 - 24 * k), (90 + 58 * k, 450)], "#a9a395", 1.5)
    for k in range(0, steps + 1, 2):
        x, y = 90 + 58 * k, 450 - 24 * k
        board.line([(x, y), (x, y - 74)], "#46545f", 4)
    board.line([(90, 376), (786, 88)], "#46545f", 5)
    for k, replaced in enumerate((0, 0, 1, 1, 1, 0, 1, 1, 0, 1, 1, 0)):
        if replaced:
            x, y = 90 + 58 * k, 450 - 24 * (k + 1)
            board.rect((x + 3, y + 3, x + 55, y + 21), fill="#d98f5c")
    board.rect((560, 470, 590, 490), fill="#d98f5c")
    board.text((602, 489), "stone replaced", 22, INK)
    board.line([(90, 480), (380, 480)], INK, 2)
    board.text((235, 506), "4.6 m", 22, INK, "ms")
    return board.done()


def tide_curve() -> Image.Image:
    """Figure 1 of the tide report: four days of levels on squared paper, with axes."""
    board = Board(1000, 460, "#ffffff")
    x0, x1, y0, y1 = 90.0, 970.0, 380.0, 30.0
    for k in range(25):
        x = x0 + (x1 - x0) * k / 24
        board.line([(x, y0), (x, y1)], "#dfe7ea" if k % 6 else "#b5c6cd", 1)
    for k in range(7):
        y = y0 - (y0 - y1) * k / 6
        board.line([(x0, y), (x1, y)], "#dfe7ea", 1)
        board.text((x0 - 12, y + 8), f"{k} m", 22, INK, "rs")
    board.line([(x0, y1), (x0, y0), (x1, y0)], INK, 2.5)
    curve = []
    for x in np.linspace(x0, x1, 400):
        t = (x - x0) / (x1 - x0) * 96
        surge = 1.15 * math.exp(-(((t - 52) / 9) ** 2))
        level = 2.75 + 1.75 * math.sin(2 * math.pi * t / 12.42 - 0.8) + 0.2 * math.sin(2 * math.pi * t / 24) + surge
        curve.append((float(x), y0 - (y0 - y1) * level / 6))
    board.line(curve, BLUE, 3.5)
    for k, day in enumerate(("5 March", "6 March", "7 March", "8 March")):
        board.text((x0 + (x1 - x0) * (k + 0.5) / 4, y0 + 34), day, 24, INK, "ms")
    board.line([(620, 58), (592, 46)], RED, 2)
    board.text((628, 66), "surge of 7 March", 24, RED)
    return board.done()
