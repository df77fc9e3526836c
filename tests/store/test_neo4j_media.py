"""Media of a base on a server through fsspec: whatever it opens keeps, checks and gives back blobs as a folder does."""

from __future__ import annotations

import hashlib

import pytest

from mmkg.errors import StoreDamagedError
from mmkg.store.neo4j.media import Media

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(params=["file", "memory"])
def media(request, tmp_path):
    """Media in a folder, and in a store that is none: objects, as S3 has them."""
    if request.param == "file":
        return Media((tmp_path / "media").as_uri())
    fsspec.filesystem("memory").store.clear()
    return Media("memory://bucket/media")


def _key(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_blobs_come_back_as_they_went_in(media, tmp_path) -> None:
    file = tmp_path / "page.pdf"
    file.write_bytes(b"a page" * 1000)
    one, other = _key(file.read_bytes()), _key(b"a picture")
    media.put(file, one)
    media.put(b"a picture", other)
    media.put(b"a picture", other)  # what is there stays
    assert media.read(one) == file.read_bytes()
    assert sorted(media.all()) == sorted([one, other])
    with media.local(other) as path:
        assert path.read_bytes() == b"a picture"
    media.delete([other])
    assert media.intact(other) is None
    with pytest.raises(StoreDamagedError, match="is not at"):
        media.read(other)


def test_bytes_that_do_not_match_their_name_are_refused(media) -> None:
    with pytest.raises(StoreDamagedError, match="changed while they were copied"):
        media.put(b"other bytes", _key(b"some bytes"))
    assert list(media.all()) == []
    media.put(b"some bytes", _key(b"some bytes"))
    if media.url.startswith("memory"):
        fsspec.filesystem("memory").pipe_file(f"/bucket/media/{_key(b'some bytes')[:2]}/{_key(b'some bytes')}", b"else")
        assert media.intact(_key(b"some bytes")) is False
        with pytest.raises(StoreDamagedError, match="do not match their name"):
            media.read(_key(b"some bytes"))


@pytest.mark.neo4j
def test_a_base_with_its_media_in_an_object_store(make_kb, neo4j_url, write, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MMKG_CACHE", str(tmp_path / "cache"))
    fsspec.filesystem("memory").store.clear()
    path = write("ada.md", "# Ada Lovelace\n\nAda Lovelace wrote notes.\n")
    kb = make_kb(f"{neo4j_url}?media=memory://bucket/media")
    kb.add(path)
    assert kb.original(kb.documents()[0]["id"]) == path.read_bytes()
    assert kb.doctor() == []
    kb.remove(path)
    assert not fsspec.filesystem("memory").find("/bucket/media")
