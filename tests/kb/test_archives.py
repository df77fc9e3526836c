"""Archives and attachments: each member is a document of its own, named archive.zip!/inner/file; adding, changing, removing stay exact."""

from __future__ import annotations

import io
import os
import shutil
import stat
import zipfile
from email.message import EmailMessage
from pathlib import Path

import pytest

from mmkg.config import Limits
from mmkg.errors import NotFoundError
from mmkg.store.folder.doctor import is_problem
from mmkg.testing.hostile_files import deflate_repeated, zip_entry
from mmkg.testing.pdf_files import one_page, stream

GALE = b"# Perpetua Gale\n\nPerpetua Gale kept the Pellworth Gauge from 1951.\n"
QUARRIE = b"Anselm Quarrie built the Pellworth Gauge in Harrow Bay.\n"
REPORT = one_page(stream(b"BT /F1 14 Tf 72 700 Td (The Harrow Survey was led by Imogen Vance.) Tj ET"))


def packed(members: dict[str, bytes], **options) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, **options) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return out.getvalue()


def mail(*attached: tuple[str, bytes]) -> bytes:
    message = EmailMessage()
    message["From"], message["To"] = "Perpetua Gale <gale@example.org>", "quarrie@example.org"
    message["Subject"], message["Date"] = "The survey of Harrow", "Tue, 03 Mar 1998 09:30:00 +0000"
    message.set_content("Dear Anselm,\n\nHere is the survey.\n")
    for name, data in attached:
        message.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return bytes(message)


def statuses(report) -> dict[str, tuple[str, str]]:
    """What comes after the folder of files in each URI -> (status, reason code)."""
    return {d.uri.partition("/files/")[2]: (d.status, d.reason_code) for d in report.documents}


def uris(kb) -> set[str]:
    return {u.partition("/files/")[2] for d in kb.documents() for u in d["uris"]}


def test_an_archive_gives_what_its_unpacked_folder_gives(make_kb, write, tmp_path):
    inner = packed({"deep/quarrie.txt": QUARRIE})
    path = write("letters.zip", packed({"1962/report.pdf": REPORT, "gale.md": GALE, "inner.zip": inner}))
    kb = make_kb(tmp_path / "a")
    assert statuses(kb.add(path)) == {
        "letters.zip": ("skipped", "archive"),
        "letters.zip!/1962/report.pdf": ("added", ""),
        "letters.zip!/gale.md": ("added", ""),
        "letters.zip!/inner.zip": ("skipped", "archive"),
        "letters.zip!/inner.zip!/deep/quarrie.txt": ("added", ""),
    }
    loose = [write("x/r.pdf", REPORT, "loose"), write("g.md", GALE, "loose"), write("q.txt", QUARRIE, "loose")]
    plain = make_kb(tmp_path / "b")
    plain.add(*loose)
    assert kb.digest(deep=True) == plain.digest(deep=True)
    hit = kb.search("Who led the Harrow Survey?", k=1)[0]
    assert hit.document.uri == path.as_uri() + "!/1962/report.pdf"
    assert hit.locator.page == 1 and hit.locator.bbox is not None
    assert not [p for p in kb.doctor() if is_problem(p)]
    assert not [p for p in kb.doctor() if p.kind == "source-gone"], "the archive is there"
    before = kb.digest()
    assert set(statuses(kb.add(path)).values()) == {("unchanged", ""), ("skipped", "archive")}
    assert kb.digest() == before


def test_a_changed_archive_updates_adds_and_drops(make_kb, write, tmp_path):
    path = write("a.zip", packed({"one.md": GALE, "two.txt": QUARRIE, "in.zip": packed({"r.pdf": REPORT})}))
    kb = make_kb(tmp_path / "a")
    kb.add(path)
    changed = GALE.replace(b"1951", b"1962")
    path.write_bytes(packed({"one.md": changed, "three.pdf": REPORT, "in.zip": packed({"other.txt": QUARRIE[:-1]})}))
    assert statuses(kb.add(path)) == {
        "a.zip": ("skipped", "archive"),
        "a.zip!/in.zip": ("skipped", "archive"),
        "a.zip!/one.md": ("updated", ""),
        "a.zip!/three.pdf": ("added", "same-bytes"),
        "a.zip!/two.txt": ("removed", "gone"),
        "a.zip!/in.zip!/r.pdf": ("removed", "gone"),
        "a.zip!/in.zip!/other.txt": ("added", ""),
    }
    fresh = make_kb(tmp_path / "b")
    fresh.add(path)
    assert kb.digest(deep=True) == fresh.digest(deep=True)
    assert uris(kb) == uris(fresh) == {"a.zip!/one.md", "a.zip!/three.pdf", "a.zip!/in.zip!/other.txt"}
    path.write_bytes(QUARRIE)  # what was an archive is a text now, whose name lies; then one whose name does not
    assert statuses(kb.add(path)) == {"a.zip": ("rejected", "name")}
    assert len(uris(kb)) == 3, "what was read before stays"
    path.write_bytes(packed({}))
    kb.add(path)
    assert uris(kb) == set()


