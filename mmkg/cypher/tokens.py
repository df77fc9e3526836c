"""A tokenizer for Cypher that no text can talk past: it either gives tokens or raises CypherError.

It is stricter than the engines on purpose. Where two engines read the same characters differently (Unicode escapes
outside strings, control characters, `1.MATCH`), the text is refused, so that what the gate judged is what is run.
`normalise` writes the tokens back with comments and odd white space blanked out, at the same offsets.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from mmkg.errors import CypherError

MAX_LENGTH = 20_000
"""Longest query, in characters."""

WORD, QUOTED, STRING, NUMBER, PARAMETER, SYMBOL = "word", "quoted", "string", "number", "parameter", "symbol"

_NUMBER = re.compile(r"0[xX][0-9a-fA-F]+|0o[0-7]+|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SYMBOLS = ("<=", ">=", "<>", "!=", "=~", "+=", "..", "::", "->", "<-", "||", "|:")
_SINGLE = frozenset("()[]{}.,:;=<>+-*/%^|&!?$@~#")
_ESCAPES = frozenset("bfnrt\\'\"uU")
_HEX = re.compile(r"\\u+([0-9a-fA-F]{4})")
# Characters that would end a string, name or comment if an engine decoded the escape before it looks for tokens (Neo4j does).
_UNSAFE_DECODED = frozenset("'\"`\\/*\r\n\u2028\u2029")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a query. kind: word, quoted, string, number, parameter or symbol; text: as written, without back-ticks,
    quotes or `$`; start, end: half-open span in the query."""

    kind: str
    text: str
    start: int
    end: int

    @property
    def folded(self) -> str:
        """The word as the most lenient engine may read it: compatibility forms and case folded, upper case."""
        return unicodedata.normalize("NFKC", self.text).casefold().upper() if self.kind == WORD else ""


def tokenize(cypher: str) -> list[Token]:
    """Tokens of a query, comments left out. Raises CypherError with the position of what cannot be read.

    >>> [t.text for t in tokenize("MATCH (n) // all\\nRETURN n.id")]
    ['MATCH', '(', 'n', ')', 'RETURN', 'n', '.', 'id']
    """
    if len(cypher) > MAX_LENGTH:
        raise CypherError(
            f"the query has {len(cypher)} characters; at most {MAX_LENGTH} are read",
            hint="pass long values as parameters",
        )
    tokens: list[Token] = []
    at, n = 0, len(cypher)
    while at < n:
        c = cypher[at]
        if c.isspace():
            if c in "\x1c\x1d\x1e\x1f\x85":
                raise _bad(cypher, at, f"control character U+{ord(c):04X}")
            at += 1
        elif cypher.startswith("//", at):
            at = _comment(cypher, at, _line_end(cypher, at))
        elif cypher.startswith("/*", at):
            close = cypher.find("*/", at + 2)
            if close < 0:
                raise _bad(cypher, at, "a comment that does not end")
            at = _comment(cypher, at, close + 2)
        elif c in "'\"":
            end = _string_end(cypher, at)
            tokens.append(Token(STRING, cypher[at + 1 : end - 1], at, end))
            at = end
        elif c == "`":
            end = _quoted_end(cypher, at)
            tokens.append(Token(QUOTED, cypher[at + 1 : end - 1].replace("``", "`"), at, end))
            at = end
        elif "0" <= c <= "9" or (c == "." and "0" <= cypher[at + 1 : at + 2] <= "9"):
            at = _number(cypher, at, tokens)
        elif c == "$" and at + 1 < n and (_is_name(cypher[at + 1]) or cypher[at + 1] == "`"):
            at = _parameter(cypher, at, tokens)
        elif _is_name_start(c):
            end = _name_end(cypher, at)
            tokens.append(Token(WORD, cypher[at:end], at, end))
            at = end
        else:
            symbol = next((s for s in _SYMBOLS if cypher.startswith(s, at)), c)
            if symbol not in _SYMBOLS and symbol not in _SINGLE:
                raise _bad(cypher, at, _named(c))
            tokens.append(Token(SYMBOL, symbol, at, at + len(symbol)))
            at += len(symbol)
    return tokens


def normalise(cypher: str, tokens: list[Token]) -> str:
    """The query with everything between its tokens blanked (line breaks kept), so that no engine sees a comment.

    Offsets stay the same, and with them the positions in an engine's error messages.
    """
    out: list[str] = []
    at = 0
    for token in tokens:
        out.append(_blank(cypher[at : token.start]))
        out.append(cypher[token.start : token.end])
        at = token.end
    out.append(_blank(cypher[at:]))
    return "".join(out)


