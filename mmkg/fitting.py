"""`mmkg train bridge`: a linear map from what a network sees in a picture to the text space, fitted on the captioned pictures of a base.

The truth is a caption's vector; ridge regression solves for it in closed form, and the contrastive variant goes on from there in
torch so that each caption finds its own picture among the others. What a map gains is measured on pictures that it did not see
(five folds), by finding each captioned picture by its caption among all captioned ones, before and after.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mmkg.algorithms.fusion import Float64Array
from mmkg.encode.bridge import BridgeEncoder
from mmkg.encode.fitted import FittedEncoder, LinearMap, fitted_entries
from mmkg.encode.spaces import record
from mmkg.errors import ConfigError, EncodeError, MissingDependencyError
from mmkg.protocols import Encoder, FloatArray
from mmkg.store.folder.writer import FolderWriter
from mmkg.store.neo4j.writer import ServerWriter

log = logging.getLogger(__name__)

FEWEST = 20
"""Captioned pictures below which nothing can be said about a gain."""
FOLDS = 5
RIDGE = 3.0
"""Strength of the ridge on unit features; 2 to 5 differ by less than a point of R@10 (COCO dev, cross-validation)."""
METHODS = ("ridge", "contrastive")
_STEPS, _RATE, _SCALE, _BATCH = 60, 2e-3, 15.0, 256
_AT = (1, 5, 10)

Writer = FolderWriter | ServerWriter
Tick = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BridgeReport:
    """What fitting gave. pictures: captioned ones. before, after: recall@1, 5 and 10, in 0..1, of captions over the captioned pictures,
    by the label bridge and by maps that did not see the picture. space: key of the fitted space, None where nothing was kept."""

    method: str
    pictures: int
    before: tuple[float, ...]
    after: tuple[float, ...]
    space: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Captioned pictures. media: sha256 of each; logits (n, 1000), features (n, 1280): what the network saw; captions: (n, dim)."""

    media: tuple[str, ...]
    logits: FloatArray
    features: FloatArray
    captions: FloatArray


def captioned(writer: Writer) -> list[tuple[str, str]]:
    """(sha256, caption) of each picture with a caption of its own, ordered by sha256; a picture that is there twice once.

    Words that are written in a picture are no caption.
    """
    found: dict[str, str] = {}
    for document in dict.fromkeys(
        document for document, _ in writer.images_without("")
    ):  # no space is called so: all pictures
        facts = writer.facts(document)
        for unit in facts.units:
            if unit.label == "Image" and unit.media and unit.caption:
                caption = " ".join(facts.text[slice(*unit.caption)].split())
                if len(caption) >= 3:
                    found.setdefault(unit.media, caption)
    return sorted(found.items())


def look(
    bridge: BridgeEncoder, text: Encoder, pictures: Sequence[tuple[str, str]], read: Callable[[str], bytes], tick: Tick
) -> Pairs:
    """What the network sees in pictures, and the vectors of their captions. Pictures that cannot be read are left out."""
    media, captions, logits, features = [], [], [], []
    for done, (sha256, caption) in enumerate(pictures, 1):
        try:
            one, more = bridge.look([read(sha256)])
        except EncodeError as e:
            log.warning("picture %s: %s", sha256[:12], e)
            continue
        media.append(sha256)
        captions.append(caption)
        logits.append(one[0])
        features.append(more[0])
        tick("pictures", done, len(pictures))
    if len(media) < FEWEST:
        raise ConfigError(
            f"the base has {len(media)} pictures with captions",
            hint=f"at least {FEWEST} are needed; some hundred are better",
        )
    return Pairs(
        media=tuple(media),
        logits=np.stack(logits),
        features=np.stack(features),
        captions=text.encode_document(captions),
    )


def fit(pairs: Pairs, rows: Sequence[int], method: str) -> LinearMap:
    """The map that these rows of the pairs give."""
    at = np.asarray(rows)
    mean = pairs.features[at].mean(axis=0)
    x = pairs.features[at] - mean
    x = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
    y = pairs.captions[at] - pairs.captions[at].mean(axis=0)
    # The dual form: one equation a picture, not one a feature.
    kernel = np.asarray(x @ x.T, dtype=np.float64) + RIDGE * np.eye(len(at))
    weights = x.T.astype(np.float64) @ np.linalg.solve(kernel, y.astype(np.float64))
    if method == "contrastive":
        weights = _contrasted(x, pairs.captions[at], weights)
    return LinearMap.of(mean, np.asarray(weights, dtype=np.float32))


