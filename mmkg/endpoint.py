"""One POST of JSON to one address: within a time, without redirects or proxies, and with faults told apart."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import json
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mmkg.errors import ConfigError, GenerationError, MMKGError
from mmkg.secret import Secret

logger = logging.getLogger(__name__)

MAX_BYTES = 8 * 2**20
MAX_WAIT_S = 30.0
"""Longest wait between two calls; a service that asks for more is left alone."""
NOT_JSON = "the reply is not whole JSON"
"""Part of the message for one; the caller may ask again, as it may for other replies that cannot be right."""
_FIRST_WAIT_S = 0.5
_BUSY = frozenset({408, 409, 425, 429})
_MEANING = {
    400: ("the request was refused as wrong", "check the model's name and max_tokens"),
    401: ("the key was refused", "set MMKG_API_KEY to a valid key"),
    402: ("payment is required", "check the account at the service"),
    403: ("access is forbidden", "the key may not use this model"),
    404: ("there is no such address or model", "check the URL (often it ends in /v1) and the model's name"),
    413: ("the request was too large", "lower context_characters"),
    422: ("the request was refused as wrong", "check the model's name and max_tokens"),
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where to post to. query may hold what must not be shown, so `shown` leaves it out."""

    scheme: str
    host: str
    port: int
    path: str
    query: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.path}"

    @property
    def local(self) -> bool:
        return self.host in ("localhost", "::1") or self.host.startswith("127.")

    @classmethod
    def parse(cls, url: str, *, ending: str) -> Address:
        """Read a URL; `ending` is added to its path if it is not there. Raises ConfigError."""
        try:
            parts = urlsplit(url.strip())
            port = parts.port
        except ValueError as e:
            raise ConfigError("the model's URL cannot be read", hint="it looks like http://localhost:8080/v1") from e
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError("the model's URL must be http or https", hint="it looks like http://localhost:8080/v1")
        if parts.username or parts.password:
            raise ConfigError("the model's URL holds a user or password", hint="put the key into MMKG_API_KEY")
        if any(c.isspace() or ord(c) < 32 for c in url.strip()):
            raise ConfigError("the model's URL holds white space", hint="it looks like http://localhost:8080/v1")
        path = parts.path.rstrip("/")
        path = path if path.endswith(ending) else path + ending
        return cls(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), path, parts.query)


class _Fault(Exception):
    """A call that may be repeated. wait_s: what the service asked for, or None."""

    def __init__(self, what: str, wait_s: float | None = None) -> None:
        super().__init__(what)
        self.what, self.wait_s = what, wait_s


