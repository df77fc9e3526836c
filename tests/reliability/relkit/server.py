"""A process with everything imported that forks a child for each request: `python server.py KEPT`, or `live`.

A request is one line of JSON: kb, script (a list of steps), out (a file for what the child says), and optionally env,
kill_after (seconds), record (a file for the durable steps), fault (see faults.py), timeout. The answer is one line too.
A step is [name, argument, ...]; each says what it finished, unbuffered, so that after a kill the file holds all that was said.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from relkit.kept import SETTINGS, Kept, Live


def preload() -> None:
    """What a child would import: every module of the package. No thread may be running when it is forked."""
    import pkgutil

    import mmkg

    for module in pkgutil.walk_packages(mmkg.__path__, "mmkg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    import snowballstemmer  # noqa: F401

    from mmkg.extract.language import language_of

    language_of("The lists of function words, which are read once, are in memory when a child is forked.")


def run_step(kb, step, say) -> None:
    name, *arguments = step
    if name == "add":
        kb.add(*arguments, progress=lambda p: say(f"file {p.item}"))
    elif name == "prune":
        kb.add(*arguments, prune=True, progress=lambda p: say(f"file {p.item}"))
    elif name == "remove":
        kb.remove(*arguments)
    elif name == "rebuild":
        kb.rebuild()
    elif name == "snapshot":
        with kb._writer() as writer:
            writer.snapshot()
    elif name == "fill":  # forget the vectors of one document, and have them made again
        with kb._writer() as writer:
            from mmkg.adding import fill_text

            fill_text(writer, kb.text_encoder)
    elif name == "doctor":
        problems = kb.doctor(fix="fix" in arguments)
        say("problems " + json.dumps([[p.kind, p.id, p.detail, p.fixed] for p in problems]))
    elif name == "inspect":
        from relkit.oracle import inspect

        say("state " + json.dumps(inspect(kb)))
    elif name == "digest":
        say("digest " + kb.digest(deep=True))
    elif name == "purge":
        kb.remove(*arguments, purge=True)
    elif name == "compact":
        kb.compact()
    elif name == "backup":
        kb.backup(*arguments)
    elif name == "cli":
        from mmkg.cli.main import main

        main(["--kb", str(kb.root), *arguments], prog_name="mmkg")
    else:
        raise ValueError(name)


def child(request, kept) -> int:
    """Run the script; 0 done, 1 a named error, 2 a traceback."""
    from mmkg.errors import MMKGError

    os.setsid()
    if request.get("cwd"):
        os.chdir(request["cwd"])
    os.environ.update(request.get("env", {}))
    for key, value in SETTINGS.items():
        os.environ[f"MMKG_{key.upper()}"] = str(value).lower() if isinstance(value, bool) else str(value)
    out = os.open(request["out"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(out, 1)
    os.dup2(out, 2)

    def say(text: str) -> None:
        os.write(out, text.encode() + b"\n")

    kept.install()
    kb = kept.kb(request["kb"], **request.get("settings", {}))
    if request.get("record"):
        from relkit.record import record

        record(Path(request["kb"]), Path(request["record"]))
    if request.get("fault"):
        from relkit.faults import arm

        arm(**request["fault"])
    try:
        for i, step in enumerate(request["script"]):
            if step[0] == "cli":
                try:
                    run_step(kb, step, say)
                except SystemExit as e:
                    say(f"exit {e.code or 0}")
                    if e.code:
                        return int(e.code)
            else:
                run_step(kb, step, say)
            say(f"done {i}")
        kb.close()
        return 0
    except MMKGError as e:
        say(f"error {type(e).__name__} {json.dumps(str(e))} {json.dumps(e.hint)}")
        return 1
    except BaseException:
        say("traceback " + json.dumps(traceback.format_exc()))
        return 2


def serve(kept: Kept) -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    for line in sys.stdin:
        request = json.loads(line)
        begun = time.monotonic()
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                status = child(request, kept)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(status)
        kill_at = request.get("kill_after")
        limit = request.get("timeout", 120)
        hung = False
        while True:
            done, status = os.waitpid(pid, os.WNOHANG)
            if done:
                break
            spent = time.monotonic() - begun
            if kill_at is not None and spent >= kill_at:
                os.kill(pid, signal.SIGKILL)
                _, status = os.waitpid(pid, 0)
                break
            if spent > limit:
                hung = True
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.0005 if kill_at is not None else 0.002)
        answers.write(
            json.dumps({"code": os.waitstatus_to_exitcode(status), "seconds": time.monotonic() - begun, "hung": hung})
            + "\n"
        )


if __name__ == "__main__":
    preload()
    serve(Live() if sys.argv[1] == "live" else Kept.load(Path(sys.argv[1])))