def test_removing_an_archive_removes_what_lies_in_it(make_kb, write, tmp_path):
    path = write("a.zip", packed({"b/gale.md": GALE, "quarrie.txt": QUARRIE}))
    write("other.txt", b"Tobias Merrow painted the Lantern Steps.\n")
    kb = make_kb(tmp_path / "a")
    kb.add(path.parent)
    assert {d.uri.rpartition("/")[2] for d in kb.remove(f"{path}!/b/gale.md")} == {"gale.md"}
    assert uris(kb) == {"a.zip!/quarrie.txt", "other.txt"}
    kb.add(path)
    assert len(kb.remove("a.zip", purge=True)) == 3
    assert uris(kb) == {"other.txt"}
    never = make_kb(tmp_path / "b")
    never.add(path.parent / "other.txt")
    assert kb.digest(deep=True) == never.digest(deep=True)
    assert all(b"Quarrie" not in p.read_bytes() for p in kb.root.rglob("*") if p.is_file())
    with pytest.raises(NotFoundError):
        kb.remove("a.zip!/quarrie.txt")


def test_prune_and_moves_know_where_a_member_lies(make_kb, write, tmp_path):
    path = write("a.zip", packed({"gale.md": GALE}))
    kb = make_kb()
    kb.add(path.parent)
    assert kb.add(path.parent, prune=True).counts == {"unchanged": 1, "skipped": 1}
    moved = path.rename(path.with_name("b.zip"))
    assert statuses(kb.add(moved)) == {"b.zip": ("skipped", "archive"), "b.zip!/gale.md": ("moved", "moved")}
    moved.unlink()
    assert kb.add(path.parent, prune=True).counts["removed"] == 3
    assert kb.sources() == []


def test_attachments_are_documents_beside_their_message(make_kb, write, tmp_path):
    inside = packed({"gale.md": GALE})
    path = write("a.eml", mail(("report.pdf", REPORT), ("../../notes.txt", QUARRIE), ("letters.zip", inside)))
    kb = make_kb(tmp_path / "a")
    expected = {
        "a.eml": ("added", ""),
        "a.eml!/letters.zip": ("skipped", "archive"),
        "a.eml!/letters.zip!/gale.md": ("added", ""),
        "a.eml!/notes.txt": ("added", ""),
        "a.eml!/report.pdf": ("added", ""),
    }
    assert statuses(kb.add(path)) == expected
    assert set(statuses(kb.add(path)).values()) == {("unchanged", ""), ("skipped", "archive")}
    path.write_bytes(mail(("report.pdf", REPORT)))
    kb.add(path)
    fresh = make_kb(tmp_path / "b")
    fresh.add(path)
    assert kb.digest(deep=True) == fresh.digest(deep=True)
    assert uris(kb) == {"a.eml", "a.eml!/report.pdf"}
    kb.remove(str(path))
    assert uris(kb) == set()


def test_a_recording_in_an_archive_has_its_subtitles(make_kb, write, tmp_path):
    demo = Path(__file__).resolve().parents[2] / "data" / "demo" / "files"
    subtitles = b"1\n00:00:01,000 --> 00:00:04,000\nPerpetua Gale speaks of the Pellworth Gauge.\n"
    sound = (demo / "radio-talk-1953.mp3").read_bytes()
    path = write("talks.zip", packed({"a/talk.mp3": sound, "a/talk.srt": subtitles, "b/talk.txt": QUARRIE}))
    kb = make_kb(tmp_path / "a", speech="none")
    found = statuses(kb.add(path))
    assert found["talks.zip!/a/talk.srt"] == ("skipped", "subtitles")
    hit = kb.search("Perpetua Gale", modality="audio")[0]
    assert hit.locator.seconds is not None and "Pellworth" in hit.text
    for name, data in (("talk.mp3", sound), ("talk.srt", subtitles), ("t.txt", QUARRIE)):
        write(name, data, "loose")
    plain = make_kb(tmp_path / "b", speech="none")
    plain.add(tmp_path / "loose")
    assert kb.digest() == plain.digest()


