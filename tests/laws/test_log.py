from __future__ import annotations

import subprocess
import sys

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
