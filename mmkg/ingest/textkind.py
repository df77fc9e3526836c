"""What kind of text a text is: markup, table, data, code or prose, by the look of its first 64 KiB."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Sequence

from mmkg.ingest.titles import ABBREVIATED

_HTML = re.compile(r"<!doctype\s+html|<html[\s>]|<head[\s>]|<body[\s>]", re.IGNORECASE)
_TAG = re.compile(r"</?(?:p|div|span|h[1-6]|ul|ol|li|table|tr|td|a|br|img|section|article|title|meta)\b[^<>]*>", re.I)
_SHEBANG = re.compile(r"#!.*?\b(python|bash|sh|zsh|node|perl|ruby|lua|php|Rscript)[\d.]*\b")
_SHELLS = {"bash": "shell", "sh": "shell", "zsh": "shell", "node": "javascript", "Rscript": "r"}
_FENCE = re.compile(r"^ {0,3}(```|~~~).*?(?:^ {0,3}\1|\Z)", re.MULTILINE | re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n[\w-]+:[^\n]*\n(?:[^\n]*\n){0,200}?---\n")

_HEADING_ENDS = rf"(?:(?<![.:;,=#-])|{ABBREVIATED})"
_MARKDOWN: tuple[tuple[str, float, int], ...] = (
    # pattern, points for each match, most matches counted
    # A heading stands alone, and is no rule or sentence; comments in scripts and settings are often both.
    (r"(?:\A\s*|\n\n)#{1,6} (?![-=#*\s])[^\n]{1,150}" + _HEADING_ENDS + r"\n(?:\n|\Z)", 2.0, 3),
    (r"(?:\A\s*|\n\n)#{2,6} (?![-=#*\s])[^\n]{1,150}" + _HEADING_ENDS + r"(?=\n|\Z)", 1.0, 3),
    (r"\A\s*#{1,6} \S[^\n]*\Z", 2.0, 1),
    (r"^[^\s#>|-][^\n]{0,80}\n(?:={3,}|-{3,})\s*\n", 1.5, 3),
    (r"!?\[[^\]\n]{0,200}\]\([^()\s]{1,500}(?: \"[^\"\n]*\")?\)", 1.5, 4),
    (r"^\|.*\|\s*\n\|?\s*:?-{3,}:?\s*\|", 2.0, 2),
    (r"(?<![\w*])\*\*[^*\n]{1,200}\*\*(?![\w*])", 0.7, 4),
    (r"(?<![\w_])_[^_\n]{1,100}_(?![\w_])", 0.7, 4),
    (r"(?<![`\w])`[^`\n]{1,100}`(?![`\w])", 0.4, 4),
    (r"^(?:[-*+]|\d+\.) \S", 0.1, 5),
    (r"^\[[^\]\n]+\]: \S+", 1.0, 2),
    (r"^> \S", 0.3, 3),
)
_MARKDOWN_COMPILED = tuple((re.compile(p, re.MULTILINE), points, most) for p, points, most in _MARKDOWN)

# Lines that hardly occur outside the language. A file is code if many of its lines match and it has several kinds.
_LANGUAGES: dict[str, tuple[str, ...]] = {
    "python": (
        r"\s*(?:async )?def \w+\(.*",
        r"\s*class \w+(?:\([\w., =\[\]]*\))?:\s*",
        r"(?:from [\w.]+ )?import [\w., ()*]+(?: as \w+)?",
        r"\s*(?:if|elif|for|while|with|except|else|try|finally)\b.*:\s*(?:#.*)?",
        r"\s+return\b.*",
        r"\s*@[\w.]+(?:\(.*\))?",
        r"\s*(?:self\.)?\w+(?:: [\w\[\], |.]+)? = .*",
        r"\s*(?:print|raise|assert|yield|await)\b[ (].*",
    ),
    "javascript": (
        r"\s*(?:export )?(?:default )?(?:async )?function\b.*\{\s*",
        r"\s*(?:export )?(?:const|let|var) [\w{}\[\], :<>]+ = .*",
        r"import .* from ['\"].*['\"];?",
        r".*=> ?\{?.*[;{,)]\s*",
        r"\s*\}\)?[;,]?\s*",
        r"\s*(?:return|await|throw)\b.*;\s*",
        r"\s*(?:if|for|while|switch) \(.*\) ?\{\s*",
        r"\s*(?:console|document|window|module)\.\w+.*",
    ),
    "java": (
        r"(?:import|package|using|namespace) [\w.*]+;\s*",
        r"\s*(?:public|private|protected|internal|static|final)\b.*[{;(,]\s*",
        r"\s*@\w+(?:\(.*\))?\s*",
        r"\s*\}\s*",
        r"\s*(?:if|for|while|switch|catch) ?\(.*\) ?\{?\s*",
        r"\s*(?:return|throw|new)\b.*;\s*",
        r"\s*[\w.<>\[\]]+ \w+ = .*;\s*",
    ),
    "c": (
        r"\s*#\s*(?:include|define|ifdef|ifndef|endif|pragma|if|else)\b.*",
        r"(?:[\w:*&<>]+ +)+[\w:*&~]+\(.*\)\s*(?:const)?\s*\{?\s*",
        r"\s*(?:const |static |unsigned |struct |enum |typedef |template|auto |std::)\S*.*[;{,>]\s*",
        r"\s*\}[;\s]*",
        r"\s*(?:if|for|while|switch) ?\(.*\) ?\{?\s*",
        r"\s*(?:return|break|continue|case|using)\b.*[;:]\s*",
        r"\s*[\w.>\-\[\]*]+ [-+*/|&]?= .*;\s*",
    ),
    "go": (
        r"package \w+",
        r"import (?:\(|\".*\")",
        r"func (?:\(.*\) )?\w+\(.*\{\s*",
        r"\s*\w[\w, ]* := .*",
        r"\s*(?:if|for|switch|select)\b.*\{\s*",
        r"\s*\}\s*",
        r"\s*return\b.*",
        r"type \w+ (?:struct|interface) \{",
    ),
    "rust": (
        r"\s*(?:pub(?:\(\w+\))? )?(?:async )?fn \w+.*",
        r"\s*let (?:mut )?\w+.*;\s*",
        r"\s*(?:pub )?(?:use|mod|struct|enum|trait|impl)\b.*[;{]\s*",
        r"\s*#!?\[.*\]\s*",
        r"\s*\}[;,)]*\s*",
        r"\s*(?:match|if|for|while|loop)\b.*\{\s*",
        r".*::\w+.*[;,({]\s*",
    ),
    "shell": (
        r"\s*(?:if|elif|while|until) .*; (?:then|do)\s*",
        r"\s*(?:fi|done|esac|then|else|do)\s*",
        r"\s*(?:export |local |readonly )?[A-Za-z_]\w*=\S*.*",
        r"\s*(?:echo|cd|mkdir|rm|cp|mv|set|source|exit|sudo|curl|git|docker|pip|apt-get)\b .*",
        r"\s*\w+\(\) \{\s*",
        r"\s*for \w+ in .*",
    ),
    "sql": (
        r"\s*(?:SELECT|INSERT INTO|UPDATE|DELETE FROM|CREATE|ALTER|DROP|WITH)\b.*",
        r"\s*(?:FROM|WHERE|GROUP BY|ORDER BY|LEFT JOIN|INNER JOIN|JOIN|LIMIT|VALUES|SET|AND|ON)\b.*",
        r".*\b(?:VARCHAR|INTEGER|INT|TEXT|PRIMARY KEY|NOT NULL|BIGINT|TIMESTAMP)\b.*,?\s*",
        r"\s*\);?\s*",
    ),
    "css": (
        r"[^{}\n]*[\w\])*] ?\{\s*",
        r"\s+[\w-]+: [^{}\n]+;\s*",
        r"\s*\}\s*",
        r"@(?:media|import|font-face|keyframes)\b.*",
    ),
    "ruby": (
        r"\s*def [\w.?!]+.*",
        r"\s*end\s*",
        r"require(?:_relative)? ['\"].*",
        r"\s*(?:class|module) [A-Z]\w*.*",
        r".* do(?: \|.*\|)?\s*",
    ),
    "php": (r"<\?php.*", r"\s*\$\w+ = .*;\s*", r"\s*(?:public |private )?function \w+\(.*", r"\s*\}\s*", r".*;\s*"),
}
_COMPILED = {name: tuple(re.compile(p) for p in patterns) for name, patterns in _LANGUAGES.items()}
_COMMENT = re.compile(r"\s*(?:#(?!\s*(?:include|define|if|endif|!|\[))|//|/?\*|--)")
_CODE_SHARE = 0.4
# Docstrings and long literals dilute the share of telling lines; these few hardly occur in prose at all.
_PYTHON = re.compile(
    r"^(?:from [\w.]+ import \S.*|import [\w.]+(?: as \w+)?|(?:async )?def \w+\(.*|class \w+(?:\(.*\))?:|@\w[\w.]*(?:\(.*)?)$",
    re.MULTILINE,
)


def classify(text: str, *, whole: bool) -> str:
    """Media type of a text by its look. whole: the text is all of the file, not only its beginning.

    >>> classify("# Apollo\\n\\nThe **first** landing.\\n", whole=True)
    'text/markdown'
    """
    body = text.strip()
    if not body:
        return "text/plain"
    if markup := _markup(body):
        return markup
    if body[0] in "{[" and (data := _json(body, whole)):
        return data
    if found := _SHEBANG.match(body):
        return f"text/x-source;language={_SHELLS.get(found[1], found[1])}"
    lines = [line for line in text.split("\n") if line.strip()]
    if not whole and len(lines) > 1:
        lines = lines[:-1]
    if delimiter := find_delimiter(lines):
        return "text/tab-separated-values" if delimiter == "\t" else "text/csv"
    markdown = _markdown_points(text)
    language = find_language(_FENCE.sub("", text))
    if language and (markdown < 3 or (language == "python" and not _FENCE.search(text))):
        return f"text/x-source;language={language}"
    return "text/markdown" if markdown >= 2 else "text/plain"


def _markup(body: str) -> str:
    start = body[:2000].lstrip("\ufeff")
    begins = start.startswith("<")
    if start.startswith("<?xml") or (begins and re.match(r"<!DOCTYPE (?!html)", start, re.IGNORECASE)):
        if _HTML.search(start):
            return "text/html"
        return "image/svg+xml" if "<svg" in start else "application/xml"
    if start.startswith("<?php"):
        return "text/x-source;language=php"
    if re.match(r"<svg[\s>]", start):
        return "image/svg+xml"
    if begins and (_HTML.search(start) or len(_TAG.findall(body[:20_000])) >= 2):
        return "text/html"
    # Text before the first tag (a comment, a template line) and then a whole page.
    return (
        "text/html" if re.search(r"<html[\s>]", start, re.I) and re.search(r"<(?:body|head)[\s>]", body, re.I) else ""
    )


def _json(body: str, whole: bool) -> str:
    try:
        json.loads(body)
        return "application/json"
    except RecursionError:
        return "application/json"
    except ValueError:
        pass
    lines = body.split("\n")
    complete = lines if whole else lines[:-1]
    objects = [line for line in complete if line.strip()]
    if objects and all(_is_json(line) for line in objects[:50]):
        return "application/jsonl"
    # Cut at 64 KiB: an object that begins with a key, or a list of values.
    if not whole and re.match(r'\{\s*"(?:[^"\\\n]|\\.)*"\s*:|\[\s*(?:[\[{"\d-]|true|false|null)', body):
        return "application/json"
    return ""


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict | list)
    except (ValueError, RecursionError):
        return False


def find_delimiter(lines: Sequence[str]) -> str:
    """The delimiter of a table: ",", ";", tab or "|", or "" if the lines are not rows of a table.

    >>> find_delimiter(["name;year", "Apollo 11;1969", "Apollo 13;1970"]), find_delimiter(["Well, no.", "Yes, sir."])
    (';', '')
    """
    sample = [line for line in lines[:60] if len(line) < 20_000 and not line.startswith("#")]
    if len(sample) < 2:
        return ""
    for delimiter in ("\t", ",", ";", "|"):
        if delimiter in sample[0] and _is_table(sample, delimiter):
            return delimiter
    return ""


def _is_table(sample: Sequence[str], delimiter: str) -> bool:
    try:
        rows = [row for row in csv.reader(sample, delimiter=delimiter, strict=False) if row]
    except csv.Error:
        return False
    width = len(rows[0])
    # Quoted cells may hold line breaks, so the end of the sample may be cut: allow one odd row in twenty. Wide tables
    # sometimes leave out empty cells at the end of a row.
    least = width if width < 5 else width // 2
    if width < 2 or len(rows) < 2 or sum(least <= len(row) <= width for row in rows) < 0.95 * len(rows):
        return False
    if delimiter == "|" and (not rows[0][0].strip() or sample[0].lstrip().startswith("|")):
        return False  # a Markdown table
    header = rows[0]
    if any(len(cell) > 80 or not cell.strip() for cell in header[:-1]) or len(set(header)) < len(header):
        return False
    code = sum(line.rstrip().endswith(("{", "}", ");", "};", "(", ":")) for line in sample)
    if code > 0.1 * len(sample):
        return False
    if delimiter == "\t" and width >= 2:
        return True
    # In prose a comma is followed by a space, and a sentence ends with a stop.
    plain = "\n".join(re.sub(r'"[^"]*"', "", line) for line in sample)
    spaced = len(re.findall(re.escape(delimiter) + r" ", plain)) / max(1, plain.count(delimiter))
    stops = sum(line.rstrip().endswith((".", "?", "!")) for line in sample) / len(sample)
    numeric = sum(_numeric(cell) for row in rows[1:] for cell in row) / sum(len(row) for row in rows[1:])
    if spaced > 0.3 and not (numeric > 0.2 and width > 2 and stops < 0.2):
        return False
    return width > 2 or len(rows) > 2 or numeric > 0.3 or stops == 0


def _numeric(cell: str) -> bool:
    return bool(re.fullmatch(r"\s*[-+]?[\d.,]*\d[\d.,]*(?:[eE][-+]?\d+)?\s*%?\s*", cell))


def _markdown_points(text: str) -> float:
    points = 2.0 if len(_FENCE.findall(text)) else 0.0
    if _FRONT_MATTER.match(text):
        points += 2.0
    plain = _FENCE.sub("", text)
    for pattern, each, most in _MARKDOWN_COMPILED:
        points += each * min(most, sum(1 for _ in pattern.finditer(plain)))
    return points


def find_language(text: str) -> str:
    """Name of the programming language that the lines look like, or ""."""
    lines = [line.rstrip() for line in text.split("\n") if line.strip() and len(line) < 500][:400]
    lines = [line for line in lines if not _COMMENT.match(line)]
    if len(lines) < 2:
        return ""
    if len(_PYTHON.findall(text)) >= max(3, len(lines) // 25):
        return "python"
    best, best_share = "", 0.0
    for name, patterns in _COMPILED.items():
        hits = [next((i for i, p in enumerate(patterns) if p.fullmatch(line)), -1) for line in lines]
        matched = sum(1 for i in hits if i >= 0)
        share = matched / len(lines)
        kinds = len({i for i in hits if i >= 0})
        if share >= _CODE_SHARE and kinds >= min(3, len(lines)) and share > best_share:
            best, best_share = name, share
    return best
