"""64-bit keys of strings: short, stable, the same in every base, so that segments need no strings."""

from __future__ import annotations

import hashlib


def entity_key(canonical: str) -> int:
    """Signed 64-bit key of an entity's canonical form: blake2b, 8 bytes, little endian.

    Two of a million entities share a key with probability 3e-8; the ledger's primary key would refuse the second.

    >>> entity_key("paris") == entity_key("paris") != entity_key("lyon")
    True
    """
    return int.from_bytes(_digest(canonical), "little", signed=True)


def term_key(term: str) -> int:
    """Unsigned 64-bit key of an index term: blake2b, 8 bytes, little endian."""
    return int.from_bytes(_digest(term), "little")


def _digest(text: str) -> bytes:
    # surrogatepass: a lone surrogate can come out of a broken file, and must not end a batch.
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