class Endpoint:
    """Posts JSON and reads JSON. Safe to use from several threads: each call has a connection of its own.

    timeout_s: of one call, from first to last byte. retries: calls after the first, for faults that may pass.
    error: what is raised; kind: what answers there, as messages call it; variable: where the key comes from.
    max_bytes: of a reply. sleep: how to wait between calls, for tests.
    """

    def __init__(
        self,
        address: Address,
        *,
        key: str | Secret | None = None,
        timeout_s: float = 60.0,
        retries: int = 3,
        error: type[MMKGError] = GenerationError,
        kind: str = "chat endpoint",
        variable: str = "MMKG_API_KEY",
        max_bytes: int = MAX_BYTES,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._kind, self._variable, self._max_bytes = kind, variable, max_bytes
        self._error_class = error
        if timeout_s <= 0 or retries < 0:
            raise ValueError(f"timeout_s must be above 0 and retries at least 0, got {timeout_s} and {retries}")
        secret = (Secret(key) if isinstance(key, str) else key) or None
        if secret and not secret.sendable():
            raise ConfigError(
                "the API key holds a character that cannot be sent", hint=f"check {variable} for line breaks"
            )
        self.address, self._key = address, secret
        self._timeout_s, self._retries, self._sleep = timeout_s, retries, sleep
        if secret and address.scheme == "http" and not address.local:
            logger.warning("the key goes to %s without encryption", address.shown)

    def __repr__(self) -> str:
        return f"Endpoint({self.address.shown!r})"

    def post(self, body: Mapping[str, Any], *, retries: int | None = None) -> Any:
        """The JSON that the endpoint replies. retries: other than the endpoint's own, for this call.

        Busy (408, 409, 425, 429), failing (5xx), slow and broken connections are tried again; Retry-After is kept to.
        Raises the endpoint's error: retryable if it may work later.
        """
        retries = self._retries if retries is None else retries
        data = json.dumps(body, ensure_ascii=False).encode("utf-8", "replace")
        for attempt in range(retries + 1):
            try:
                return self._parsed(self._once(data))
            except _Fault as fault:
                wait = _FIRST_WAIT_S * 2**attempt if fault.wait_s is None else fault.wait_s
                if attempt == retries or wait > MAX_WAIT_S:
                    raise self._given_up(fault, attempt + 1) from None
                logger.info("%s: %s; trying again in %.1f s", self.address.shown, fault.what, wait)
                self._sleep(wait)
        raise AssertionError("unreachable")

    def _error(self, message: str, hint: str, *, retryable: bool = False) -> MMKGError:
        error = self._error_class(message, hint=hint)
        error.retryable = retryable
        return error

    def _parsed(self, content: bytes) -> Any:
        try:
            return json.loads(content)
        except (ValueError, RecursionError):
            raise self._error(
                f"{self.address.shown}: {NOT_JSON} ({len(content)} bytes)",
                f"try again; is this a {self._kind}?",
                retryable=True,
            ) from None

    def _given_up(self, fault: _Fault, calls: int) -> MMKGError:
        asked = f", and asks to wait {fault.wait_s:.0f} s" if fault.wait_s else ""
        times = "once" if calls == 1 else f"{calls} times"
        return self._error(
            f"{self.address.shown}: {fault.what}{asked} (called {times})",
            "the service may be busy or down: try again later, or leave --model out",
            retryable=True,
        )

    def _once(self, data: bytes) -> bytes:
        address = self.address
        kind = http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        connection = kind(address.host, address.port, timeout=self._timeout_s)
        started = time.monotonic()
        late = threading.Event()
        watch: threading.Timer | None = None
        try:
            connection.connect()
            # A socket's own limit starts anew with each byte; this one does not.
            watch = threading.Timer(
                max(0.01, self._timeout_s - (time.monotonic() - started)), _end, (connection.sock, late)
            )
            watch.daemon = True
            watch.start()
            connection.request(
                "POST", address.path + (f"?{address.query}" if address.query else ""), data, self._headers()
            )
            response = connection.getresponse()
            content = response.read(self._max_bytes + 1)
            status, after = response.status, response.getheader("Retry-After")
            if late.is_set():
                raise TimeoutError
            if response.length and len(content) <= self._max_bytes:  # a read with a limit does not tell by itself
                raise http.client.IncompleteRead(content, response.length)
        except ssl.SSLCertVerificationError as e:
            raise self._error(
                f"{address.shown}: its certificate is not trusted ({e.verify_message})", "check the URL"
            ) from None
        except TimeoutError:
            raise _Fault(f"no reply within {self._timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as e:
            what = f"no reply within {self._timeout_s:g} s" if late.is_set() else f"the connection failed ({_named(e)})"
            raise _Fault(what) from None
        finally:
            if watch is not None:
                watch.cancel()
            connection.close()
        if len(content) > self._max_bytes:
            raise self._error(
                f"{address.shown}: the reply is longer than {self._max_bytes} bytes", f"is this a {self._kind}?"
            )
        self._judge(status, after, content)
        return content

    def _headers(self) -> dict[str, str]:
        """Made for the one call that sends them and kept in no variable: tools that show a trace's variables would show the key."""
        return {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "User-Agent": "mmkg",
            "Connection": "close",
            **({"Authorization": f"Bearer {self._key.reveal()}"} if self._key else {}),
        }

    def _judge(self, status: int, after: str | None, content: bytes) -> None:
        """Raise for every status but 2xx. A redirect is not followed: it could lead the key and the evidence elsewhere."""
        if 200 <= status < 300:
            return
        shown = self.address.shown
        if 300 <= status < 400:
            raise self._error(
                f"{shown}: replied with a redirect ({status}), which is not followed", "give the final URL"
            )
        if status in _BUSY or status >= 500:
            what = "is busy" if status in _BUSY else "failed"
            raise _Fault(f"the service {what} (HTTP {status})", _wait_of(after))
        meaning, hint = _MEANING.get(status, ("the request was refused", "check the URL and the model's name"))
        raise self._error(
            f"{shown}: {meaning} (HTTP {status}){self._said(content)}", hint.replace("MMKG_API_KEY", self._variable)
        )

    def _said(self, content: bytes) -> str:
        """What the service says of the error, short, and without the key should it repeat it."""
        try:
            error = json.loads(content).get("error", {})
            text = error.get("message", "") if isinstance(error, dict) else error
        except (ValueError, AttributeError, RecursionError):
            return ""
        text = "".join(c if c.isprintable() else " " for c in str(text or ""))[:2000]
        if self._key:
            text = self._key.hide(text)
        # Services shorten keys in their own ways ("sk-ab***yz"): what looks like one is not shown either.
        words = ["***" if "*" in w or w.startswith(("sk-", "key-", "Bearer")) else w for w in text.split()]
        said = " ".join(words)[:200]
        return f": {said}" if said else ""


def _end(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):  # it may have ended by itself
        sock.shutdown(socket.SHUT_RDWR)


def _named(e: Exception) -> str:
    if isinstance(e, http.client.IncompleteRead):
        return "the reply was cut"
    if isinstance(e, ConnectionRefusedError):
        return "nothing listens there"
    if isinstance(e, socket.gaierror):
        return "no such host"
    return type(e).__name__


def _wait_of(after: str | None) -> float | None:
    """Seconds of a Retry-After header: a number or a date; None if it says neither."""
    if after is None:
        return None
    try:
        return max(0.0, float(after))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
