"""Figure and table numbers: the label in a caption ("Figure 3: ...") and the mentions in text ("see Figs. 3 and 4")."""

from __future__ import annotations

import re
from collections.abc import Iterator

_KINDS = {
    "figure": "figure",
    "figures": "figure",
    "fig": "figure",
    "figs": "figure",
    "table": "table",
    "tables": "table",
    "tab": "table",
    "plate": "plate",
    "plates": "plate",
    "scheme": "scheme",
    "chart": "chart",
    "diagram": "diagram",
    "map": "map",
    "exhibit": "exhibit",
    "image": "image",
    "photo": "photo",
}
_NUMBER = r"(?:[A-Z]{1,2}[.-]?)?\d{1,4}(?:[.-]\d{1,3}(?!\d))*(?:\s?\([a-z]\)|[a-z](?![a-z]))?|[IVXL]{1,6}(?![A-Za-z])"
_NAME = r"(?P<kind>Figures?|Figs?|Tables?|Tab|Plates?|Scheme|Chart|Diagram|Map|Exhibit|Image|Photo)"
_MENTION = re.compile(
    rf"\b{_NAME}(?:\.\s*|\s+)(?P<list>(?:{_NUMBER})(?:\s*(?:,|–|-|to|and|&|, and)\s*(?:{_NUMBER}))*)", re.IGNORECASE
)
_ONE = re.compile(_NUMBER, re.IGNORECASE)
# "Figure 2-4" is the fourth figure of chapter 2; "Figures 2-4" are three figures.
_ONE_OF_MANY = re.compile(_NUMBER.replace("[.-]\\d", "[.]\\d"), re.IGNORECASE)
_RANGE_MARK = re.compile(r"\s*(?:–|-|to)\s*")
_MAX_RANGE = 30


def figure_label(caption: str) -> str:
    """The label that a caption begins with, in the form that labels_in gives, or "".

    >>> figure_label("Fig. 3: The descent stage"), figure_label("TABLE 2"), figure_label("The crew")
    ('figure 3', 'table 2', '')
    """
    match = _MENTION.match(caption.lstrip("*_ ([\n\t"))
    if not match:
        return ""
    return next(_labels(match))


def labels_in(text: str) -> frozenset[str]:
    """Labels of the figures and tables that the text names.

    >>> sorted(labels_in("As Figs. 2-4 and Table II show, see also (fig. 7a)."))
    ['figure 2', 'figure 3', 'figure 4', 'figure 7', 'figure 7a', 'table ii']
    """
    return frozenset(label for match in _MENTION.finditer(text) for label in _labels(match))


def _labels(match: re.Match[str]) -> Iterator[str]:
    kind = _KINDS[match["kind"].casefold()]
    previous: re.Match[str] | None = None
    one = _ONE_OF_MANY if match["kind"][-1] in "sS" else _ONE
    for number in one.finditer(match["list"]):
        word = re.sub(r"[\s()]", "", number.group()).casefold()
        if previous is not None and _RANGE_MARK.fullmatch(match["list"][previous.end() : number.start()]):
            first, last = previous.group(), number.group()
            if first.isdigit() and last.isdigit() and int(first) < int(last) <= int(first) + _MAX_RANGE:
                yield from (f"{kind} {i}" for i in range(int(first) + 1, int(last)))
        yield f"{kind} {word}"
        if word[-1].isalpha() and word[0].isdigit():
            yield f"{kind} {word[:-1]}"  # "Figure 7a" is a part of figure 7
        previous = number
