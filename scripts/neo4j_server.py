"""A real Neo4j Community server from its published Maven artifacts: no Docker, no installer.

    python scripts/neo4j_server.py start             # start (the first time it fetches about 120 MB of jars)
    eval "$(python scripts/neo4j_server.py start --export)"   # and set NEO4J_URI, NEO4J_USER, NEO4J_PASSWORD
    python scripts/neo4j_server.py status
    python scripts/neo4j_server.py stop
    python scripts/neo4j_server.py wipe              # stop, and delete its data (the jars stay)

It listens on loopback only, on ports of its own, with a random password in a file that only its owner can read, and keeps
everything under .neo4j/ (ignored by git). Needs Maven, and Java 17 or 21 for the 5.26 LTS baseline; with --version of the
calendar line, Java 21 or later. NEO4J_URI in the environment means: that server is used, none is started.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

BASELINE = "5.26.30"
CALENDAR = "2026.08.1"
FOLDER = Path(__file__).resolve().parent.parent / ".neo4j"
_ADMIN = "org.neo4j.server.startup.Neo4jAdminCommand"
_OPENS = [
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-modules=jdk.incubator.vector",
]
_POM = """<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>local</groupId><artifactId>neo4j-jars</artifactId><version>1</version>
  <dependencies>
    <dependency><groupId>org.neo4j.app</groupId><artifactId>neo4j-server</artifactId><version>{version}</version></dependency>
    <dependency><groupId>org.neo4j</groupId><artifactId>neo4j</artifactId><version>{version}</version></dependency>
  </dependencies>
