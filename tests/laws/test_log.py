from __future__ import annotations

import json
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import serving
from asking import until

PROGRAM = """
import asyncio, logging, sys, threading
from standpipe import log
from standpipe.errors import BadRequest, StoreUnavailable
from standpipe.wire.known_secrets import KnownSecrets

log.set_up()
log.set_up(KnownSecrets(["the-provider-key"]))
mine = logging.getLogger("mine")
mine.warning("a key: %s, another: %s", "the-provider-key", "Bearer abcdefghijklmnop1234")

def fail(error):
    try:
        raise error
    except Exception as first:
        raise KeyError("CONTENT of a prompt") from first

try:
    fail(BadRequest("messages[0]: not 'CONTENT'"))
except KeyError:
    mine.exception("a bug")
try:
    fail(OSError(28, "No space left on device"))
except KeyError:
    mine.exception("another bug")
thread = threading.Thread(target=fail, args=[ValueError("CONTENT")])
thread.start()
thread.join()

async def leave_a_task():
    asyncio.get_running_loop().set_exception_handler(log.on_loop_error)
    asyncio.get_running_loop().create_task(later())
    await asyncio.sleep(0.01)

async def later():
    raise ValueError("CONTENT")

asyncio.run(leave_a_task())
raise RuntimeError("CONTENT and the-provider-key")
"""


def test_log_has_no_secret_and_nothing_of_what_an_exception_quotes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=False
    )
    said = done.stderr
    assert "a key: ***, another: [secret]" in said
    assert "CONTENT" not in said
    assert "the-provider-key" not in said
    for told in ("in fail", "BadRequest", "which led to", "KeyError", "No space left on device"):
        assert told in said
    assert said.count("ValueError") == 2
    assert said.splitlines()[-1] == "RuntimeError"
    assert done.returncode == 1


JSON_PROGRAM = """
import logging
from standpipe import log
from standpipe.config import Logging
from standpipe.wire.known_secrets import KnownSecrets

log.set_up(KnownSecrets(['the-"quoted"-key']), Logging(format="json", level="info"))
mine = logging.getLogger("mine")
mine.debug("too little")
mine.info("a key: %s,\\nanother: %s", 'the-"quoted"-key', "Bearer abcdefghijklmnop1234")
try:
    raise ValueError("CONTENT")
except ValueError:
    mine.exception("request %s: a bug", "abc", extra={"request_id": "abc"})
"""


def test_json_log_is_an_object_a_line_without_secrets() -> None:
    done = subprocess.run(
        [sys.executable, "-c", JSON_PROGRAM], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = map(json.loads, done.stderr.splitlines())
    for each in (first, second):
        assert datetime.fromisoformat(each.pop("time")).tzinfo is not None
    message = "a key: ***,\nanother: [secret]"
    assert first == {"level": "info", "logger": "mine", "message": message}
    trace = second.pop("trace")
    assert trace.endswith("ValueError")
    assert "CONTENT" not in done.stderr
    assert second == {
        "level": "error",
        "logger": "mine",
        "message": "request abc: a bug",
        "request_id": "abc",
    }


def test_a_server_logs_as_it_is_told(tmp_path: Path) -> None:
    with serving.serving(tmp_path, LOGGING_FORMAT="json") as server:
        server.child("standpipe.drain").kill()
        until(lambda: "was ended by signal 9" in server.log.read_text())
        server.child("standpipe.drain")
        server.stop()
    said = [json.loads(line) for line in server.log.read_text().splitlines() if line[:1] == "{"]
    assert [each["logger"] for each in said] == ["standpipe.supervisor", "standpipe.cli.serve"]
    assert said[-1]["message"].startswith("stopping: ")
