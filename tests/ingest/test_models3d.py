"""3D models as six pictures and the names of their parts, from real files; and files that are none."""

from __future__ import annotations

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from mmkg.config import Settings
from mmkg.ingest.model3d import _VIEWS_Y_UP
from mmkg.ingest.pool import ParserPool
from mmkg.ingest.raster import rasterise
from mmkg.ingest.sniff import sniff_bytes

SIDES = {"right": (255, 0, 0), "left": (255, 255, 0), "above": (0, 255, 0), "below": (0, 255, 255),
         "front": (0, 0, 255), "back": (255, 0, 255)}  # fmt: skip
NORMALS = {
    "right": (1, 0, 0),
    "left": (-1, 0, 0),
    "above": (0, 1, 0),
    "below": (0, -1, 0),
    "front": (0, 0, 1),
    "back": (0, 0, -1),
}


def painted_box():
    """A box with a colour on each side, y up."""
    box = trimesh.creation.box((2.0, 2.0, 2.0))
    box.unmerge_vertices()
    names = [next(n for n, v in NORMALS.items() if np.allclose(v, f)) for f in box.face_normals]
    box.visual.face_colors = [(*SIDES[n], 255) for n in names]
    return box


def scene() -> bytes:
    whole = trimesh.Scene()
    whole.add_geometry(painted_box(), node_name="Lantern_Room", geom_name="Lantern_Room")
    return bytes(whole.export(file_type="glb"))


def corner() -> str:
    return "".join(f"v {x} {y} {z}\n" for x, y, z in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)))


OBJ = (
    f"# a corner\nmtllib ../../secret.mtl\no Harbour_Crane\n{corner()}usemtl Rust\nf 1 2 3\nf 1 2 4\nf 1 3 4\nf 2 3 4\n"
)


def stl(count: int | None = None) -> bytes:
    rows = np.array(painted_box().triangles, dtype="<f4")
    body = b"".join(struct.pack("<3f", 0, 0, 0) + r.tobytes() + b"\0\0" for r in rows)
    return b"solid but binary".ljust(80, b" ") + struct.pack("<I", len(rows) if count is None else count) + body


def parsed(tmp_path: Path, name: str, data: bytes | str, **settings):
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with ParserPool(Settings(workers=1, ocr=False, **settings)) as pool:
        return pool.parse(path)


def pictures(outcome):
    facts = outcome.parsed.facts
    shown = [u for u in facts.units if u.label == "Image"]
    return {
        facts.text[slice(*u.caption)]: Image.open(io.BytesIO(outcome.parsed.media[u.media])).convert("RGB")
        for u in shown
    }


def test_each_side_of_a_model_is_a_picture(tmp_path) -> None:
    outcome = parsed(tmp_path, "tower.glb", scene())
    assert outcome.status == "ok" and outcome.media_type == "model/gltf-binary"
    facts = outcome.parsed.facts
    assert facts.meta == {"size": "2 x 2 x 2", "triangles": "12"} and "Lantern Room" in facts.text
    shown = pictures(outcome)
    assert len(shown) == 6
    for caption, picture in shown.items():
        side = caption.rstrip(".").split()[-1]
        assert picture.getpixel((192, 192)) == SIDES[side], caption
        assert picture.getpixel((2, 2)) == (255, 255, 255)
    assert outcome.parsed.media == parsed(tmp_path, "again.glb", scene()).parsed.media


def test_text_and_binary_forms_are_known_by_their_content(tmp_path) -> None:
    text_stl = painted_box().export(file_type="stl_ascii")
    assert sniff_bytes(text_stl.encode()) == sniff_bytes(stl()) == "model/stl"
    assert sniff_bytes(OBJ.encode()) == "model/obj" and sniff_bytes(scene()) == "model/gltf-binary"
    for name, data in (("a.stl", stl()), ("b.stl", text_stl), ("c.obj", OBJ), ("no-name", stl())):
        outcome = parsed(tmp_path, name, data)
        assert outcome.status == "ok" and len(pictures(outcome)) == 6, (name, outcome.reason)
    words = parsed(tmp_path, "c.obj", OBJ).parsed.facts.text
    assert "Harbour Crane" in words