</project>
"""
# What keeps a query that passes every other wall from reading files or taking the server's memory; compose.yaml has the same.
_SETTINGS = {
    "dbms.usage_report.enabled": "false",
    "dbms.security.allow_csv_import_from_file_urls": "false",
    "db.memory.transaction.max": "256m",
    "dbms.memory.transaction.total.max": "384m",
    "db.transaction.timeout": "600s",
    "server.default_listen_address": "127.0.0.1",
    "server.http.enabled": "false",
    "server.https.enabled": "false",
    "db.tx_log.preallocate": "false",
}
_SMALL = {"db.tx_log.rotation.size": "32m", "db.tx_log.rotation.retention_policy": "1 files"}
"""For tests: little is written, and many servers stand beside each other. A log as short as that makes a bulk load wait for checkpoints."""


class NotHere(Exception):
    """What is missing on this machine; the text says how to get it."""


@dataclass(frozen=True)
class Server:
    """A running server: its process, where it is, and who may enter. home: its data, configuration and logs."""

    version: str
    pid: int
    uri: str
    user: str
    password: str
    home: str

    def __repr__(self) -> str:
        return f"Server(version={self.version!r}, pid={self.pid}, uri={self.uri!r})"

    def environment(self) -> dict[str, str]:
        return {"NEO4J_URI": self.uri, "NEO4J_USER": self.user, "NEO4J_PASSWORD": self.password}


# ---- Java and jars ----


def find_java(version: str) -> str:
    """A java that runs this Neo4j. Raises NotHere."""
    lowest, highest = (17, 21) if version.startswith("5.") else (21, 99)
    found = []
    candidates = [Path(os.environ["JAVA_HOME"]) / "bin" / "java"] if os.environ.get("JAVA_HOME") else []
    if on_path := shutil.which("java"):
        candidates.append(Path(on_path))
    for place in ("/usr/lib/jvm", "/Library/Java/JavaVirtualMachines"):
        if Path(place).is_dir():
            candidates += sorted(Path(place).glob("*/bin/java")) + sorted(Path(place).glob("*/Contents/Home/bin/java"))
    for java in candidates:
        if not java.exists():
            continue
        said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
        match = re.search(r'version "(\d+)', said)
        if match and lowest <= int(match.group(1)) <= highest:
            return str(java)
        found += [match.group(1)] if match else []
    what = f"Java {lowest}{f' to {highest}' if highest < 99 else ' or later'}"
    here = f" (here: {', '.join(sorted(set(found)))})" if found else ""
    raise NotHere(f"neo4j {version} needs {what}{here}: install a JDK or set JAVA_HOME")


def fetch_jars(version: str, folder: Path = FOLDER) -> Path:
    """The folder of the jars of a version, fetched by Maven the first time. Raises NotHere."""
    folder = folder.resolve()  # Maven reads relative paths from the place of its pom
    lib = folder / f"lib-{version}"
    if (lib / ".complete").exists():
        return lib
    maven = shutil.which("mvn")
    if maven is None:
        raise NotHere(
            "neo4j needs Maven (mvn) to fetch the server's jars: install it (apt install maven, brew install maven)"
        )
    pom = folder / f"pom-{version}" / "pom.xml"
    pom.parent.mkdir(parents=True, exist_ok=True)
    pom.write_text(_POM.format(version=version), encoding="utf-8")
    aside = folder / f".lib-{version}-{os.getpid()}"
    command = [maven, "-q", "-B", "-ntp", "-f", str(pom), "dependency:copy-dependencies", "-DincludeScope=runtime"]
    done = subprocess.run([*command, f"-DoutputDirectory={aside}"], capture_output=True, text=True, check=False)
    if done.returncode:
        shutil.rmtree(aside, ignore_errors=True)
        raise NotHere(f"neo4j {version}: Maven could not fetch the jars: {(done.stdout + done.stderr).strip()[-300:]}")
    (aside / ".complete").touch()
    try:
        aside.rename(lib)
    except OSError:  # another process was quicker
        shutil.rmtree(aside, ignore_errors=True)
    return lib


# ---- starting and stopping ----


def start(
    home: Path,
    *,
    version: str = BASELINE,
    folder: Path = FOLDER,
    heap: str = "768m",
    pagecache: str = "128m",
    port: int = 0,
    tied: bool = False,
) -> Server:
    """Start a server on the data under home (made if absent) and wait until it answers.

    heap: of the JVM. pagecache: memory for the store's files beside it. port: 0 is any that is free. tied: for tests: it ends when the process that started it ends (Linux), and
    its code is compiled quickly rather than well. Raises NotHere, RuntimeError.
    """
    home = home.resolve()
    java, lib = find_java(version), fetch_jars(version, folder)
    home.mkdir(parents=True, exist_ok=True)
    secret = home / "password"
    fresh = not secret.exists()
    if fresh:
        # Opened with its final mode: at no moment can another user read it.
        with os.fdopen(os.open(secret, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
            f.write(secrets.token_urlsafe(18))
    port = port or _free_port()
    conf = home / "conf"
    conf.mkdir(exist_ok=True)
    settings = {
        **_SETTINGS,
        **(_SMALL if tied else {}),
        "server.memory.pagecache.size": pagecache,
        "server.bolt.listen_address": f"127.0.0.1:{port}",
    }
    if not version.startswith("5."):
        settings["db.query.default_language"] = "CYPHER_5"
    (conf / "neo4j.conf").write_text("".join(f"{k}={v}\n" for k, v in settings.items()), encoding="utf-8")
    main = "org.neo4j.server.CommunityEntryPoint" if version.startswith("5.") else "org.neo4j.server.Neo4jCommunity"
    # One collector thread, and in tests the quick compiler only: it starts sooner and leaves the cores to others. A server that stays has
    # its whole heap at once: one that grows collects again and again while it does.
    quick = ["-XX:TieredStopAtLevel=1"] if tied else [f"-Xms{heap}"]
    command = [java, f"-Xmx{heap}", "-XX:+UseSerialGC", *quick, *_OPENS, "-cp", f"{lib}/*", main]
    with (home / "console.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, f"--home-dir={home}", f"--config-dir={conf}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent if tied and sys.platform == "linux" else None,
        )
    server = Server(version, process.pid, f"neo4j://127.0.0.1:{port}", "neo4j", secret.read_text(), str(home))
    try:
        _wait(server, process)
    except BaseException:
        process.kill()
        process.wait()
        raise
    return server


def stop(server: Server, *, wait_s: float = 30.0) -> None:
    """Ask it to end, and wait; after wait_s it is killed."""
    for kind, seconds in ((signal.SIGTERM, wait_s), (signal.SIGKILL, 10.0)):
        end = time.monotonic() + seconds
        while running(server) and time.monotonic() < end:
            os.kill(server.pid, kind)
            _reap(server.pid)
            time.sleep(0.1)
            kind = 0
    if running(server):
        raise RuntimeError(f"the server (process {server.pid}) does not end")


def running(server: Server) -> bool:
    """Whether the process is there and is ours: a number may have been given to another program since."""
    _reap(server.pid)
    try:
        os.kill(server.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    # -ww: else ps may cut the line at 80 columns, and a server that runs seems gone.
    command = ["ps", "-ww", "-o", "args=", "-p", str(server.pid)]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"--home-dir={server.home}" in said.stdout


def admin(
    version: str, home: Path, *arguments: str, folder: Path = FOLDER, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the server's own admin tool (for example `database import full`) on a stopped home."""
    java, lib, home = find_java(version), fetch_jars(version, folder), home.resolve()
    (home / "conf").mkdir(parents=True, exist_ok=True)
    (home / "conf" / "neo4j.conf").touch()
    environment = {**os.environ, "NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}
    command = [java, "-Xmx512m", *_OPENS, "-cp", f"{lib}/*", _ADMIN, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=cwd)


def _wait(server: Server, process: subprocess.Popen[bytes], seconds: float = 300.0) -> None:
    """Until it answers with our password; the first time, the password is set on the way."""
    from neo4j import GraphDatabase
    from neo4j.exceptions import AuthError, DriverError, Neo4jError

    end = time.monotonic() + seconds
    port = int(server.uri.rsplit(":", 1)[1])
    while True:
        if process.poll() is not None:
            tail = (Path(server.home) / "console.log").read_text(errors="replace")[-500:]
            raise RuntimeError(f"the server ended at once: {tail}")
        if time.monotonic() > end:
            raise RuntimeError(f"the server does not answer; see {server.home}/logs/neo4j.log")
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                time.sleep(0.2)
                continue
        try:
            with GraphDatabase.driver(server.uri, auth=(server.user, server.password)) as driver:
                driver.execute_query("RETURN 1", database_="neo4j")
                return
        except AuthError:
            try:
                with GraphDatabase.driver(server.uri, auth=("neo4j", "neo4j")) as driver:
                    text = "ALTER CURRENT USER SET PASSWORD FROM 'neo4j' TO $new"
                    driver.execute_query(text, new=server.password, database_="system")
            except (DriverError, Neo4jError):
                time.sleep(0.3)
        except (DriverError, Neo4jError):
            time.sleep(0.3)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG


def _reap(pid: int) -> None:
    try:
        os.waitpid(pid, os.WNOHANG)
    except ChildProcessError:  # not ours, or gone already
        return


# ---- the command line ----


def _state(folder: Path) -> Server | None:
    try:
        return Server(**json.loads((folder / "server.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def _remember(folder: Path, server: Server) -> None:
    path = folder / "server.json"
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as f:
        json.dump(asdict(server), f)


def _say(environment: Mapping[str, str], export: bool) -> None:
    if export:
        for name, value in environment.items():
            print(f"export {name}='{value}'")
    else:
        print(environment["NEO4J_URI"])


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("start", "stop", "status", "wipe"))
    parser.add_argument("--version", default=BASELINE, help=f"default {BASELINE}; the calendar line: {CALENDAR}")
    parser.add_argument("--heap", default="1g", help="of the server's JVM, default 1g")
    parser.add_argument("--pagecache", default="512m", help="memory for its files beside that, default 512m")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="default .neo4j of this checkout")
    parser.add_argument("--export", action="store_true", help="print lines for a shell to eval")
    given = parser.parse_args(arguments)
    if os.environ.get("NEO4J_URI"):
        print(f"NEO4J_URI is set: {os.environ['NEO4J_URI']} is used, none is started or stopped here", file=sys.stderr)
        if given.action in ("start", "status"):
            kept = {n: os.environ[n] for n in ("NEO4J_URI", "NEO4J_USER", "NEO4J_PASSWORD") if n in os.environ}
            _say(kept, given.export)
        return 0
    server = _state(given.folder)
    alive = server is not None and running(server)
    if given.action == "status":
        if server is None or not alive:
            print("not running", file=sys.stderr)
            return 1
        _say(server.environment(), given.export)
        print(f"neo4j {server.version}, process {server.pid}, data in {server.home}", file=sys.stderr)
        return 0
    if given.action == "start":
        if server is None or not alive:
            given.folder.mkdir(parents=True, exist_ok=True)
            try:
                server = start(
                    given.folder / f"home-{given.version}",
                    version=given.version,
                    folder=given.folder,
                    heap=given.heap,
                    pagecache=given.pagecache,
                )
            except (NotHere, RuntimeError) as e:
                print(e, file=sys.stderr)
                return 1
            _remember(given.folder, server)
        _say(server.environment(), given.export)
        return 0
    if server is not None and alive:
        stop(server)
    (given.folder / "server.json").unlink(missing_ok=True)
    if given.action == "wipe":
        for home in given.folder.glob("home-*"):
            shutil.rmtree(home)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
