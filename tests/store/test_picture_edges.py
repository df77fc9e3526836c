"""SIMILAR and DEPICTS kept up step by step equal making them from scratch: in the ledger, and on both stores with real pictures."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, PngImagePlugin

from mmkg import KnowledgeBase
from mmkg.algorithms.likeness import PRINT_NUMBERS, bucket_keys, features, link
from mmkg.config import Settings
from mmkg.encode.prints import picture_print
from mmkg.extract.derive import EntityDeriver
from mmkg.extract.kinds import prompts
from mmkg.extract.names import NameExtractor
from mmkg.schema import PRINT_SPACE, PROMPTS_KEY
from mmkg.store import derivation, pictures
from mmkg.store.folder.derived import LedgerRows, derive_from_scratch
from mmkg.store.folder.facts import put_outputs, read, stage
from mmkg.store.folder.ledger import PICTURE_TABLES, Ledger
from mmkg.store.folder.picturerows import LedgerPictures, derive_pictures_anew
from mmkg.testing.encoders import HashingEncoder
from mmkg.testing.facts import facts_of, id_of
from mmkg.types import Modality, Unit

DIM = 16
N_PICTURES = 12
CAPTIONS = (
    "Ada Lovelace at her desk.",
    "Map of Blue Lagoon",
    "Photograph by Jan Mayen",
    "Paris Texas and Blue Lagoon",
    "A hill.",
)


def media(i):
    return hashlib.sha256(f"picture {i}".encode()).hexdigest()


def outputs_of(i):
    """Three families of near pictures; a picture of each second family has no vector."""
    family = np.random.default_rng(i % 3)
    own = np.random.default_rng(100 + i)
    bits = family.random(PRINT_NUMBERS * 8) < 0.5
    bits[own.choice(len(bits), size=i, replace=False)] ^= True
    out = {(bytes.fromhex(media(i)), PRINT_SPACE): np.packbits(bits).astype(np.float32)[None]}
    if i % 2:
        vector = family.standard_normal(DIM) + 0.05 * i * own.standard_normal(DIM)
        out[bytes.fromhex(media(i)), "vec@1"] = (vector / np.linalg.norm(vector)).astype(np.float32)[None]
    return out


def illustrated(title, text, shown):
    """Facts of a document with one figure for each (picture, caption number) of `shown`."""
    facts = facts_of(title, text + "".join(f"\n\n{CAPTIONS[c]}" for _, c in shown))
    units = list(facts.units)
    for m, c in shown:
        start = facts.text.index(CAPTIONS[c])
        span = (start, start + len(CAPTIONS[c]))
        names = tuple(
            replace(n, start=n.start + start, end=n.end + start) for n in NameExtractor().extract([CAPTIONS[c]])[0]
        )
        units.append(
            Unit(ordinal=len(units), label="Image", kind="figure", start=0, end=0, page=1, caption=span,
                 media=media(m), sentences=(span,), names=names)
        )  # fmt: skip
    return replace(facts, units=tuple(units))


_shown = st.lists(st.tuples(st.integers(0, N_PICTURES - 1), st.integers(0, len(CAPTIONS) - 1)), max_size=3)
_documents = st.builds(
    illustrated,
    st.sampled_from(["Ada Lovelace", "Blue Lagoon", "Paris Texas"]),
    st.sampled_from(["Ada Lovelace saw Blue Lagoon.", "Nothing is named here."]),
    _shown,
)
_steps = st.lists(st.tuples(st.booleans(), st.lists(_documents, min_size=1, max_size=3)), min_size=1, max_size=6)


@pytest.fixture
def ledgers(tmp_path):
    numbers = itertools.count()

    def make():
        root = tmp_path / str(next(numbers))
        root.mkdir()
        return Ledger.create(Path(root), "{}")

    return make


def own_id(facts):
    units = ",".join(f"{u.media}{u.caption}" for u in facts.units)
    return hashlib.sha256(f"{id_of(facts)}{units}".encode()).hexdigest()


def bring_in(ledger, deriver, documents):
    numbers = []
    for id_, facts in sorted(documents.items()):
        numbers.append(stage(ledger, id_, facts, n_bytes=1))
        put_outputs(ledger, {k: v for u in facts.units if u.media for i in range(N_PICTURES) if media(i) == u.media
                             for k, v in outputs_of(i).items()})  # fmt: skip
    change = derivation.apply(LedgerRows(ledger), deriver, added=numbers, removed=[])
    for no in numbers:
        ledger.db.execute("UPDATE document SET state = 'visible' WHERE no = ?", (no,))
    pictures.apply(LedgerPictures(ledger), deriver, added=numbers, removed=[], changed=change.units, gone=change.gone)


def take_out(ledger, deriver, ids):
    numbers = [no for (no,) in ledger.rows_in("SELECT no FROM document WHERE id IN {in}", ids)]
    change = derivation.apply(LedgerRows(ledger), deriver, added=[], removed=numbers)
    pictures.apply(LedgerPictures(ledger), deriver, added=[], removed=numbers, changed=change.units, gone=change.gone)
    for no in numbers:
        ledger.db.execute("DELETE FROM unit WHERE document = ?", (no,))
        ledger.db.execute("DELETE FROM section WHERE document = ?", (no,))
        ledger.db.execute("DELETE FROM document WHERE no = ?", (no,))


def tables(ledger):
    return {t: ledger.rows(f"SELECT * FROM {t} ORDER BY 1, 2") for t in PICTURE_TABLES}


@pytest.mark.parametrize(("bucket", "near"), [(3, 2), (128, 8)])
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_steps)
def test_incremental_equals_from_scratch(ledgers, monkeypatch, bucket, near, steps):
    monkeypatch.setattr(pictures, "BUCKET", bucket)
    monkeypatch.setattr(pictures, "NEAREST", near)
    ledger, deriver, present = ledgers(), EntityDeriver(), {}
    for add, documents in steps:
        with ledger.transaction():
            if add:
                new = {own_id(f): f for f in documents if own_id(f) not in present}
                bring_in(ledger, deriver, new)
                present |= new
            elif present:
                gone = sorted(present)[: len(documents)]
                take_out(ledger, deriver, gone)
                for id_ in gone:
                    del present[id_]
    kept = tables(ledger)
    with ledger.transaction():
        list(derive_from_scratch(ledger, deriver))
        derive_pictures_anew(ledger, deriver)
    assert tables(ledger) == kept
    other = ledgers()
    with other.transaction():
        for id_ in sorted(present, reverse=True):
            no = ledger.one("SELECT no FROM document WHERE id = ?", (id_,))[0]
            bring_in(other, deriver, {id_: read(ledger, no)})
    assert tables(other) == kept
    for one in (ledger, other):
        one.close()


# ---- prints ----


def drawn(seed, size=(320, 240)):
    """A picture of soft blobs: like a photograph, with edges at every scale."""
    chance = np.random.default_rng(seed)
    image = Image.new("RGB", size, tuple(chance.integers(0, 255, 3).tolist()))
    pen = ImageDraw.Draw(image)
    for _ in range(40):
        x, y, r = chance.integers(0, size[0]), chance.integers(0, size[1]), chance.integers(8, 90)
        pen.ellipse((x - r, y - r, x + r, y + r), fill=tuple(chance.integers(0, 255, 3).tolist()))
    return image


def encoded(image, kind="PNG", **options):
    import io

    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def seen(data):
    return features({PRINT_SPACE: picture_print(data)}, print_space=PRINT_SPACE)


@pytest.mark.parametrize(
    "change",
    [
        lambda i: encoded(i, "JPEG", quality=30),
        lambda i: encoded(i.resize((160, 120))),
        lambda i: encoded(ImageEnhance.Contrast(i).enhance(1.2)),
        lambda i: encoded(i, "WEBP", quality=60),
    ],
    ids=["compressed", "halved", "contrast", "webp"],
)
def test_a_copy_is_found_by_its_print(change):
    for seed in range(6):
        image = drawn(seed)
        a, b = seen(encoded(image)), seen(change(image))
        found = link(a, b)
        assert found is not None and found.reason == "copy" and link(b, a) == found
        assert set(bucket_keys(a)) & set(bucket_keys(b))


def test_other_pictures_and_even_pages_are_no_copies():
    prints = [seen(encoded(drawn(seed))) for seed in range(12)]
    assert not [1 for a, b in itertools.combinations(prints, 2) if link(a, b)]
    blank = seen(encoded(Image.new("RGB", (300, 400), "white")))
    assert blank.bits is None and link(blank, blank) is None and bucket_keys(blank) == []
    assert not picture_print(b"no picture").any()


# ---- both stores ----


def portrait(path, seed, caption, scale=1):
    info = PngImagePlugin.PngInfo()
    info.add_itxt("Description", caption)
    drawn(seed).resize((320 * scale, 240 * scale)).save(path, pnginfo=info)
    return path


def edges(kb):
    similar = kb.cypher(
        "MATCH (a:Image)-[r:SIMILAR]->(b:Image) RETURN a.id AS a, b.id AS b, r.score AS score, r.reason AS reason ORDER BY a, b"
    )
    shown = kb.cypher(
        "MATCH (a:Image)-[r:DEPICTS]->(e:Entity) RETURN a.id AS a, e.id AS e, r.score AS score, r.reason AS reason ORDER BY a, e"
    )
    return similar.rows, shown.rows


def encoders():
    return {
        "text_encoder": HashingEncoder(),
        "image_encoder": HashingEncoder(name="pixels", modalities=frozenset({Modality.IMAGE})),
    }


def through_changes(open_base, folder):
    """The same files added one by one with detours, and at once into a fresh base: the same edges. Yields both."""
    folder.mkdir()
    crane = portrait(folder / "crane.png", 1, "Elias Crane in the lantern room.")
    plain = folder / "copy.jpg"
    drawn(1).resize((160, 120)).save(plain, quality=60)
    other = portrait(folder / "other.png", 2, "Penelope Vey in her garden, with the dog.")
    late = portrait(folder / "late.png", 3, "Photograph by Una Castellane")
    with open_base("grown") as kb:
        kb.add(plain)
        assert edges(kb) == ((), ())
        kb.add(crane)
        similar, shown = edges(kb)
        assert [row[3] for row in similar] == ["copy"]
        assert {(row[1], row[3].split(" of ")[0]) for row in shown} == {
            ("elias crane", "the caption leads with it"),
            ("elias crane", "a copy"),
        }
        kb.add(other, late)
        kb.remove(crane)
        assert {row[1] for row in edges(kb)[1]} == {"penelope vey"} and edges(kb)[0] == ()
        kb.add(crane)
        # The same place shows another picture now: one more copy.
        portrait(late, 1, "Nothing is named in this one.", scale=2)
        kb.add(late)
        grown = edges(kb)
        assert len(grown[0]) == 3 and not [p for p in kb.doctor() if p.kind != "source-gone"]
    with open_base("fresh") as kb:
        kb.add(folder)
        assert edges(kb) == grown
        kb.rebuild()
        assert edges(kb) == grown


def test_edges_in_a_folder(tmp_path):
    through_changes(lambda name: KnowledgeBase(tmp_path / name, **encoders()), tmp_path / "files")


@pytest.mark.neo4j
def test_edges_on_a_server(tmp_path, neo4j_url):
    made = []
    address = f"{neo4j_url}?media=file://{tmp_path}/media"

    def open_base(name):
        if made:
            with KnowledgeBase(address) as kb:
                kb.remove(tmp_path / "files")
                assert edges(kb) == ((), ()) and kb.cypher("MATCH (b:_Bucket) RETURN count(b) AS n").rows == ((0,),)
        made.append(name)
        return KnowledgeBase(address, **encoders())

    through_changes(open_base, tmp_path / "files")


def test_pictures_that_came_without_an_encoder_are_tied_later(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        drawn(5, size=(300, 200)).save(folder / name, pnginfo=None)
    (folder / "b.png").write_bytes((folder / "a.png").read_bytes() + b"\0")
    words, pixels = encoders().values()
    with KnowledgeBase(tmp_path / "kb", text_encoder=words, settings=Settings(image_encoder="none")) as kb:
        kb.add(folder)
        assert [row[3] for row in edges(kb)[0]] == ["copy"]
    with KnowledgeBase(tmp_path / "kb", text_encoder=words, image_encoder=pixels) as kb:
        kb.add(folder)
        found = edges(kb)
        assert kb.doctor() == []
        kb.rebuild()
        assert edges(kb) == found
    ledger = Ledger.open(tmp_path / "kb")
    rows = ledger.rows("SELECT n FROM output WHERE key = ?", (PROMPTS_KEY,))
    ledger.close()
    assert rows == [(len(prompts()),)]
