"""Rows of alignment sets: where they come from, and judges asked of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import typer

from standpipe.cli import own_server
from standpipe.cli.own_server import Answer
from standpipe.config import Settings
from standpipe.criteria import alignment
from standpipe.criteria.case import Case
from standpipe.errors import ApiError, ConfigError
from standpipe.store.alignment import AlignmentRow, AlignmentVerdict, NewAlignmentRow
from standpipe.store.criteria import Criterion
from standpipe.store.rows import LogFilters, Row, now_us
from standpipe.store.store import Store
from standpipe.store.tokens import hash_token

Json = dict[str, Any]

#: Judges that are asked at a time.
PARALLEL = 8
#: Kinds of calls whose answers are rows.
_KINDS = ("chat", "report")
#: What is not the judge's fault: the key, its limits, the criterion.
_NOT_THE_JUDGES = frozenset((401, 402, 403, 404, 429))


def import_file(store: Store, project_id: str, slug: str, file: Path) -> None:
    """Add the rows of a JSONL file, and say which lines are none."""
    try:
        found = alignment.read(file.read_bytes())
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    for fault in found.faults:
        typer.echo(f"line {fault.line}: {fault.why}", err=True)
    if found.faulty:
        typer.echo(f"{found.faulty} lines are no rows and were left out", err=True)
    _add(store, project_id, slug, found.rows)


def wanted(model: str | None, metadata: dict[str, str]) -> LogFilters:
    """Return the filters of calls that were logged and answered, of a model or any."""
    return {"model": model, "metadata": metadata, "status": 200, "logged": True}


def take_logs(store: Store, project_id: str, slug: str, most: int, filters: LogFilters) -> None:
    """Add the latest calls that pass the filters and can be rows."""
    taken: list[NewAlignmentRow] = []
    for call in store.each_log(project_id, **filters):
        taken.extend(_of(call))
        if len(taken) == most:
            break
    _add(store, project_id, slug, taken)


def _of(call: Row) -> Iterator[NewAlignmentRow]:
    """Yield the row of a call, if it can be one."""
    if call.kind not in _KINDS or call.request is None or call.response is None:
        return
    try:
        asked, answered = (msgspec.json.decode(text) for text in (call.request, call.response))
        message = answered["choices"][0]["message"]
        line = {**asked, "messages": [*asked["messages"], message], "judgement": None}
        yield alignment.parsed(msgspec.json.encode(line))
    except (LookupError, TypeError, ApiError):  # of another form: it was not a chat's
        return


def _add(store: Store, project_id: str, slug: str, rows: list[NewAlignmentRow]) -> None:
    added = store.add_alignment_rows(project_id, slug, rows)
    typer.echo(f"{added or 0} rows are new, {len(rows) - (added or 0)} were there")


def version(criterion: Criterion, name: str) -> int:
    """Return the number of a version such as `v2`, or of the latest; ConfigError for none."""
    found = re.fullmatch(r"v([0-9]{1,9})", name) if name else None
    number = int(found[1]) if found else criterion.latest.number
    if (name and found is None) or criterion.version(number) is None:
        latest = criterion.latest.number
        raise ConfigError(f"{criterion.slug} has no version {name!r}; there are v1 to v{latest}")
    return number


def judge(settings: Settings, store: Store, project_id: str, slug: str, number: int) -> None:
    """Have a version judge the labelled rows that it has no score of, and keep what it says."""
    found = store.alignment_rows(project_id, slug) or []
    waiting = [each for each in found if each.judgement and not _has_score(each, number)]
    if not waiting:
        return
    check_key(settings, store, project_id)

    def ask(row: AlignmentRow) -> None:
        verdict = _kept(number, asked(settings, f"{slug}@v{number}", alignment.case(row)))
        store.add_alignment_verdict(project_id, slug, row.id, verdict)

    typer.echo(f"{slug}@v{number} judges {len(waiting)} rows", err=True)
    with ThreadPoolExecutor(PARALLEL) as pool:
        tasks = [pool.submit(ask, each) for each in waiting]
        try:
            for task in tasks:
                task.result()
        finally:
            pool.shutdown(cancel_futures=True)


def check_key(settings: Settings, store: Store, project_id: str) -> None:
    """Raise ConfigError for a key of another project: its criteria would judge."""
    token = settings.first_key
    key = token and store.key_by_hash(hash_token(token.reveal()))
    if key and key.project != project_id:
        raise ConfigError("the key in STANDPIPE_API_KEY is another project's: its criteria judge")


def _has_score(row: AlignmentRow, number: int) -> bool:
    return any(each.number == number and each.score is not None for each in row.verdicts)


def asked(settings: Settings, name: str, case: Case) -> Answer:
    """Return what a version says of a case, an error of its judge too.

    Raises ConfigError where that is not the judge's: without a key or a server, beyond a limit.
    """
    body: Json = {"criterion_id": name, "output": case.output}
    if case.messages:
        more = {"tools": case.tools or None, "tool_choice": case.tool_choice}
        body["input"] = {"messages": case.messages, **more}
    answer = own_server.ask(settings, "/api/v1/criteria/judge", body)
    if answer.status in _NOT_THE_JUDGES:
        raise ConfigError(f"{answer.said.get('message')}; what was judged is kept")
    return answer


def _kept(number: int, answer: Answer) -> AlignmentVerdict:
    said = answer.said
    if answer.status != 200:
        return AlignmentVerdict(number, None, None, str(said.get("message"))[:1000], now_us())
    why = said.get("explanation")
    # PostgreSQL's texts have no NUL.
    why = why and why.replace("\0", "")
    return AlignmentVerdict(number, said["score"], why, None, now_us())
