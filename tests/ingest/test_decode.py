"""Bytes to text: many encodings, and what must be refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmkg.errors import LoadError
from mmkg.ingest.decode import decode, normalise

SAMPLE = "The café in Zürich opened in 1969; “naïve” visitors paid 5 € — or nothing.\nAnd so on."


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings_of_latin_text(encoding: str) -> None:
    assert decode(SAMPLE.encode(encoding)) == SAMPLE


RUSSIAN = "Первый человек ступил на поверхность Луны в тысяча девятьсот шестьдесят девятом году. " * 6
JAPANESE = "アポロ十一号は人類を初めて月に着陸させた宇宙飛行でした。その後も計画は続きました。" * 6


@pytest.mark.parametrize(
    ("text", "encoding"),
    [(RUSSIAN, "cp1251"), (RUSSIAN, "koi8-r"), (RUSSIAN, "utf-8"), (JAPANESE, "shift_jis"), (JAPANESE, "euc_jp")],
)
def test_legacy_encodings_are_detected(text: str, encoding: str) -> None:
    assert decode(text.encode(encoding)) == text


def test_a_declared_encoding_is_used() -> None:
    assert decode("Привет".encode("cp1251"), hint="windows-1251") == "Привет"


def test_an_unknown_declared_encoding_does_no_harm() -> None:
    assert decode("naïve".encode("cp1252"), hint="rot13") == "naïve"


@pytest.mark.parametrize(
    "data",
    [
        b"hello\x00world\x00" * 50,
        bytes(range(256)) * 20,
        b"\x00" * 1000,
        b"\x01\x02\x03\x04" * 100,
        b"\xff\xfe" + b"\x01\x00\x02\x00" * 100,
        b"text " + b"\x7f" * 50,
    ],
    ids=["nuls", "all bytes", "zeros", "controls", "utf-16 controls", "delete"],
)
def test_what_is_not_text_is_refused_with_a_reason(data: bytes) -> None:
    with pytest.raises(LoadError, match=r"not text|unknown text encoding"):
        decode(data)


def test_text_cut_inside_a_character_keeps_the_rest() -> None:
    assert decode("Zürich café".encode()[:-1]) == "Zürich caf"
    assert decode("abcd".encode("utf-16")[:-1]) == "abc"


def test_a_few_broken_bytes_leave_no_mark() -> None:
    data = bytearray(("Zürich café naïve " * 100).encode())
    data[600:600] = b"\xff"
    text = decode(bytes(data))
    assert "\ufffd" not in text and "ÿ" not in text
    assert text.count("Zürich") == 100


def test_line_ends_and_controls() -> None:
    assert decode(b"a\r\nb\rc\x0bd\x1b[0m\te") == "a\nb\ncd[0m\te"


@given(st.text())
def test_normalised_text_has_no_control_characters_and_stays(text: str) -> None:
    once = normalise(text)
    assert not any((ord(c) < 32 and c not in "\n\t") or 127 <= ord(c) < 160 or 0xD800 <= ord(c) < 0xE000 for c in once)
    assert normalise(once) == once


@given(st.binary(max_size=400))
def test_any_bytes_give_text_or_a_load_error(data: bytes) -> None:
    try:
        decode(data).encode("utf-8")
    except LoadError as e:
        assert str(e)
