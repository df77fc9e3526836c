"""The address of a base on a server: neo4j://host:port/database?media=URL. User and password come from the environment only."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from mmkg.errors import ConfigError
from mmkg.secret import Secret

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
SEARCHES = ("arrays", "indexes")
USER, PASSWORD = "NEO4J_USER", "NEO4J_PASSWORD"


@dataclass(frozen=True, slots=True, kw_only=True)
class Neo4jAddress:
    """Where a base is. uri: what the driver connects to. database: one base each. media: URL of originals and pictures, or "".

    search: where words and vectors are searched: "arrays" exported to this machine, "indexes" of the server, or "": arrays while the
    base is small enough.
    """

    uri: str
    database: str = "neo4j"
    media: str = ""
    search: str = ""

    @classmethod
    def parse(cls, text: str) -> Neo4jAddress:
        """Raises ConfigError for another scheme, a missing host, a password in the address, or an unknown option.

        >>> Neo4jAddress.parse("neo4j://db.example:7687/papers?media=file:///srv/media")
        Neo4jAddress(uri='neo4j://db.example:7687', database='papers', media='file:///srv/media', search='')
        """
        form = "neo4j://HOST:PORT/DATABASE?media=URL"
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as e:
            raise ConfigError("the address of the Neo4j base cannot be read", hint=f"write {form}") from e
        if "@" in parts.netloc:  # not repeated in the message: it may be a password
            raise ConfigError(
                "user and password do not belong into the address of a base", hint=f"set {USER} and {PASSWORD}"
            )
        if parts.scheme not in SCHEMES or not parts.hostname:
            raise ConfigError("the address of the Neo4j base cannot be read", hint=f"write {form}")
        options = parse_qs(parts.query, keep_blank_values=True)
        if unknown := sorted(options.keys() - {"media", "search"}):
            raise ConfigError(f"unknown option {unknown[0]!r} in the address of the base", hint=f"write {form}")
        search = options.get("search", [""])[-1]
        if search not in ("", *SEARCHES):
            raise ConfigError(
                f"unknown search={search[:20]} in the address of the base", hint="write search=arrays or search=indexes"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        return cls(
            uri=f"{parts.scheme}://{host}:{port or 7687}",
            database=parts.path.strip("/") or "neo4j",
            media=options.get("media", [""])[-1],
            search=search,
        )

    def __str__(self) -> str:
        options = [f"{k}={v}" for k, v in (("media", self.media), ("search", self.search)) if v]
        return f"{self.uri}/{self.database}" + ("?" + "&".join(options) if options else "")


def is_server(address: str) -> bool:
    """Whether a text names a base on a server.

    >>> is_server("neo4j://localhost"), is_server("./kb"), is_server("file:///kb")
    (True, False, False)
    """
    scheme, separator, _ = address.partition("://")
    return bool(separator) and scheme in SCHEMES


def credentials(environ: Mapping[str, str] | None = None) -> tuple[str, Secret] | None:
    """(user, password) from the environment, read when they are used and kept nowhere; None where no password is set."""
    password = Secret.from_environment(PASSWORD, environ=environ)
    user = (os.environ if environ is None else environ).get(USER) or "neo4j"
    return (user, password) if password else None
