"""The driver behind one base: sessions, transactions, time-outs, and the server's errors as ours.

Only units of work that give the same when they run twice go through the driver's retrying functions (`read`, `write`).
What must not run twice (the commit of a batch) uses `transaction` and asks afterwards whether it went through.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mmkg.errors import ConfigError, CypherError, QueryLimitError, StoreError, StoreUnavailableError, WriteRefusedError
from mmkg.store.neo4j.address import PASSWORD, USER, Neo4jAddress, credentials

if TYPE_CHECKING:
    from neo4j import Driver, ManagedTransaction, Session, Transaction

T = TypeVar("T")

OLDEST = (5, 26)
"""The oldest server: the LTS line that the tests run on."""
_TIME = "Neo.ClientError.Transaction.TransactionTimedOut"
_MEMORY = (
    "Neo.TransientError.General.MemoryPoolOutOfMemoryError",
    "Neo.TransientError.General.OutOfMemoryError",
    "Neo.TransientError.General.StackOverFlowError",
    "Neo.TransientError.General.TransactionMemoryLimit",
    "Neo.TransientError.General.TransactionOutOfMemoryError",
)


_UNWRITTEN = ("No space left", "Could not append transaction", "disk", "Disk", "needs to be restarted")
"""What a full disk is to the server: it cannot write its log, does not say why, and from then on begins no transaction."""


class Runner(Protocol):
    """A transaction of the driver, managed or not: what runs statements."""

    def run(self, query: str, parameters: dict[str, Any] | None = None, **kwparameters: Any) -> Any: ...


class Connection:
    """A pool of connections to one database. Safe to use from several threads; opened at the first call.

    pool: most connections at a time; callers beyond it wait up to acquire_s. timeout_s: of mmkg's own transactions.
    """

    def __init__(
        self, address: Neo4jAddress, *, pool: int = 8, acquire_s: float = 60.0, timeout_s: float = 600.0
    ) -> None:
        self.address = address
        self._pool, self._acquire_s, self._timeout_s = pool, acquire_s, timeout_s
        self._lock = threading.Lock()
        self._driver: Driver | None = None
        self._bookmarks: Any = None

    def __repr__(self) -> str:
        return f"Connection({str(self.address)!r})"

    def driver(self) -> Driver:
        """The open driver. Raises StoreUnavailableError, ConfigError (password), StoreError (version)."""
        with self._lock:
            if self._driver is None:
                self._driver = self._open()
            return self._driver

    def _open(self) -> Driver:
        from neo4j import READ_ACCESS, GraphDatabase, NotificationMinimumSeverity

        known = credentials()
        if known is None:
            raise ConfigError(f"no password for {self.address.uri}", hint=f"set {PASSWORD} (and {USER})")
        with self.errors():
            driver = GraphDatabase.driver(
                self.address.uri,
                auth=(known[0], known[1].reveal()),
                max_connection_pool_size=self._pool,
                connection_acquisition_timeout=self._acquire_s,
                connection_timeout=5.0,
                max_transaction_retry_time=20.0,
                keep_alive=True,
                liveness_check_timeout=30.0,
                telemetry_disabled=True,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
                user_agent="mmkg",
            )
            try:
                self._check_version(driver.get_server_info().agent)
                with driver.session(database=self.address.database, default_access_mode=READ_ACCESS) as session:
                    session.run("RETURN 1").consume()  # the database may be another matter than the server
                # A session sees what any session before it has written, on a cluster too.
                self._bookmarks = GraphDatabase.bookmark_manager()
            except BaseException:
                driver.close()
                raise
        return driver

    def _check_version(self, agent: str) -> None:
        numbers = agent.rpartition("/")[2].split(".")
        try:
            version = (int(numbers[0]), int(numbers[1]))
        except (ValueError, IndexError):
            return  # not a Neo4j of known naming: its errors will say what it lacks
        if version < OLDEST:
            raise StoreError(
                f"the server at {self.address.uri} is {agent}, too old",
                hint=f"mmkg needs Neo4j {OLDEST[0]}.{OLDEST[1]} or later",
            )

    def close(self) -> None:
        with self._lock:
            if self._driver is not None:
                self._driver.close()
                self._driver = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # ---- units of work ----

    def session(self, *, write: bool = False, fetch_size: int = 1000) -> Session:
        from neo4j import READ_ACCESS, WRITE_ACCESS

        return self.driver().session(
            database=self.address.database,
            default_access_mode=WRITE_ACCESS if write else READ_ACCESS,
            bookmark_manager=self._bookmarks,
            fetch_size=fetch_size,
        )

    def read(self, work: Callable[[ManagedTransaction], T]) -> T:
        """Run a reading unit of work; it may run more than once."""
        with self.errors(), self.session() as session:
            result: T = session.execute_read(self._timed(work))
            return result

    def write(self, work: Callable[[ManagedTransaction], T]) -> T:
        """Run a writing unit of work that may run more than once with the same effect."""
        with self.errors(), self.session(write=True) as session:
            result: T = session.execute_write(self._timed(work))
            return result

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Transaction]:
        """A transaction that runs once: committed at the end of the body, rolled back if it raises."""
        with self.errors(), self.session(write=write) as session:
            tx = session.begin_transaction(timeout=self._timeout_s)
            try:
                yield tx
                tx.commit()
            finally:
                if not tx.closed():
                    tx.close()

    def rows(self, cypher: str, **parameters: Any) -> list[dict[str, Any]]:
        """All rows of a reading statement."""
        return self.read(lambda tx: [dict(record.items()) for record in tx.run(cypher, parameters)])

    def columns(self, cypher: str, **parameters: Any) -> tuple[list[Any], ...]:
        """The lists that a reading statement returns as its one row: `RETURN collect(x), collect(y)`, where nothing is null.

        The driver takes as long for a row of three values as for a list of a hundred.
        """
        return self.read(lambda tx: tuple(tx.run(cypher, parameters).single(strict=True)))

    def execute(self, cypher: str, **parameters: Any) -> None:
        """A statement in a transaction of its own that the server manages: schema, `CALL {} IN TRANSACTIONS`."""
        with self.errors(), self.session(write=True) as session:
            session.run(cypher, parameters).consume()

    def _timed(self, work: Callable[[ManagedTransaction], T]) -> Callable[[ManagedTransaction], T]:
        from neo4j import unit_of_work

        timed: Callable[[ManagedTransaction], T] = unit_of_work(timeout=self._timeout_s)(work)
        return timed

    # ---- errors ----

    @contextmanager
    def errors(self) -> Iterator[None]:
        """The driver's and the server's errors as ours, each with what to do."""
        from neo4j.exceptions import DriverError, Neo4jError

        try:
            yield
        except (DriverError, Neo4jError) as e:
            raise self.mapped(e) from e
        except OSError as e:  # name resolution
            raise self._no_server(e) from e

    def mapped(self, error: Exception) -> StoreError | ConfigError:
        """Ours for a driver's error."""
        from neo4j.exceptions import AuthError, Neo4jError, ServiceUnavailable, SessionExpired

        code = getattr(error, "code", None) or ""
        text = _first_line(error)
        if isinstance(error, AuthError) and "TokenExpired" not in code and "Forbidden" not in code:
            limited = "AuthenticationRateLimit" in code
            user = (credentials() or ("nobody",))[0]
            return ConfigError(
                f"{self.address.uri} does not let {user} in"
                + (" (too many wrong passwords; wait five seconds)" if limited else ""),
                hint=f"set {USER} and {PASSWORD} to those of the server",
            )
        if "DatabaseNotFound" in code or "Database.DatabaseUnavailable" in code:
            return StoreError(
                f"{self.address.uri} has no database {self.address.database!r} that can be used",
                hint="give the name of an existing one: neo4j://HOST:PORT/DATABASE (Community has one: neo4j)",
            )
        if isinstance(error, ServiceUnavailable | SessionExpired) or not isinstance(error, Neo4jError):
            if "acquire" in text and "connection" in text:
                return StoreUnavailableError(
                    f"all {self._pool} connections to {self.address.uri} stayed in use for {self._acquire_s:g} s",
                    hint="try again, or use fewer callers at a time",
                )
            return self._no_server(error)
        if code.startswith(_TIME):
            return QueryLimitError("time", "the query passed its time limit and was ended")
        if code in _MEMORY or "OutOfMemory" in code:
            return QueryLimitError(
                "memory",
                "the query passed the server's memory limit and was ended",
                hint="db.memory.transaction.max in neo4j.conf is the limit of one transaction",
            )
        if code == "Neo.ClientError.Statement.AccessMode" or "Forbidden" in code:
            return WriteRefusedError(f"the server refused it: {text}", hint="only reading queries run here")
        if any(words in text for words in _UNWRITTEN) and code.startswith(("Neo.TransientError", "Neo.Database")):
            return self._disk_full(text)
        if code.startswith(("Neo.ClientError.Statement", "Neo.ClientError.Procedure")):
            return CypherError(text)
        if "WriteOnReadOnlyAccessDatabase" in code or "DatabaseIsReadOnly" in text or "read only" in text.lower():
            return self._disk_full(text)
        if code.startswith(("Neo.TransientError", "Neo.DatabaseError")):
            return StoreUnavailableError(
                f"the server could not do it: {text}", hint="try again; the server's log says more"
            )
        return StoreError(f"the server refused it: {text}")

    def _no_server(self, error: Exception) -> StoreUnavailableError:
        return StoreUnavailableError(
            f"no Neo4j server answers at {self.address.uri}: {_first_line(error)}",
            hint="start it, or correct the address",
        )

    def _disk_full(self, text: str) -> StoreError:
        return StoreError(
            f"the server cannot write: {text}",
            hint="if its disk is full: stop the server, then make room, start it, and run the command again",
        )


def is_deadlock(error: StoreError) -> bool:
    """Whether the server ended the transaction because it and another waited for each other: nothing of it is there."""
    return getattr(error.__cause__, "code", None) == "Neo.TransientError.Transaction.DeadlockDetected"


def _first_line(error: Exception) -> str:
    message = getattr(error, "message", None) or str(error) or type(error).__name__
    return message.strip().splitlines()[0][:300]


def server_version(connection: Connection) -> str:
    """As the server names itself, for example Neo4j/5.26.30."""
    with connection.errors():
        return str(connection.driver().get_server_info().agent)
