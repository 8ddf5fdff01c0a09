"""Calls as JSONL, the form of the hosted service's export (spec 4.1)."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO

import msgspec

from standpipe.cli import output
from standpipe.cli.log_lines import milliseconds, raw
from standpipe.errors import ConfigError
from standpipe.store.rows import Row

#: Calls between two words of progress.
_WORD_EVERY = 200


class Exported(msgspec.Struct):
    """How an export went."""

    calls: int = 0
    duplicates: int = 0


def run(rows: Iterable[Row], destination: Path | None, *, keep_duplicates: bool) -> None:
    """Write calls to a file, or to standard output, and say on standard error how it goes."""
    console = output.console(stderr=True)
    with console.status("exporting") as status, _opened(destination) as file:

        def tell(done: Exported) -> None:
            if done.calls % _WORD_EVERY == 0:
                status.update(f"exporting: {done.calls:,} calls")

        done = export(rows, file.write, keep_duplicates=keep_duplicates, on_progress=tell)
        file.flush()
    where = "" if destination is None else f" to {destination}"
    console.print(_summary(done, where), soft_wrap=True, markup=False)


def export(
    rows: Iterable[Row],
    write: Callable[[bytes], object],
    *,
    keep_duplicates: bool,
    on_progress: Callable[[Exported], None],
) -> Exported:
    """Write one object a line; tell `on_progress` of each call that was looked at."""
    done = Exported()
    seen: set[bytes] = set()
    for line in map(_line, rows):
        digest = b"" if keep_duplicates else _digest(line)
        if digest in seen:
            done.duplicates += 1
        else:
            if digest:
                seen.add(digest)
            write(line + b"\n")
            done.calls += 1
        on_progress(done)
    return done


def exportable(rows: Iterable[Row], *, keep_errors: bool) -> Iterator[Row]:
    """Return the calls that have text: a request and, unless errors are kept, an answer."""
    for row in rows:
        if row.request is not None and (keep_errors or row.response is not None):
            yield row


def _opened(destination: Path | None) -> AbstractContextManager[BinaryIO]:
    if destination is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return destination.open("wb")
    except OSError as error:
        raise ConfigError(f"{destination} cannot be written: {error.strerror}") from error


def _summary(done: Exported, where: str) -> str:
    left_out = f", {done.duplicates:,} duplicates left out" if done.duplicates else ""
    return f"{done.calls:,} calls exported{where}{left_out}"


def _line(row: Row) -> bytes:
    fields: dict[str, Any] = {
        "input": raw(row.request),
        "output": raw(row.response),
        "cacheHit": row.cache_hit,
        "durationMs": round(milliseconds(row)),
        "tags": row.metadata,
    }
    return msgspec.json.encode(fields)


def _digest(line: bytes) -> bytes:
    """Return a hash of the whole record; the order of names makes no difference."""
    canonical = json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).digest()
