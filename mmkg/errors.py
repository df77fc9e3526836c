"""Every exception that mmkg raises on purpose. `hint` says what to do next; `retryable` whether the same call may work later."""

from __future__ import annotations

from pathlib import Path


class MMKGError(Exception):
    """Base of all mmkg errors.

    hint: one line that says what to do next, or "".
    retryable: True if the same call may succeed later without a change.
    """

    retryable: bool = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message}; {self.hint}" if self.hint else message


class ConfigError(MMKGError):
    """A setting is unknown or has a value out of range."""


class FilterError(MMKGError, ValueError):
    """A filter of a search, or a tag, cannot be read, or names what no document of the base has."""


class MissingDependencyError(MMKGError, ImportError):
    """An optional package is not installed; `hint` is the install command."""


class NotFoundError(MMKGError):
    """No base, document, unit or entity of that name."""


class FormatVersionError(MMKGError):
    """The base was written by a newer mmkg, or in a format that needs a migration."""


class LoadError(MMKGError):
    """A file could not be read as what it claims to be. code: one of mmkg.reasons.REASONS."""

    code = "damaged"

    def __init__(self, message: str, *, path: Path | str | None = None, hint: str = "", code: str = "") -> None:
        super().__init__(message, hint=hint)
        self.path = path
        self.code = code or self.code


class UnsupportedFormatError(LoadError):
    """No loader takes this kind of file."""

    code = "unsupported"


class LimitExceededError(LoadError):
    """A file passed a limit of its parser's child process; `limit` names it (bytes, pages, pixels, ...)."""

    def __init__(self, limit: str, message: str, *, path: Path | str | None = None, hint: str = "") -> None:
        super().__init__(message, path=path, hint=hint, code=limit)
        self.limit = limit


class EncodeError(MMKGError):
    """A model failed on an input, or gave a vector that is not finite."""


class WeightsError(EncodeError):
    """Model weights are absent, or their bytes do not match the recorded hash."""


class EncoderMismatchError(EncodeError):
    """The encoder is not the one the base was built with."""


class StoreError(MMKGError):
    """The base cannot do what was asked."""


class StoreLockedError(StoreError):
    """Another process is writing to this base."""

    retryable = True


class StoreDamagedError(StoreError):
    """A file of the base is missing or its bytes do not match their hash."""


class StoreUnavailableError(StoreError):
    """The engine's process or server does not answer."""

    retryable = True


class CypherError(StoreError):
    """A Cypher query is wrong, or was stopped."""


class WriteRefusedError(CypherError):
    """The query could write, or reach outside the base; it was not run."""


class QueryLimitError(CypherError):
    """The query passed its limit of time, rows or memory and was ended; `limit` names it."""

    def __init__(self, limit: str, message: str, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.limit = limit


class GenerationError(MMKGError):
    """The model that writes the answer failed."""


class BudgetError(GenerationError):
    """The evidence does not fit into the model's context, or a spending limit is reached."""
