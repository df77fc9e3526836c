"""A knowledge base of text, pictures, sound and video in one graph, with multi-hop answers that cite their source.

>>> import mmkg
>>> sorted(mmkg.__all__)[:3]
['Answer', 'Citation', 'ConfigError']
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mmkg.config import Settings
    from mmkg.errors import ConfigError, MMKGError
    from mmkg.kb import KnowledgeBase
    from mmkg.types import Answer, Citation, Evidence, Locator, Path

_HOME = {
    "Answer": "mmkg.types",
    "Citation": "mmkg.types",
    "ConfigError": "mmkg.errors",
    "Evidence": "mmkg.types",
    "KnowledgeBase": "mmkg.kb",
    "Locator": "mmkg.types",
    "MMKGError": "mmkg.errors",
    "Path": "mmkg.types",
    "Settings": "mmkg.config",
}

__all__ = [
    "Answer",
    "Citation",
    "ConfigError",
    "Evidence",
    "KnowledgeBase",
    "Locator",
    "MMKGError",
    "Path",
    "Settings",
]


def __getattr__(name: str) -> Any:
    # Lazy, so that `import mmkg` stays light (PEP 562).
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'mmkg' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
