"""One number for what a base knows: SHA-256 over facts and derived layer of the visible documents, in canonical order.

No URI, time, float or internal number enters it, so it is the same for any order, batch size, number of workers, light
or full install; and after a removal it equals that of a base that never saw the document.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

from mmkg.store.folder.ledger import Ledger
from mmkg.store.folder.parts import stored_hash

_DERIVED = (
    "SELECT form, n FROM title_form ORDER BY form",
    "SELECT id, name, label, df, units FROM entity ORDER BY id",
    "SELECT e.id, f.form, f.n FROM entity_form f JOIN entity e ON e.key = f.entity ORDER BY f.entity, f.form",
    "SELECT e.id, l.label, l.n FROM entity_label l JOIN entity e ON e.key = l.entity ORDER BY l.entity, l.label",
    "SELECT a, b, n FROM cooccur ORDER BY a, b",
    "SELECT short, long, reason, n FROM alias ORDER BY short, long, reason",
    "SELECT short, long, reason FROM same_as ORDER BY short, long",
    "SELECT u.id, u.derived FROM unit u JOIN document d ON d.no = u.document WHERE d.state = 'visible' ORDER BY u.id",
)


def digest(ledger: Ledger, *, deep: bool = False) -> str:
    """64 hex digits. deep: hash the facts' rows again instead of trusting the hash recorded when they were staged."""
    total = hashlib.sha256()
    for no, id_, recorded in ledger.rows("SELECT no, id, facts_hash FROM document WHERE state = 'visible' ORDER BY id"):
        feed(total, (id_, (stored_hash(ledger, no) if deep else bytes(recorded)).hex()))
    for sql in _DERIVED:
        total.update(b"\x1d")
        for row in ledger.stream(sql):
            feed(total, row)
    return total.hexdigest()


def feed(total: Any, row: tuple[Any, ...]) -> None:
    """Add a row to a running hash, in canonical form; the same for every store."""
    total.update(json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass"))
    total.update(b"\x1e")
