"""Languages: told where there are words enough, never of English, and kept with the document."""

from __future__ import annotations

import pytest

from mmkg.extract.language import language_of
from mmkg.types import languages_of

GERMAN = "Der Leuchtturm wurde im Jahr 1871 gebaut, und er steht noch immer auf der Klippe über dem Hafen."
FRENCH = "Le phare fut construit en 1871 et il se dresse encore sur la falaise au-dessus du port."
ENGLISH = "The lighthouse was built in 1871, and it still stands on the cliff above the harbour."


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (GERMAN, "de"),
        (FRENCH, "fr"),
        ("El faro fue construido en 1871 y todavía está en el acantilado sobre el puerto.", "es"),
        ("Il faro fu costruito nel 1871 e si trova ancora sulla scogliera sopra il porto.", "it"),
        ("De vuurtoren werd in 1871 gebouwd en staat nog steeds op de klif boven de haven.", "nl"),
        ("Latarnia została zbudowana w 1871 roku i nadal stoi na klifie nad portem, który jest stary.", "pl"),
        ("Маяк был построен в 1871 году и до сих пор стоит на скале над гаванью.", "ru"),
        ("Ο φάρος χτίστηκε το 1871 και στέκεται ακόμα στον βράχο.", "el"),
        ("灯台は1871年に建てられ、今も港の上の崖に立っている。", "ja"),
        ("灯塔建于1871年，至今仍矗立在港口上方的悬崖上。", "zh"),
        ("등대는 1871년에 지어졌으며 지금도 항구 위 절벽에 서 있다.", "ko"),
        ("بنيت المنارة عام 1871 ولا تزال قائمة على الجرف فوق الميناء.", "ar"),
        (ENGLISH, ""),
        ("", ""),
        ("Grey Petrel | Port Ferren | 12.5 | Tamar Light | Elias Crane | Penrock Head | Aune | 1871 | Ockham", ""),
        (
            "Johann Sebastian Bach wrote Die Kunst der Fuge and Das Wohltemperierte Klavier in Leipzig, as is well known.",
            "",
        ),
        ("x = [i for i in range(10) if i % 2 == 0]; print(sum(x), max(x), die, das, in_, und)", ""),
    ],
)
def test_language_of(text, language) -> None:
    assert language_of(text) == language


def test_units_are_tagged_filtered_and_said_plainly(make_kb, write, tmp_path) -> None:
    kb = make_kb()
    german, mixed = (
        write("turm.md", f"# Der Turm\n\n{GERMAN}\n"),
        write("both.md", f"# One\n\n{ENGLISH}\n\n# Deux\n\n{FRENCH}\n"),
    )
    report = kb.add(
        german, mixed, write("plain.md", "# Plain\n\nNobody lived there in 1871, and boats came only in summer.\n")
    )
    told = {d.uri.rsplit("/", 1)[-1]: d.reason for d in report.documents}
    assert "another language (de); the name finder and the stemmer are English" in told["turm.md"]
    assert "1 of 2 units are in another language (fr)" in told["both.md"]
    assert told["plain.md"] == ""
    for where, expected in (
        ("lang=de", {"turm.md"}),
        ("lang=fr", {"both.md"}),
        ("lang!=de", {"both.md", "plain.md"}),
        ("lang=en", {"both.md", "plain.md"}),
        ("lang=de|fr", {"turm.md", "both.md"}),
        ("lang=sv", set()),
    ):
        hits = kb.search("1871", where=where, k=20)
        assert {h.document.uri.rsplit("/", 1)[-1] for h in hits} == expected, where
    (hit,) = kb.search("1871", where="lang=fr")
    assert "phare" in hit.text
    assert kb.show("turm.md")["languages"] == {"de": 1} and kb.show("turm.md")["meta"] == {}
    assert "lang:units" not in kb.properties()
    other = make_kb(tmp_path / "other")
    kb.copy_to(other)
    assert other.digest() == kb.digest()
    kb.tag("turm.md", put=["a=b"])
    assert [h.document.name for h in kb.search("1871", where=["lang=de", "tag:a=b"])] == ["Der Turm"]


def test_what_cannot_be_read_is_left_out() -> None:
    assert languages_of({"lang:units": "de x 1-y, fr 2"}) == {"de": [], "fr": [2]}
    assert languages_of({}) == {}