def hostile() -> dict[str, tuple[bytes, dict[str, tuple[str, str]]]]:
    """name -> (bytes, what must come of it and of what lies in it)."""
    info = zipfile.ZipInfo("link.txt")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    links = io.BytesIO()
    with zipfile.ZipFile(links, "w") as archive:
        archive.writestr(info, "/etc/passwd")
        for name in ("../up.txt", "/etc/absolute.txt", "C:\\drive.txt", "a/../../b.txt", "good.txt"):
            archive.writestr(zipfile.ZipInfo(name), b"Tobias Merrow wrote this.\n")
    nested = GALE
    for n in range(5):
        nested = packed({f"level{n}.zip" if n else "gale.md": nested})
    zeros = deflate_repeated(bytes(1 << 24), 20)[2:-4]
    bomb_of_bombs = packed({f"{n}.zip": zip_entry(b"z.txt", zeros, 20 << 24, 0) for n in range(4)})
    whole = packed({"one.txt": QUARRIE, "two.txt": GALE})
    broken = bytearray(whole)
    broken[45] ^= 0xFF  # inside the first member's data
    secret = bytearray(packed({"secret.txt": QUARRIE}))
    secret[6] |= 1
    secret[secret.index(b"PK\x01\x02") + 8] |= 1
    twice = io.BytesIO()
    with zipfile.ZipFile(twice, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("a.txt", b"the first of the name is hidden by the second\n")
        archive.writestr("a.txt", QUARRIE)
    rejected, archive = "rejected", ("skipped", "archive")
    return {
        "names.zip": (
            links.getvalue(),
            {
                "": archive,
                "!/link.txt": ("skipped", "not-a-file"),
                "!/../up.txt": (rejected, "member"),
                "!//etc/absolute.txt": (rejected, "member"),
                "!/C%3A/drive.txt": (rejected, "member"),
                "!/a/../../b.txt": (rejected, "member"),
                "!/good.txt": ("added", ""),
            },
        ),
        "nested.zip": (
            nested,
            {"": archive, "!/level4.zip": archive, "!/level4.zip!/level3.zip": archive}
            | {"!/level4.zip!/level3.zip!/level2.zip": (rejected, "nested")},
        ),
        "ratio.zip": (
            zip_entry(b"zeros.txt", zeros, 20 << 24, 0),
            {"": archive, "!/zeros.txt": (rejected, "expanded_bytes")},
        ),
        "bombs.zip": (
            bomb_of_bombs,
            {"": archive}
            | {f"!/{n}.zip": archive for n in range(4)}
            | {f"!/{n}.zip!/z.txt": (rejected, "expanded_bytes") for n in range(4)},
        ),
        "size.zip": (zip_entry(b"zeros.txt", zeros, 3 << 30, 0), {"": (rejected, "expanded_bytes")}),
        "lies.zip": (zip_entry(b"zeros.txt", zeros, 1000, 0), {"": archive, "!/zeros.txt": (rejected, "damaged")}),
        "many.zip": (packed({f"{n}.txt": b"" for n in range(300)}), {"": (rejected, "members")}),
        "broken.zip": (
            bytes(broken),
            {"": archive, "!/one.txt": (rejected, "damaged"), "!/two.txt": ("added", "")},
        ),
        "cut.zip": (whole[:-30], {"": (rejected, "damaged")}),
        "secret.zip": (bytes(secret), {"": archive, "!/secret.txt": (rejected, "encrypted")}),
        "twice.zip": (twice.getvalue(), {"": archive, "!/a.txt": ("added", "")}),
        "hidden.zip": (packed({"__MACOSX/._a.txt": b"x", ".git/config": b"y", "b/.DS_Store": b"z"}), {"": archive}),
    }


def test_hostile_archives(make_kb, write, tmp_path, monkeypatch):
    """Each member has its own status; nothing lands outside, nothing stays in the temporary folder, neighbours come in."""
    spare = tmp_path / "spare"
    spare.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(spare))
    cases = hostile()
    for name, (data, _) in cases.items():
        write(name, data)
    good = write("good.md", GALE)
    kb = make_kb(limits=Limits(members=200, expanded_bytes=2**30, memory_bytes=2**30))
    before = {str(p) for p in tmp_path.rglob("*")}
    found = statuses(kb.add(good.parent))
    expected = {f"{name}{inner}": what for name, (_, whole) in cases.items() for inner, what in whole.items()}
    # The same words lie in two archives and beside them: who comes first has no reason, the others name it.
    plain = {k: (s, "" if c == "same-bytes" else c) for k, (s, c) in found.items()}
    assert plain == expected | {"good.md": ("added", "")}
    assert {str(p) for p in tmp_path.rglob("*") if not p.is_relative_to(kb.root)} == before
    assert not [p for p in kb.doctor() if is_problem(p)]
    digest = kb.digest()
    kb.add(good.parent)
    assert kb.digest() == digest


def test_an_archive_that_breaks_keeps_what_was_read(make_kb, write):
    path = write("a.zip", packed({"gale.md": GALE}))
    kb = make_kb()
    kb.add(path)
    path.write_bytes(path.read_bytes()[:-40])
    report = kb.add(path).documents[0]
    assert (report.status, report.reason_code) == ("rejected", "damaged")
    assert report.reason.endswith("(the version read before stays)")
    assert uris(kb) == {"a.zip!/gale.md"}


def test_programs_are_not_unpacked(make_kb, write):
    kb = make_kb()
    path = write("tool.jar", packed({"META-INF/MANIFEST.MF": b"Manifest-Version: 1.0\n", "readme.txt": GALE}))
    assert statuses(kb.add(path)) == {"tool.jar": ("skipped", "unsupported")}


def test_the_command_line_names_members(make_kb, write, tmp_path):
    path = write("a b.zip", packed({"Wow! (1).md": GALE}))
    kb = make_kb()
    kb.add(path)
    assert [d["uris"] for d in kb.documents()] == [[path.as_uri() + "!/Wow%21%20%281%29.md"]]
    assert len(kb.remove("a b.zip!/Wow! (1).md")) == 1
    shutil.rmtree(path.parent)
    assert not os.path.exists(path)
