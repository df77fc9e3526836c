"""KnowledgeBase: the parts wired together. Every step it takes can be called alone; no algorithm lives here."""

from __future__ import annotations

from mmkg.kb.asking import Asks
from mmkg.kb.changing import Changes
from mmkg.kb.telling import Explores, Tells

__all__ = ["KnowledgeBase"]


class KnowledgeBase(Changes, Asks, Explores, Tells):
    """A base in a folder.

    Reading opens the generation that is current and moves to a newer one between calls, never within one. Writing takes
    the writer lock for the length of the call. Safe to use from several threads; calls that write take turns.
    """
