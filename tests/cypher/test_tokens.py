"""The tokenizer reads what engines read, or refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as s

from mmkg.cypher.tokens import MAX_LENGTH, normalise, tokenize
from mmkg.errors import CypherError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("RETURN 'it\\'s' AS x", ["RETURN", "it\\'s", "AS", "x"]),
        ('RETURN "a\'b"', ["RETURN", "a'b"]),
        ("RETURN `a``b`", ["RETURN", "a`b"]),
        ("[1..3]", ["[", "1", "..", "3", "]"]),
        ("-[:A*1..3]->", ["-", "[", ":", "A", "*", "1", "..", "3", "]", "->"]),
        ("RETURN .5, 1.5e-3, 0x1F", ["RETURN", ".5", ",", "1.5e-3", ",", "0x1F"]),
        ("$p + $`a b` + $0", ["p", "+", "a b", "+", "0"]),
        ("a /* ' \" ` */ b // c\nd", ["a", "b", "d"]),
        ("überà.ñ", ["überà", ".", "ñ"]),
        ("'// no comment' /* 'no string' */", ["// no comment"]),
        ("", []),
    ],
)
def test_tokens(text: str, tokens: list[str]) -> None:
    assert [t.text for t in tokenize(text)] == tokens


@pytest.mark.parametrize(
    "text",
    [
        "RETURN 'open",
        "RETURN `open",
        "RETURN /* open",
        "RETURN ``",
        "RETURN 1.SET",
        "RETURN 1SET",
        "RETURN 0xZZ",
        "\\u0053ET n.x = 1",
        "RETURN '\\u0027 SET n.x = 1 //'",
        "RETURN '\\uu0027'",
        "RETURN '\\\\u0027'",
        "// \\u000a LOAD CSV",
        "/* \\u002a\\u002f LOAD CSV */ RETURN 1",
        "RETURN `\\u0060`",
        "RETURN '\\d'",
        "RETURN 1\x00",
        "RETURN\x1f1",
        "RETURN S\u200bET",
        "RETURN \u2028 1 \ufeff",
        "RETURN 1 § 2",
        "x" * (MAX_LENGTH + 1),
    ],
    ids=lambda t: ascii(t)[:40],
)
def test_what_engines_read_differently_is_refused(text: str) -> None:
    with pytest.raises(CypherError):
        tokenize(text)


@given(s.text(alphabet=s.sampled_from("aSET '\"`/*\\\nu0027;().$:é\u00a0\r0123[]{}-<>=|"), max_size=60))
def test_normalised_text_has_the_same_tokens_at_the_same_places(text: str) -> None:
    try:
        tokens = tokenize(text)
    except CypherError:
        return
    plain = normalise(text, tokens)
    assert len(plain) == len(text)
    assert tokenize(plain) == tokens
    outside = list(plain)
    for token in tokens:
        outside[token.start : token.end] = " " * (token.end - token.start)
    assert set("".join(outside)) <= {" ", "\n"}


@given(s.text(max_size=40))
def test_a_quoted_value_is_one_token(value: str) -> None:
    escaped = "".join({"\\": "\\\\", "'": "\\'"}.get(c, c) for c in value)
    text = f"RETURN '{escaped}' AS x"
    if "\\u" in text:
        return
    assert [t.kind for t in tokenize(text)] == ["word", "string", "word", "word"]
