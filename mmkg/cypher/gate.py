"""The gate that a user's Cypher passes before any engine sees it.

A read-only handle is not a sandbox: every engine tried still reads local files through LOAD CSV, and answers SHOW
SETTINGS. So the text is tokenised here (mmkg.cypher.tokens) and must be of this form, or it is refused:

    query    := clause+            one statement; a single `;` may end it
    first    := MATCH | OPTIONAL MATCH | UNWIND | WITH | RETURN | CALL
    CALL     := CALL [(names)] { query } | CALL procedure(...) [YIELD ...]
    procedure:= db.labels | db.relationshipTypes | db.propertyKeys
    function := one of FUNCTIONS (pure, and the same on each engine)
    hops     := -[... *n..m ...]-  with an upper bound of at most 15

Words of clauses that write, reach outside or administer are refused wherever they stand as a keyword. They are allowed
as names where no clause can begin: in strings, back-ticks and comments, after `.` (property), after `:` (label, type), before
`:` in a map, as `$parameter`, and as the last alias of a projection (`RETURN 1 AS set`). As a variable they need
back-ticks, except words that only begin whole statements (`copy`, `show`, ...), which may also stand where an operand must follow.

The gate is one of three walls. The others are the engine's read-only mode and the limits of the process it runs in.
"""

from __future__ import annotations

from mmkg.cypher.tokens import NUMBER, PARAMETER, QUOTED, STRING, SYMBOL, WORD, Token, normalise, position, tokenize
from mmkg.errors import CypherError, WriteRefusedError