def _contrasted(x: FloatArray, captions: FloatArray, weights: Float64Array) -> Float64Array:
    """The weights after some steps of InfoNCE both ways (van den Oord et al. 2018), from the ridge solution; the same on every run."""
    try:
        import torch
    except ImportError as e:
        raise MissingDependencyError(
            f"torch cannot be imported: {e}", hint='pip install "mmkg[torch]", or take --method ridge'
        ) from e
    generator = torch.Generator().manual_seed(1)
    features, target = torch.from_numpy(np.ascontiguousarray(x)), torch.from_numpy(np.ascontiguousarray(captions))
    start = torch.from_numpy(np.asarray(weights, dtype=np.float32) / max(float(np.std(x @ weights)), 1e-6) * 0.05)
    w = start.clone().requires_grad_(True)
    adam = torch.optim.Adam([w], lr=_RATE * float(start.abs().mean()) * 10)
    for _ in range(_STEPS):
        for part in torch.randperm(len(features), generator=generator).split(_BATCH):
            if len(part) < 2:
                continue
            seen = torch.nn.functional.normalize(features[part] @ w, dim=1)
            scores = _SCALE * seen @ target[part].T
            own = torch.arange(len(part))
            loss = torch.nn.functional.cross_entropy(scores, own) + torch.nn.functional.cross_entropy(scores.T, own)
            # Few captions would be learned by heart: stay near where ridge is.
            loss = loss + 0.5 * ((w - start) ** 2).sum() / (start**2).sum()
            adam.zero_grad()
            loss.backward()
            adam.step()
    return np.asarray(w.detach().numpy(), dtype=np.float64)


def folds_of(media: Sequence[str]) -> list[list[int]]:
    """The rows of each fold; a picture's fold is drawn from its hash, so it does not depend on what else is there."""
    order = sorted(range(len(media)), key=lambda i: hashlib.sha256(media[i].encode()).digest())
    return [sorted(order[i::FOLDS]) for i in range(FOLDS)]


def held_out(
    pairs: Pairs, bridge: BridgeEncoder, method: str, tick: Tick
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Recall of captions over all captioned pictures: of the label bridge, and of maps fitted without the picture's fold."""
    plain = bridge.vectors(pairs.logits)
    before, after = np.zeros(len(plain)), np.zeros(len(plain))
    for number, fold in enumerate(folds_of(pairs.media), 1):
        rest = [i for i in range(len(plain)) if i not in set(fold)]
        fitted = FittedEncoder(bridge, fit(pairs, rest, method)).vectors(pairs.logits, pairs.features)
        before[fold], after[fold] = _ranks(pairs.captions, plain, fold), _ranks(pairs.captions, fitted, fold)
        tick("folds", number, FOLDS)
    return _recalls(before), _recalls(after)


def _ranks(captions: FloatArray, pictures: FloatArray, rows: Sequence[int]) -> FloatArray:
    scores = captions[list(rows)] @ pictures.T
    own = scores[np.arange(len(rows)), list(rows)]
    return np.asarray((scores > own[:, None]).sum(axis=1), dtype=np.float32)


def _recalls(ranks: Float64Array) -> tuple[float, ...]:
    return tuple(round(float(np.mean(ranks < k)), 4) for k in _AT)


def fit_bridge(
    writer: Writer,
    bridge: BridgeEncoder,
    text: Encoder,
    *,
    method: str = "ridge",
    force: bool = False,
    tick: Tick = lambda what, done, total: None,
) -> BridgeReport:
    """Fit a map and, if it is better (recall@10, then @5) or `force`, keep it and give every picture its vector.

    Raises ConfigError for an unknown method or too few captions.
    """
    if method not in METHODS:
        raise ConfigError(f"unknown method {method!r}", hint=f"known: {', '.join(METHODS)}")
    pairs = look(bridge, text, captioned(writer), writer.blobs.read, tick)
    before, after = held_out(pairs, bridge, method, tick)
    report = BridgeReport(method=method, pictures=len(pairs.media), before=before, after=after, space=None)
    if not (force or after[:0:-1] > before[:0:-1]):
        return report
    encoder = FittedEncoder(bridge, fit(pairs, range(len(pairs.media)), method))
    key = encoder.space.key
    forget_bridge(writer, keep=key)
    spaces = dict(writer.manifest.spaces)
    spaces[key] = record(encoder) | {
        "modalities": sorted(encoder.modalities),
        "map": encoder.map.to_json(),
        "fitted": {"method": method, "pictures": len(pairs.media), "recall": {"before": before, "after": after}},
    }
    writer.set_manifest(replace(writer.manifest, spaces=spaces))
    seen = dict(zip(pairs.media, encoder.vectors(pairs.logits, pairs.features), strict=True))
    _fill(writer, encoder, seen, tick)
    return replace(report, space=key)


def _fill(writer: Writer, encoder: FittedEncoder, seen: dict[str, FloatArray], tick: Tick) -> None:
    """The vectors of all pictures of the base; a stop before the end is made good by the next `add`."""
    waiting = writer.images_without(encoder.space.key)
    outputs, documents = {}, set()
    for done, (document, media) in enumerate(waiting, 1):
        try:
            row = seen[media][None] if media in seen else encoder.encode_document([writer.blobs.read(media)])
        except EncodeError as e:
            log.warning("picture %s: %s", media[:12], e)
            continue
        outputs[bytes.fromhex(media), encoder.space.key] = row
        documents.add(document)
        tick("vectors", done, len(waiting))
    if outputs:
        writer.add_outputs(outputs)
        writer.republish(sorted(documents))


def forget_bridge(writer: Writer, *, keep: str = "") -> bool:
    """Take the fitted maps of a base out, and their vectors; False if there was none. keep: key of one that stays."""
    gone = [key for key in fitted_entries(writer.manifest.spaces) if key != keep]
    if not gone:
        return False
    left = {key: entry for key, entry in writer.manifest.spaces.items() if key not in gone}
    writer.set_manifest(replace(writer.manifest, spaces=left))
    writer.forget_spaces(gone)
    return True
