"""JSON checked against schemas and texts against patterns, in a process of its own.

A caller's pattern or schema may take minutes to check. There it holds up
nobody but other checks, and those only until the deadline, when the process is killed; the next
check starts another.
"""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from typing import Any, NamedTuple

import msgspec

from standpipe.config import shared_environment
from standpipe.errors import Unavailable

Json = dict[str, Any]

_PROGRAM = ("-m", "standpipe.calls.emulation.check_process")
#: Seconds that one check may take, and that a start may: a process imports a library first.
CHECK_SECONDS = 5.0
START_SECONDS = 60.0

_IN_TIME = f"it takes more than {CHECK_SECONDS:.0f} s to check"


class Fault(NamedTuple):
    """What is wrong with an answer."""

    #: The rule that is broken: nothing of what the model said.
    rule: str
    #: For the model; may quote it.
    message: str


class Checker:
    """Asks the process, one check at a time; it is started when it is first needed."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._free = asyncio.Lock()

    async def schema_fault(self, schema: Json) -> str | None:
        """Return why a schema cannot be used, None if it can."""
        said = await self._ask({"schema": schema})
        if said is None:
            return f"{_IN_TIME}; make it simpler"
        fault: str | None = said["schema"]
        return fault

    async def faults(self, schema: Json, text: str) -> list[Fault]:
        """Return what is wrong with a text that is to be JSON, the first faults; [] for nothing."""
        said = await self._ask({"schema": schema, "text": text})
        if said is None:
            return [Fault(_IN_TIME, _IN_TIME)]
        return [Fault(**fault) for fault in said["faults"]]

    async def pattern_fault(self, pattern: str) -> str | None:
        """Return why a pattern cannot be used, None if it can."""
        said = await self._ask({"pattern": pattern})
        if said is None:
            return f"{_IN_TIME}; make it simpler"
        fault: str | None = said["fault"]
        return fault

    async def finds(self, pattern: str, text: str) -> bool | None:
        """Return whether a pattern is found in a text, None if that cannot be said in time."""
        said = await self._ask({"pattern": pattern, "text": text})
        return None if said is None else bool(said["found"])

    async def close(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            if process.returncode is None:
                process.kill()
            await process.wait()

    async def _ask(self, question: Json) -> Json | None:
        """Return the process's answer, None if there is none in time."""
        async with self._free:
            try:
                process = await self._running()
                async with asyncio.timeout(CHECK_SECONDS):
                    line = await _exchange(process, msgspec.json.encode(question) + b"\n")
                return msgspec.json.decode(line, type=dict[str, Any])
            except TimeoutError:
                await self.close()
                return None
            except (OSError, EOFError, msgspec.DecodeError) as error:
                await self.close()
                raise Unavailable("the check of the answer's format broke off") from error
            except asyncio.CancelledError:
                # What it still says would be taken for the answer to the next question.
                await self.close()
                raise

    async def _running(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        # Its own session: a Ctrl-C in the terminal is the supervisor's to handle.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, *_PROGRAM, stdin=PIPE, stdout=PIPE, stderr=DEVNULL,
            start_new_session=True, env=shared_environment(),
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_SECONDS):
                await _line(self._process)
        except TimeoutError:
            raise EOFError("the process has not started") from None
        return self._process


async def _exchange(process: Process, question: bytes) -> bytes:
    assert process.stdin is not None  # noqa: S101 (the type of a pipe that was asked for)
    process.stdin.write(question)
    await process.stdin.drain()
    return await _line(process)


async def _line(process: Process) -> bytes:
    assert process.stdout is not None  # noqa: S101 (as above)
    line = await process.stdout.readline()
    if not line:
        raise EOFError("the process has ended")
    return line
