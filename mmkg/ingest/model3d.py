"""3D models (GLB, OBJ, STL): six pictures, from each side, and the names of their parts as words. trimesh reads them; nothing outside the file
is opened: textures and material libraries beside it are left out.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from mmkg.config import Limits
from mmkg.errors import LimitExceededError, LoadError, MissingDependencyError
from mmkg.ingest.pictures import png_bytes
from mmkg.ingest.raster import Floats, rasterise
from mmkg.ingest.raw import Block, Figure, RawDocument
from mmkg.ingest.textbuild import TextBuilder

GLB, OBJ, STL = "model/gltf-binary", "model/obj", "model/stl"
SIDE = 384
"""Pixels of a picture's side."""
MOST_TRIANGLES = 2_000_000
_MOST_NAMES = 200
_GREY = (190, 190, 195)

# Right, up and towards the eye, as rows, where y is up (glTF says so, OBJ files mostly); STL files have z up.
_VIEWS_Y_UP = {
    "the front": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "the back": ((-1, 0, 0), (0, 1, 0), (0, 0, -1)),
    "the left": ((0, 0, 1), (0, 1, 0), (-1, 0, 0)),
    "the right": ((0, 0, -1), (0, 1, 0), (1, 0, 0)),
    "above": ((1, 0, 0), (0, 0, -1), (0, 1, 0)),
    "below": ((1, 0, 0), (0, 0, 1), (0, -1, 0)),
}
_TO_Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=np.float64)


def load_model(path: Path, media_type: str, limits: Limits, ocr: bool) -> RawDocument:
    """Read a model. Raises LoadError if it is damaged or has no surface, LimitExceededError("pixels") for more than MOST_TRIANGLES,
    MissingDependencyError without trimesh."""
    scene = _opened(path.read_bytes(), media_type.rpartition("/")[2].replace("gltf-binary", "glb"), path)
    triangles, colours, names = _surface(scene)
    if media_type == STL:
        triangles = triangles @ _TO_Y_UP.T
    low, high = triangles.min(axis=(0, 1)), triangles.max(axis=(0, 1))
    builder = TextBuilder(limits.characters)
    blocks: list[Block] = []
    if names:
        start, end = builder.add("Parts: " + ", ".join(names) + ".")
        blocks.append(Block(start=start, end=end))
    figures = []
    for where, view in _VIEWS_Y_UP.items():
        builder.paragraph()
        caption = builder.add(f"The model seen from {where}.")
        blocks.append(Block(start=caption[0], end=caption[1], kind="caption"))
        picture = _picture(triangles, colours, np.array(view, dtype=np.float64), (low + high) / 2, high - low)
        figures.append(Figure(kind="figure", width=SIDE, height=SIDE, anchor=caption[0], data=picture, caption=caption))
    size = " x ".join(f"{v:.4g}" for v in (high - low))
    return RawDocument(
        media_type=media_type,
        text=builder.text(),
        blocks=tuple(blocks),
        figures=tuple(figures),
        meta={"triangles": str(len(triangles)), "size": size},
    )


def _opened(data: bytes, kind: str, path: Path) -> Any:
    try:
        import trimesh
    except ImportError as e:
        raise MissingDependencyError("3D models need trimesh", hint='pip install "mmkg[models3d]"') from e
    try:
        # Without a resolver nothing that the file names is looked for.
        return trimesh.load_scene(io.BytesIO(data), file_type=kind, resolver=None, process=False)
    except MemoryError:
        raise
    except Exception as e:  # its readers raise whatever a stranger's bytes make them trip over
        raise LoadError(f"damaged model: {type(e).__name__}: {' '.join(str(e).split())[:120]}", path=path) from e


def _surface(scene: Any) -> tuple[Floats, Any, list[str]]:
    """(n, 3, 3) corners in the scene's place, (n, 3) colours, and the names of parts and materials, each once."""
    corners, colours = [], []
    names: dict[str, None] = {}
    count = 0
    for node in sorted(scene.graph.nodes_geometry):
        matrix, name = scene.graph[node]
        mesh = scene.geometry[name]
        faces = getattr(mesh, "faces", None)
        if faces is None or not len(faces):
            continue  # points or lines
        count += len(faces)
        if count > MOST_TRIANGLES:
            raise LimitExceededError("pixels", f"more than {MOST_TRIANGLES} triangles")
        at = np.asarray(mesh.vertices, dtype=np.float64) @ np.asarray(matrix)[:3, :3].T + np.asarray(matrix)[:3, 3]
        corners.append(at[np.asarray(faces, dtype=np.int64)])
        colours.append(_colours(mesh, len(faces)))
        material = getattr(getattr(mesh.visual, "material", None), "name", None)
        for word in (node, name, material):
            if isinstance(word, str) and _is_name(word):
                names.setdefault(" ".join(word.replace("_", " ").split())[:80])
    if not corners:
        raise LoadError("a model without surfaces")
    triangles, shades = np.concatenate(corners), np.concatenate(colours)
    sound = np.isfinite(triangles).all(axis=(1, 2)) & (np.abs(triangles) < 1e12).all(axis=(1, 2))
    if not sound.any():
        raise LoadError("a model whose corners are no numbers")
    return triangles[sound], shades[sound], list(names)[:_MOST_NAMES]


def _is_name(word: str) -> bool:
    """Whether a part was given a name: not one that a program counted up."""
    plain = word.strip().casefold()
    return any(c.isalpha() for c in plain) and not plain.startswith(
        ("geometry", "world", "material_0", "mesh_", "node_")
    )


def _colours(mesh: Any, n: int) -> Any:
    """(n, 3) uint8: colours of faces where the file has them, else of the material, else grey."""
    flat = np.full((n, 3), _GREY, dtype=np.uint8)
    try:
        if mesh.visual.kind in ("face", "vertex"):
            found = np.asarray(mesh.visual.face_colors)[:, :3]
            return found.astype(np.uint8) if found.shape == (n, 3) else flat
        if mesh.visual.kind == "texture":
            flat[:] = np.asarray(mesh.visual.material.main_color)[:3]
    except (AttributeError, ValueError, TypeError, IndexError, ZeroDivisionError):
        pass  # a broken colour leaves the shape
    return flat


def _picture(triangles: Floats, colours: Any, view: Floats, middle: Floats, extent: Floats) -> bytes:
    """PNG of the model from one side, as large as it fits."""
    from PIL import Image

    seen = (triangles - middle) @ view.T
    scale = 0.9 * SIDE / max(float(np.max(extent)), 1e-12)
    seen = np.stack([SIDE / 2 + scale * seen[..., 0], SIDE / 2 - scale * seen[..., 1], scale * seen[..., 2]], axis=-1)
    return png_bytes(Image.fromarray(rasterise(seen, colours, SIDE)))