MAX_HOPS = 15
MAX_DEPTH = 50
"""Deepest nesting of brackets: engines parse by recursion, and a stack overflow ends the process."""
MAX_CHAIN = 500
"""Most operators, dots and CASE words in one query, for the same reason (kglite's own limit is 512 levels)."""
MAX_UNIONS = 50
"""kglite overflows its stack somewhere between 500 and 900."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


PROCEDURES = frozenset({"db.labels", "db.relationshiptypes", "db.propertykeys"})

FUNCTIONS = _words(
    """
    abs acos all any asin atan atan2 avg ceil char_length character_length coalesce collect cos cot count date
    datetime degrees duration e elementid endnode exists exp floor haversin head id isempty isnan keys labels last left
    length localdatetime localtime log log10 lower ltrim max min nodes none nullif pi properties radians rand range reduce
    relationships replace reverse right round rtrim sign sin single size split sqrt startnode stdev stdevp substring
    sum tail tan time toboolean tobooleanornull tofloat tofloatornull tointeger tointegerornull tolower tostring
    tostringornull toupper trim type upper point point.distance date.truncate datetime.truncate duration.between
    duration.indays duration.inmonths duration.inseconds percentilecont percentiledisc shortestpath allshortestpaths
    """
)

_FIRST = frozenset({"MATCH", "OPTIONAL", "UNWIND", "WITH", "RETURN", "CALL"})

_WRITES = {
    **dict.fromkeys(_words("CREATE MERGE INSERT SET DELETE DETACH NODETACH REMOVE FOREACH"), "it writes to the graph"),
    **dict.fromkeys(_words("DROP ALTER"), "it changes the schema"),
}
_OUTSIDE = {
    **dict.fromkeys(_words("LOAD COPY IMPORT EXPORT ATTACH INSTALL UNINSTALL"), "it reaches outside the base"),
    **dict.fromkeys(
        _words(
            """
            USE SHOW GRANT DENY REVOKE RENAME TERMINATE START STOP ENABLE DRYRUN PRAGMA REALLOCATE DEALLOCATE TRANSACTIONS
            PERIODIC COMMIT ROLLBACK BEGIN CHECKPOINT CYPHER EXPLAIN PROFILE FORMAT SEARCH FINISH DETACHED EXTENSION DATABASE
            """
        ),
        "it is no part of a read-only query",
    ),
}
# Words after which an operand must follow, so that no clause can begin there. THEN and ELSE are not among them: Cypher 25
# has clauses after these.
_OPERAND_WORDS = frozenset(
    {"RETURN", "WHERE", "AND", "OR", "XOR", "NOT", "IN", "BY", "UNWIND", "DISTINCT", "WHEN", "CONTAINS"}
)
_OPERAND_SYMBOLS = frozenset({"(", "[", ",", "=", "<", ">", "<=", ">=", "<>", "+", "/", "%", "^", "=~"})
_KEYWORDS_BEFORE_BRACKET = _words(
    """
    MATCH OPTIONAL WHERE RETURN WITH UNWIND CALL AND OR XOR NOT IN AS BY ON CASE WHEN THEN ELSE END DISTINCT LIMIT SKIP OFFSET
    UNION CONTAINS STARTS ENDS IS NULL ASC DESC ASCENDING DESCENDING YIELD ORDER USING FILTER HAVING
    """
)
_CHAIN_WORDS = _words("AND OR XOR NOT CASE WHEN IN CONTAINS")
_ALIAS_ENDS = frozenset({"ORDER", "LIMIT", "SKIP", "OFFSET", "UNION"})


def check(cypher: str) -> None:
    """Raise WriteRefusedError if the query could write or reach outside, CypherError if it cannot be read or bounded.

    >>> check("MATCH (c:Chunk) WHERE c.text CONTAINS 'DELETE' RETURN c.id AS id LIMIT 3")
    >>> check("MATCH (n) DETACH DELETE n")
    Traceback (most recent call last):
    ...
    mmkg.errors.WriteRefusedError: DETACH at line 1, column 11 is refused: it writes to the graph; ...
    """
    prepare(cypher)


def prepare(cypher: str) -> str:
    """Check a query and give the text to run: the same, with comments and a final `;` blanked, at the same offsets."""
    tokens = tokenize(cypher)
    while tokens and _is(tokens[-1], ";"):
        tokens.pop()
    if not tokens:
        raise CypherError("the query is empty")
    _Gate(cypher, tokens).run()
    return normalise(cypher, tokens)


def _is(token: Token | None, *symbols: str) -> bool:
    return token is not None and token.kind == SYMBOL and token.text in symbols


class _Gate:
    """One pass over the tokens of one query."""

    def __init__(self, cypher: str, tokens: list[Token]) -> None:
        self.cypher = cypher
        self.tokens = tokens

    def at(self, i: int) -> Token | None:
        return self.tokens[i] if 0 <= i < len(self.tokens) else None

    def word(self, i: int) -> str:
        token = self.at(i)
        return token.folded if token is not None else ""

    def refuse(self, i: int, why: str, hint: str = "") -> WriteRefusedError:
        token = self.tokens[i]
        where = position(self.cypher, token.start)
        return WriteRefusedError(f"{token.text} at {where} is refused: {why}", hint=hint)

    def wrong(self, i: int, why: str, hint: str = "") -> CypherError:
        return CypherError(f"{why} at {position(self.cypher, self.tokens[i].start)}", hint=hint)

    def run(self) -> None:
        self.check_shape()
        first = self.tokens[0]
        if first.folded in _WRITES or first.folded in _OUTSIDE:
            raise self.refuse(0, (_WRITES | _OUTSIDE)[first.folded], "only reading queries run here")
        if first.folded not in _FIRST:
            raise self.wrong(
                0, f"a query cannot begin with {first.text}", "begin with MATCH, UNWIND, WITH, RETURN or CALL"
            )
        for i, token in enumerate(self.tokens):
            if token.kind == WORD:
                self.check_word(i)
            elif _is(token, "["):
                self.check_hops(i)
            elif _is(token, "(") and i and self.tokens[i - 1].kind in (WORD, QUOTED):
                self.check_function(i - 1)

    def check_shape(self) -> None:
        stack: list[str] = []
        chain = unions = 0
        for i, token in enumerate(self.tokens):
            if token.kind == WORD:
                chain += token.folded in _CHAIN_WORDS
                unions += token.folded == "UNION"
                if unions > MAX_UNIONS:
                    raise self.wrong(i, f"more than {MAX_UNIONS} UNIONs")
            elif token.kind != SYMBOL:
                continue
            elif token.text == ";":
                raise self.refuse(i, "one statement at a time", "run the statements one by one")
            elif token.text in ("(", "[", "{"):
                stack.append({"(": ")", "[": "]", "{": "}"}[token.text])
                if len(stack) > MAX_DEPTH:
                    raise self.wrong(i, f"brackets nested more than {MAX_DEPTH} deep")
            elif token.text in (")", "]", "}"):
                if not stack or stack.pop() != token.text:
                    raise self.wrong(i, f"unmatched {token.text}")
            elif token.text not in (",", ":"):
                chain += 1
            if chain > MAX_CHAIN:
                raise self.wrong(i, f"more than {MAX_CHAIN} operators", "pass long lists as parameters: x IN $list")
        if stack:
            raise CypherError(f"the query ends before a closing {stack[-1]}")

    def check_word(self, i: int) -> None:
        word = self.tokens[i].folded
        if word == "CALL" and not self.is_name(i):
            self.check_call(i)
            return
        why = _WRITES.get(word) or _OUTSIDE.get(word)
        if why is None:
            return
        # The one clause that reads files on every engine is refused wherever it stands: no name is followed by CSV.
        load_csv = word == "LOAD" and self.word(i + 1) == "CSV"
        if not load_csv and (self.is_name(i) or (word in _OUTSIDE and self.operand_expected(i))):
            return
        hint = (
            f"as a name, write `{self.tokens[i].text}` in back-ticks"
            if self.maybe_name(i)
            else "only reading queries run here"
        )
        raise self.refuse(i, why, hint)

    def is_name(self, i: int) -> bool:
        """Whether the word can only be a property, a label, a map key or an alias: places where no clause can begin."""
        before, after = self.at(i - 1), self.at(i + 1)
        if _is(before, "."):
            owner = self.at(i - 2)
            return owner is not None and owner.kind != NUMBER
        if _is(before, ":", "|:"):
            # After a map key a value follows, and `{a: x SET ...}` cannot be closed: any engine refuses it.
            return True
        if _is(before, "|", "&"):
            return self.in_label_expression(i - 1)
        if _is(before, "{", ",") and _is(after, ":"):
            return True
        return self.is_last_alias(i)

    def in_label_expression(self, i: int) -> bool:
        """Whether the `|` or `&` at i joins labels or types: `:A|B|C`."""
        while _is(self.at(i), "|", "&"):
            name = self.at(i - 1)
            if name is None or name.kind not in (WORD, QUOTED):
                return False
            i -= 2
        return _is(self.at(i), ":")

    def is_last_alias(self, i: int) -> bool:
        """`expression AS word` with nothing but the end, a comma or ORDER, LIMIT, SKIP, UNION after it."""
        if self.word(i - 1) != "AS":
            return False
        value = self.at(i - 2)
        if value is None or _is(self.at(i - 3), "."):
            ends_value = value is not None
        elif value.kind == WORD:
            ends_value = value.folded not in _KEYWORDS_BEFORE_BRACKET or value.folded in ("END", "NULL")
        else:
            ends_value = value.kind in (QUOTED, STRING, NUMBER, PARAMETER) or _is(value, ")", "]", "}")
        after = self.at(i + 1)
        return ends_value and (after is None or _is(after, ",", "}") or self.word(i + 1) in _ALIAS_ENDS)

    def operand_expected(self, i: int) -> bool:
        before = self.at(i - 1)
        if before is None:
            return False
        if before.kind == WORD:
            return before.folded in _OPERAND_WORDS and not _is(self.at(i - 2), ".", ":")
        return before.kind == SYMBOL and before.text in _OPERAND_SYMBOLS

    def maybe_name(self, i: int) -> bool:
        return self.operand_expected(i) or self.word(i - 1) in ("AS", "WITH")

    def dotted(self, i: int) -> tuple[str, int]:
        """The dotted name that ends at token i, folded, and the index of its first part."""
        parts = [self.tokens[i].text]
        while _is(self.at(i - 1), ".") and (owner := self.at(i - 2)) is not None and owner.kind in (WORD, QUOTED):
            parts.append(owner.text)
            i -= 2
        return ".".join(reversed(parts)).casefold(), i

    def check_call(self, i: int) -> None:
        j = i + 1
        if _is(self.at(j), "("):
            while j < len(self.tokens) and not _is(self.at(j), ")"):
                j += 1
            j += 1
        if _is(self.at(j), "{"):
            return  # a subquery: its words are checked like all others
        end = i + 1
        while _is(self.at(end + 1), "."):
            end += 2
        token = self.at(end)
        if token is None or token.kind not in (WORD, QUOTED):
            raise self.refuse(i, "no procedure is named")
        name, _ = self.dotted(end)
        if name not in PROCEDURES:
            raise self.refuse(
                i,
                f"the procedure {name} is not among those allowed",
                "allowed: db.labels, db.relationshipTypes, db.propertyKeys",
            )

    def check_function(self, i: int) -> None:
        """The name before a `(`: a keyword, an allowed function, or an allowed procedure after CALL."""
        token = self.tokens[i]
        name, first = self.dotted(i)
        if first == i and token.kind == WORD and token.folded in _KEYWORDS_BEFORE_BRACKET:
            return
        if self.word(first - 1) == "CALL" and not self.is_name(first - 1):
            return  # check_call has judged it
        if name in FUNCTIONS:
            return
        raise self.refuse(
            i, f"the function {name} is not among those that run on each engine", "docs/cypher.md lists them"
        )

    def check_hops(self, i: int) -> None:
        """`-[... *n..m ...]-` must say how far it goes."""
        if not _is(self.at(i - 1), "-", "<-", "->"):
            return
        j = i + 1
        while j < len(self.tokens) and not _is(self.at(j), "]", "{", "["):
            if _is(self.at(j), "*"):
                break
            j += 1
        if not _is(self.at(j), "*"):
            return
        low, dots, high = self.at(j + 1), self.at(j + 2), self.at(j + 3)
        bound: Token | None = None
        if _is(low, ".."):
            bound = dots
        elif low is not None and low.kind == NUMBER:
            bound = high if _is(dots, "..") else low
        elif not _is(low, "]", "{"):
            return  # a product in a list: -[a * b]
        hint = f"write an upper bound of at most {MAX_HOPS}: *1..3"
        if bound is None or bound.kind != NUMBER:
            raise self.wrong(j, "a path of any length", hint)
        if not bound.text.isdecimal() or int(bound.text) > MAX_HOPS:
            raise self.wrong(j, f"a path of up to {bound.text} hops", hint)