@pytest.mark.parametrize(
    "text",
    [
        "v 1\nf 2\n",
        "Version 3 of the minutes.\nv 1 2 3 was the vote.\n",
        "solid advice\nfor facets\n",
        "v 1 2 3\n" + "words of a letter\n" * 9,
    ],
)
def test_plain_text_stays_text(text: str) -> None:
    assert sniff_bytes(text.encode()).startswith("text/")


def glb(document: dict, body: bytes = b"") -> bytes:
    head = json.dumps(document).encode()
    head += b" " * (-len(head) % 4)
    parts = (
        struct.pack("<I4s", len(head), b"JSON")
        + head
        + (struct.pack("<I4s", len(body), b"BIN\0") + body if body else b"")
    )
    return struct.pack("<4sII", b"glTF", 2, 12 + len(parts)) + parts


HUGE = {
    "asset": {"version": "2.0"}, "scenes": [{"nodes": [0]}], "nodes": [{"mesh": 0}],
    "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}], "buffers": [{"byteLength": 12, "uri": "file:///etc/passwd"}],
    "bufferViews": [{"buffer": 0, "byteLength": 12}],
    "accessors": [{"bufferView": 0, "componentType": 5126, "count": 4_000_000_000, "type": "VEC3"}],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("cut.glb", scene()[:200]),
        ("mark.glb", b"glTF" + bytes(60)),
        ("huge.glb", glb(HUGE, bytes(12))),
        (
            "deep.glb",
            glb({"asset": {"version": "2.0"}, "nodes": [{"children": [0]}], "scenes": [{"nodes": [0]}], "scene": 0}),
        ),
        ("nothing.glb", glb({"asset": {"version": "2.0"}})),
        ("points.obj", corner()),
        ("faces.obj", corner() + "f 1 2 99999\n"),
        ("nan.stl", stl()[:84] + b"\xff" * 600),
    ],
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_a_broken_model_has_a_reason(tmp_path, name, data) -> None:
    outcome = parsed(tmp_path, name, data)
    assert outcome.status in ("rejected", "failed", "empty"), outcome.reason
    assert outcome.reason


def test_a_name_that_lies_is_refused(tmp_path) -> None:
    assert "content is model/stl" in parsed(tmp_path, "photo.png", stl()).reason
    assert "content is text/plain" in parsed(tmp_path, "tower.stl", "A letter.\n").reason


def test_views_turn_and_do_not_mirror() -> None:
    for view in _VIEWS_Y_UP.values():
        assert np.linalg.det(np.array(view, dtype=float)) == pytest.approx(1.0)


@pytest.mark.parametrize("seed", range(6))
def test_the_picture_is_that_of_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size, n = 40, 30
    corners = (
        rng.uniform(-10, 50, (n, 3, 3)) if seed % 2 else rng.uniform(5, 35, (n, 1, 3)) + rng.uniform(-4, 4, (n, 3, 3))
    )
    colours = rng.integers(0, 255, (n, 3), dtype=np.uint8)
    found = rasterise(corners, colours, size)
    depth = np.full((size, size), -np.inf)
    plain = np.full((size, size), -1)
    for i, (a, b, c) in enumerate(corners):
        area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
        for y in range(size):
            for x in range(size):
                p = (x + 0.5, y + 0.5)
                w = [
                    ((q[0] - o[0]) * (p[1] - o[1]) - (q[1] - o[1]) * (p[0] - o[0])) / area
                    for o, q in ((b, c), (c, a), (a, b))
                ]
                z = w[0] * a[2] + w[1] * b[2] + w[2] * c[2]
                if min(w) >= 0 and z > depth[y, x]:
                    depth[y, x], plain[y, x] = z, i
    assert ((plain < 0) == (found == 255).all(axis=2)).mean() > 0.999
    for i in range(n):
        held = found[plain == i].astype(int)
        assert not len(held) or np.abs(held - held[0]).max() == 0


def test_a_fine_mesh_has_no_holes() -> None:
    ball = trimesh.creation.icosphere(5)
    seen = np.asarray(ball.triangles) * 45 + 50
    picture = rasterise(seen, np.full((len(seen), 3), 100, dtype=np.uint8), 100)
    y, x = np.mgrid[0:100, 0:100] + 0.5
    inside = (x - 50) ** 2 + (y - 50) ** 2 < 43**2
    assert (picture[inside] < 255).all() and (picture[(x - 50) ** 2 + (y - 50) ** 2 > 47**2] == 255).all()
