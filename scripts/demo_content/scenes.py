"""Scenes computed as pictures: the lighthouse at dusk, a paddle tender at sea, a painted board of names."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageFilter

from demo_content.canvas import Board, fractal_noise, gradient, smooth_noise, to_image

EVENING_CAPTION = "The Silver Evening, by Lucan Fettes, September 1974."
MORWEN_CAPTION = "The Morwen Castle at the boat landing, photographed by Una Castellane on 3 May 1899."
BOARD_NOTES = (
    "The Bell Stair was paid for by Augusta Fenn.",
    "The Gull Stair was paid for by Rosamund Vey.",
    "The North Rail was paid for by the pilots.",
    "The oak benches were a gift and are signed below the seat.",
)
BOARD_CAPTION = "The benefactors' board in the entrance of Korvane Light."


def silver_evening() -> Image.Image:
    """Dusk: a sky in bands, thin cloud, stars, a calm sea with the light's track, the island and the lit tower."""
    height, width, horizon = 800, 1200, 520
    sky = gradient(
        horizon,
        width,
        [
            (0, (26, 36, 68)),
            (0.35, (58, 76, 116)),
            (0.62, (128, 132, 160)),
            (0.82, (214, 178, 160)),
            (1, (246, 214, 172)),
        ],
    )
    cloud = fractal_noise(horizon * 2, width, 110, 3, 5)
    streak = np.asarray(
        Image.fromarray(cloud.astype(np.float32))
        .resize((width * 4, horizon // 2))
        .resize((width * 4, horizon))
        .crop((0, 0, width, horizon))
    )
    veil = np.clip(streak - 0.47, 0, 1)[..., None] * 3.2
    rise = np.linspace(0.25, 1, horizon)[:, None, None]
    sky = sky * (1 - veil * rise * 0.55) + np.array([236, 196, 190]) * veil * rise * 0.55
    rng = np.random.default_rng(5)
    for _ in range(130):
        y, x = int(rng.random() ** 1.6 * horizon * 0.6), int(rng.random() * width)
        sky[y, x] += (1 - y / (horizon * 0.6)) * rng.uniform(40, 150)
    sea = gradient(
        height - horizon,
        width,
        [(0, (196, 180, 176)), (0.12, (142, 148, 168)), (0.5, (70, 88, 118)), (1, (28, 42, 68))],
    )
    depth = np.linspace(0, 1, height - horizon)[:, None]
    rows = (np.linspace(0, 1, height - horizon) ** 0.55 * 900).astype(int)
    ripple = smooth_noise(1000, width, 14, 21)[rows] + 0.5 * smooth_noise(1000, width * 1, 5, 22)[rows]
    ripple = np.asarray(
        Image.fromarray(ripple.astype(np.float32))
        .resize((width * 3, height - horizon))
        .crop((600, 0, 600 + width, height - horizon))
    )
    sea += ((ripple - 0.75) * (18 + 46 * depth))[..., None] * np.array([1.0, 0.96, 0.92])
    tower_x, top = 820, 214
    across = np.abs(np.arange(width) - tower_x)[None, :]
    track = np.exp(-((across / (16 + 90 * depth)) ** 2)) * np.clip((ripple - 0.62) * 3, 0, 1) * (1 - 0.55 * depth)
    sea += track[..., None] * np.array([150, 120, 60])
    pixels = np.concatenate([sky, sea])
    y, x = np.mgrid[0:height, 0:width]
    for direction, strength in ((-1, 0.85), (1, 0.42)):
        reach = (x - tower_x) * direction
        centre = top - 0.05 * reach
        spread = 5 + 0.055 * np.clip(reach, 0, None)
        beam = np.exp(-(((y - centre) / spread) ** 2)) * (reach > 0) * np.exp(-np.clip(reach, 0, None) / 520) * strength
        pixels += beam[..., None] * np.array([190, 165, 105])
    halo = np.exp(-np.hypot(x - tower_x, y - top) / 34)
    pixels += halo[..., None] * np.array([240, 200, 120])
    picture = to_image(pixels)
    return _island(picture, tower_x, top, horizon).filter(ImageFilter.GaussianBlur(0.4))


def _island(picture: Image.Image, tower_x: float, top: float, horizon: float) -> Image.Image:
    board = Board(picture.width, picture.height)
    board.put(picture)
    ridge = smooth_noise(1, picture.width, 60, 31)[0] * 26 + smooth_noise(1, picture.width, 17, 32)[0] * 9
    shore = []
    for x in range(470, 1200, 4):
        hill = 74 * math.exp(-(((x - 860) / 190) ** 2)) + 26 * math.exp(-(((x - 1110) / 120) ** 2))
        edge = min(1.0, (x - 470) / 110)
        shore.append((float(x), horizon + 14 - (hill + ridge[x] * 0.8) * edge))
    x = tower_x
    for k in range(24):
        # Strips from the light side to the dark side give the round of the wall.
        a, b = k / 24, (k + 1) / 24
        shade = 196 - 130 * a**0.8
        left = lambda t, half: x - half + 2 * half * t  # noqa: E731
        board.polygon(
            [(left(a, 17), top + 30), (left(b, 17), top + 30), (left(b, 31), 462), (left(a, 31), 462)],
            (round(shade), round(shade * 0.95), round(shade * 0.96)),
        )
    for y0, y1 in ((290, 332), (376, 416)):
        half0, half1 = 17 + 14 * (y0 - top - 30) / (452 - top - 30), 17 + 14 * (y1 - top - 30) / (452 - top - 30)
        for k in range(24):
            a, b = k / 24, (k + 1) / 24
            shade = 1 - 0.62 * a**0.8
            board.polygon(
                [
                    (x - half0 + 2 * half0 * a, y0),
                    (x - half0 + 2 * half0 * b, y0),
                    (x - half1 + 2 * half1 * b, y1),
                    (x - half1 + 2 * half1 * a, y1),
                ],
                (round(158 * shade), round(62 * shade), round(50 * shade)),
            )
    for y in (308, 352, 398):
        board.rect((x - 4, y, x + 3, y + 12), fill="#ffd98a" if y == 352 else "#2a2f3d")
    board.rect((x - 29, top + 20, x + 29, top + 30), fill="#232a38")
    for k in range(9):
        board.line([(x - 28 + 7 * k, top + 20), (x - 28 + 7 * k, top + 6)], "#232a38", 1.2)
    board.line([(x - 29, top + 6), (x + 29, top + 6)], "#232a38", 1.5)
    board.rect((x - 14, top - 16, x + 14, top + 20), fill="#fff0b8", outline="#232a38", width=1.5)
    board.disc((x, top), 9, fill="#ffffff")
    board.polygon([(x - 18, top - 16), (x + 18, top - 16), (x + 6, top - 32), (x - 6, top - 32)], "#5c2a26")
    board.line([(x, top - 32), (x, top - 46)], "#232a38", 2)
    board.polygon([(x + 60, 476), (x + 136, 476), (x + 136, 424), (x + 60, 424)], "#3a4152")
    board.polygon([(x + 54, 426), (x + 142, 426), (x + 122, 402), (x + 74, 402)], "#262c3a")
    for k in (0, 1):
        board.rect((x + 76 + 34 * k, 434, x + 90 + 34 * k, 446), fill="#ffcf77")
    board.polygon([*shore, (1200, horizon + 16), (470, horizon + 16)], "#1b2433")
    board.polygon([(470, horizon + 15), (1200, horizon + 15), (1200, horizon + 24), (560, horizon + 20)], "#141b28")
    return board.done()


def morwen_castle() -> Image.Image:
    """An old print: a paddle tender under smoke, in sepia with worn edges."""
    height, width, horizon = 720, 1080, 380
    sky = gradient(horizon, width, [(0, (150, 150, 150)), (1, (214, 214, 214))])
    sky += ((fractal_noise(horizon, width, 260, 41, 5) - 0.5) * 90)[..., None]
    depth = np.linspace(0, 1, height - horizon)[:, None]
    rows = (np.linspace(0, 1, height - horizon) ** 0.6 * 700).astype(int)
    ripple = smooth_noise(800, width // 2, 12, 51)[rows] + 0.5 * smooth_noise(800, width // 2, 5, 52)[rows]
    ripple = np.asarray(Image.fromarray(ripple.astype(np.float32)).resize((width, height - horizon)))
    sea = gradient(height - horizon, width, [(0, (176, 176, 176)), (0.3, (126, 126, 126)), (1, (70, 70, 70))])
    sea += ((ripple - 0.75) * (30 + 80 * depth))[..., None]
    board = Board(width, height)
    board.put(to_image(np.concatenate([sky, sea])))
    hills = smooth_noise(1, width, 90, 61)[0] * 34
    board.polygon(
        [
            (680, 386),
            *[(float(x), 380 - hills[x] * min(1, (x - 680) / 120) * 1.6) for x in range(680, width, 6)],
            (1080, 350),
            (1080, 386),
        ],
        "#8e8e8e",
    )
    grey = "#3a3a3a"
    hull = [(180, 420), (214, 470), (240, 488), (800, 488), (842, 462), (880, 402), (800, 418), (420, 424), (250, 414)]
    board.polygon(hull, grey)
    board.line([(184, 424), (250, 420), (420, 430), (800, 424), (876, 408)], "#c9c9c9", 4)
    board.rect((330, 372, 640, 426), fill="#b9b9b9", outline="#4c4c4c", width=2)
    for k in range(8):
        board.rect((346 + 37 * k, 386, 366 + 37 * k, 406), fill="#4a4a4a")
    board.rect((560, 332, 648, 374), fill="#d2d2d2", outline="#4c4c4c", width=2)
    for k in range(3):
        board.rect((570 + 26 * k, 342, 588 + 26 * k, 358), fill="#4a4a4a")
    board.polygon([(470, 372), (510, 372), (504, 226), (472, 226)], "#2c2c2c")
    board.polygon([(472, 262), (506, 262), (505, 246), (472, 246)], "#cfcfcf")
    # The paddle box, with its spokes.
    board.disc((490, 446), 76, fill="#505050", outline="#2b2b2b", width=4)
    for k in range(9):
        a = math.pi * (1 + k / 8)
        board.line([(490, 446), (490 + 70 * math.cos(a), 446 + 70 * math.sin(a))], "#c6c6c6", 3)
    board.line([(760, 418), (760, 210)], "#333333", 6)
    board.line([(760, 250), (868, 300)], "#333333", 4)
    board.line([(760, 214), (868, 300)], "#444444", 1.5)
    board.line([(868, 300), (868, 372)], "#444444", 1.5)
    board.rect((850, 372, 886, 398), fill="#8d7a60", outline="#333333")
    board.line([(292, 416), (292, 200)], "#333333", 5)
    board.polygon([(292, 206), (236, 220), (292, 236)], "#7a7a7a")
    board.line([(292, 204), (180, 416)], "#555555", 1.2)
    board.line([(292, 204), (472, 228)], "#555555", 1.2)
    print_ = np.asarray(board.done(), dtype=float).copy()
    water = 490  # the water line: below it the sea hides the wheel
    print_[water:] = sea[water - horizon :]
    print_ = _smoke_and_foam(print_, ripple, horizon)
    grain = np.random.default_rng(71).normal(0, 7, (height, width))
    tone = (print_.mean(axis=2) + grain) / 255
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    tone = tone * (1 - 0.32 * np.clip(np.hypot(x, y) - 0.45, 0, 1))
    sepia = np.stack([38 + 206 * tone, 28 + 194 * tone, 18 + 162 * tone], axis=2)
    framed = Image.new("RGB", (width + 56, height + 56), "#efe6d2")
    framed.paste(to_image(sepia).filter(ImageFilter.GaussianBlur(0.7)), (28, 28))
    return framed


def _smoke_and_foam(pixels: np.ndarray, ripple: np.ndarray, horizon: int) -> np.ndarray:
    height, width = pixels.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(float)
    back = np.clip(490 - x, 0, None)
    centre = 214 - 0.20 * back + 14 * np.sin(back / 60)
    spread = 13 + 0.17 * back
    puff = np.exp(-(((y - centre) / spread) ** 2)) * np.clip((506 - x) / 26, 0, 1) * np.exp(-back / 330)
    puff *= np.clip(0.4 + 1.1 * fractal_noise(height, width, 60, 81), 0, 1)
    pixels = pixels * (1 - 0.85 * puff[..., None]) + 52 * 0.85 * puff[..., None]
    along = np.clip((x - 170) / 120, 0, 1) * np.clip((860 - x) / 90, 0, 1)
    wash = np.exp(-(((y - 491) / 9) ** 2)) * along * 0.85
    wash += np.exp(-(((y - 503) / 15) ** 2)) * np.clip((x - 20) / 200, 0, 1) * np.clip((520 - x) / 240, 0, 1) * 0.7
    wash[horizon:] *= np.clip((ripple - 0.35) * 2.2, 0.25, 1)
    wash[:horizon] = 0
    return pixels * (1 - wash[..., None]) + 228 * wash[..., None]


def benefactors_board() -> Image.Image:
    """A varnished oak board with painted letters, lit from the left, slightly turned."""
    height, width = 760, 1180
    grain = fractal_noise(height, width // 8, 24, 91, 4)
    grain = np.asarray(Image.fromarray(grain.astype(np.float32)).resize((width, height)))
    rings = 0.5 + 0.5 * np.sin(grain * 46 + np.linspace(0, 5, height)[:, None])
    tone = 0.72 + 0.16 * grain + 0.10 * rings
    for y in (190, 380, 570):
        tone[y - 1 : y + 2] *= 0.62
    wood = tone[..., None] * np.array([124, 78, 44])
    board = Board(width, height)
    board.put(to_image(wood))
    gold, dark = "#f3dc9c", "#2a1809"
    board.rect((14, 14, width - 14, height - 14), outline="#4a2c15", width=10, radius=10)
    board.rect((34, 34, width - 34, height - 34), outline=gold, width=2, radius=4)

    def painted(y: float, words: str, size: float) -> None:
        board.text((width / 2 + 1.5, y + 2), words, size, dark, "ms")
        board.text((width / 2, y), words, size, gold, "ms")

    painted(124, "Benefactors of the restoration", 50)
    board.line([(width / 2 - 120, 152), (width / 2 + 120, 152)], gold, 2)
    for k, words in enumerate(BOARD_NOTES):
        painted(252 + 104 * k, words, 36)
    painted(684, "Korvane Light, June 2011", 30)
    for x, y in ((62, 62), (width - 62, 62), (62, height - 62), (width - 62, height - 62)):
        board.disc((x, y), 12, fill="#b08a3c", outline="#5a4217", width=2)
        board.line([(x - 7, y - 4), (x + 7, y + 4)], "#5a4217", 2.5)
    turned = np.asarray(board.done(), dtype=float)
    turned *= np.linspace(1.16, 0.86, width)[None, :, None]
    wall = np.full((height + 140, width + 160, 3), 176.0)
    wall += ((fractal_noise(height + 140, width + 160, 40, 95, 4) - 0.5) * 34)[..., None]
    wall *= np.linspace(1.12, 0.78, width + 160)[None, :, None] * np.array([1.0, 0.98, 0.94])
    shadow = Image.new("L", (width + 160, height + 140), 0)
    shadow.paste(150, (94, 84, 94 + width, 84 + height))
    mask = np.asarray(shadow.filter(ImageFilter.GaussianBlur(14)), dtype=float)[..., None] / 255
    scene = to_image(wall * (1 - 0.75 * mask))
    scene.paste(to_image(turned), (80, 68))
    return scene.rotate(-0.8, Image.Resampling.BICUBIC).crop((16, 16, width + 144, height + 124))