def position(cypher: str, at: int) -> str:
    """Where an offset lies, as a person counts: "line 2, column 5"."""
    line = cypher.count("\n", 0, at) + 1
    return f"line {line}, column {at - (cypher.rfind(chr(10), 0, at) + 1) + 1}"


def _blank(text: str) -> str:
    return "".join("\n" if c == "\n" else " " for c in text)


def _bad(cypher: str, at: int, what: str, *, hint: str = "") -> CypherError:
    return CypherError(f"cannot read the query at {position(cypher, at)}: {what}", hint=hint)


def _named(c: str) -> str:
    return f"{c!r}" if c.isprintable() else f"character U+{ord(c):04X}"


def _line_end(cypher: str, at: int) -> int:
    end = cypher.find("\n", at)
    return len(cypher) if end < 0 else end


def _comment(cypher: str, at: int, end: int) -> int:
    if "\\u" in cypher[at:end]:
        raise _bad(cypher, at, "a Unicode escape in a comment (some engines decode it before they look for the end)")
    if "\r" in cypher[at:end].replace("\r\n", "\n").removesuffix("\r"):
        raise _bad(cypher, at, "a carriage return in a comment (some engines end it there)")
    return end


def _string_end(cypher: str, at: int) -> int:
    quote, i = cypher[at], at + 1
    while i < len(cypher):
        c = cypher[i]
        if c == quote:
            _check_escapes(cypher, at, i)
            return i + 1
        if c == "\\":
            if i + 1 < len(cypher) and cypher[i + 1] not in _ESCAPES:
                raise _bad(
                    cypher, i, f"unknown escape \\{cypher[i + 1]} in a string", hint="write a backslash as two: \\\\"
                )
            i += 1
        i += 1
    raise _bad(cypher, at, "a string that does not end")


def _check_escapes(cypher: str, start: int, end: int) -> None:
    for m in _HEX.finditer(cypher, start, end):
        c = chr(int(m[1], 16))
        if c in _UNSAFE_DECODED or not c.isprintable():
            raise _bad(
                cypher,
                m.start(),
                f"the escape {m[0]} in a string",
                hint="pass the value as a parameter, or use \\' \\n",
            )


def _quoted_end(cypher: str, at: int) -> int:
    i = at + 1
    while (i := cypher.find("`", i)) >= 0:
        if cypher.startswith("``", i):
            i += 2
            continue
        body = cypher[at + 1 : i]
        if "\\u" in body or any(unicodedata.category(c) == "Cc" for c in body):
            raise _bad(cypher, at, "an escape or control character in a back-ticked name")
        if not body:
            raise _bad(cypher, at, "an empty back-ticked name")
        return i + 1
    raise _bad(cypher, at, "a back-ticked name that does not end")


def _number(cypher: str, at: int, tokens: list[Token]) -> int:
    m = _NUMBER.match(cypher, at)
    assert m is not None  # the caller saw a digit
    end = m.end()
    rest = cypher[end : end + 2]
    # `1.SET` and `1SET` are two tokens for some engines and an error for others.
    if (rest[:1] == "." and rest != "..") or (rest and _is_name(rest[0])):
        raise _bad(cypher, at, f"a number followed by {_named(rest[0])}", hint="put a blank after the number")
    tokens.append(Token(NUMBER, m[0], at, end))
    return end


def _parameter(cypher: str, at: int, tokens: list[Token]) -> int:
    if cypher[at + 1] == "`":
        end = _quoted_end(cypher, at + 1)
        tokens.append(Token(PARAMETER, cypher[at + 2 : end - 1].replace("``", "`"), at, end))
    else:
        end = _name_end(cypher, at + 1)
        tokens.append(Token(PARAMETER, cypher[at + 1 : end], at, end))
    return end


def _name_end(cypher: str, at: int) -> int:
    while at < len(cypher) and _is_name(cypher[at]):
        at += 1
    return at


def _is_name_start(c: str) -> bool:
    return c == "_" or c.isalpha() or unicodedata.category(c) in ("Nl", "Pc")


def _is_name(c: str) -> bool:
    # Format characters (zero width) are no part of a name here, though some engines skip them: they are refused.
    return c == "_" or c.isalnum() or unicodedata.category(c) in ("Nl", "Pc", "Mn", "Mc", "Nd")
