"""Rows that people have judged, and whether a judge says what they say; pure.

A version is aligned where enough rows show that it agrees with people beyond chance by more than
its project's bar. The lower end of kappa's interval counts: few rows have to be nearly all right.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from standpipe.criteria import agreement, comparison
from standpipe.criteria.agreement import Agreement, Table
from standpipe.criteria.case import Case
from standpipe.criteria.comparison import Comparison
from standpipe.errors import ApiError, BadRequest
from standpipe.store.alignment import (
    AlignmentRow,
    AlignmentTally,
    AlignmentVerdict,
    NewAlignmentRow,
)
from standpipe.wire import messages
from standpipe.wire.checks import Issues
from standpipe.wire.invalid import invalid

Json = dict[str, Any]

#: Largest file of rows, in bytes.
LARGEST = 10_000_000
#: Fewest rows, judged by people and by the version, that a version is called aligned by.
LEAST = 30
#: What kappa has to be at least, where the project does not say.
BAR = 0.6
#: Of the rows, how many a judge may fail to judge.
_ERRORS = 0.05
#: From which score on an answer passes.
PASSES = 0.5
#: Faults of a file that are told.
_TOLD = 100


class Fault(NamedTuple):
    """A line of a file that is no row."""

    line: int
    why: str


class Imported(NamedTuple):
    """What a file of rows has."""

    rows: list[NewAlignmentRow]
    #: The first hundred.
    faults: list[Fault]
    #: How many lines were no rows.
    faulty: int


class _Line(msgspec.Struct, kw_only=True):
    """A row in OpenAI's chat form; what else it has is of no use here."""

    messages: list[Json]
    tools: list[Json] | None = None
    tool_choice: Any = None
    functions: list[Json] | None = None
    judgement: Literal["PASS", "FAIL"] | None = None


_line: msgspec.json.Decoder[_Line] = msgspec.json.Decoder(_Line)
_case: msgspec.json.Decoder[Case] = msgspec.json.Decoder(Case)


# --- rows -----------------------------------------------------------------------------------------


def read(data: bytes) -> Imported:
    """Return the rows of a JSONL file, each with what people said of it, or without.

    Raises BadRequest for a file that is too large, or of which more lines are no rows than are.
    """
    if len(data) > LARGEST:
        raise BadRequest(f"the file has {len(data)} bytes; at most {LARGEST} can be imported")
    rows: list[NewAlignmentRow] = []
    faults: list[Fault] = []
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            rows.append(parsed(line))
        except ApiError as error:
            faults.append(Fault(number, error.message))
    if len(faults) > len(rows):
        raise BadRequest(f"Invalid JSONL on line {faults[0].line}: {faults[0].why}")
    return Imported(rows, faults[:_TOLD], len(faults))


def parsed(text: bytes) -> NewAlignmentRow:
    """Return the row of one line; BadRequest says why it is none."""
    try:
        line = _line.decode(text)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BadRequest(f"no JSON: {error}") from error
    issues = Issues()
    messages.messages(line.messages, ("messages",), issues)
    if issues.found:
        raise issues.error()
    *before, last = line.messages
    if last["role"] != "assistant":
        raise BadRequest("messages: the final message must be from the assistant")
    tools = line.tools or [{"type": "function", "function": each} for each in line.functions or ()]
    case = Case(output=last, messages=before, tools=tools, tool_choice=line.tool_choice)
    return row(case, line.judgement)


def row(case: Case, judgement: str | None = None) -> NewAlignmentRow:
    """Return a case as a row; the same case is the same row."""
    text = msgspec.json.encode(case, order="deterministic")
    return NewAlignmentRow(hashlib.sha256(text).hexdigest()[:32], text.decode(), judgement)


def case(of: AlignmentRow) -> Case:
    """Return what is judged in a row."""
    return _case.decode(of.case)


# --- versions against people ----------------------------------------------------------------------


class Standing(msgspec.Struct, frozen=True):
    """How a version does against people."""

    #: The version's.
    number: int
    #: Rows that people have judged and it has not been asked of.
    waiting: int
    #: Rows that people have judged and it could not judge.
    errors: int
    agreement: Agreement
    aligned: bool
    #: Why it is, or is not.
    reason: str


def standing(rows: Iterable[AlignmentRow], number: int, *, bar: float, passes: float) -> Standing:
    """Return how a version does; `passes` is the score from which on an answer does."""
    labelled = [each for each in rows if each.judgement is not None]
    verdicts = [(each, _verdict(each, number)) for each in labelled]
    pairs = [
        (each.judgement == "PASS", verdict.score >= passes)
        for each, verdict in verdicts
        if verdict is not None and verdict.score is not None
    ]
    waiting = sum(verdict is None for _, verdict in verdicts)
    errors = len(labelled) - waiting - len(pairs)
    found = agreement.measured(agreement.table(pairs))
    fault = _fault(found, errors, bar)
    reason = fault or f"kappa is at least {found.kappa.low:.2f}, and the bar is {bar:g}"
    return Standing(number, waiting, errors, found, fault is None, reason)


def aligned(tallies: Iterable[AlignmentTally]) -> frozenset[tuple[str, int]]:
    """Return the versions that are aligned, each as its criterion's id and its number."""
    together: defaultdict[tuple[str, int], list[AlignmentTally]] = defaultdict(list)
    for each in tallies:
        together[each.criterion, each.number].append(each)
    return frozenset(version for version, its in together.items() if _is_aligned(its))


def _is_aligned(tallies: Sequence[AlignmentTally]) -> bool:
    counts = {"PASS": (0, 0), "FAIL": (0, 0)}
    counts |= {each.judgement: (each.passed, each.judged - each.passed) for each in tallies}
    found = agreement.measured(Table(*counts["PASS"], *counts["FAIL"]))
    errors = sum(each.asked - each.judged for each in tallies)
    bar = tallies[0].bar
    return _fault(found, errors, BAR if bar is None else bar) is None


def _fault(found: Agreement, errors: int, bar: float) -> str | None:
    rows = found.table.rows
    if rows < LEAST:
        return f"{rows} rows are judged by people and by this version; it takes {LEAST}"
    if errors > _ERRORS * (rows + errors):
        return f"the judge failed at {errors} of {rows + errors} rows"
    if found.kappa.low < bar:
        return f"kappa may be as low as {found.kappa.low:.2f}, and the bar is {bar:g}"
    return None


def compared(
    rows: Iterable[AlignmentRow], earlier: int, later: int, *, passes: float
) -> Comparison:
    """Compare versions by the rows that people and both of them have judged."""
    return comparison.compare(_right(rows, earlier, later, passes))


def _right(
    rows: Iterable[AlignmentRow], earlier: int, later: int, passes: float
) -> Iterator[tuple[bool, bool]]:
    for each in rows:
        found = [_verdict(each, number) for number in (earlier, later)]
        scores = [verdict.score for verdict in found if verdict and verdict.score is not None]
        if each.judgement is not None and len(scores) == len(found):
            first, second = ((score >= passes) == (each.judgement == "PASS") for score in scores)
            yield first, second


def judged_versions(rows: Sequence[AlignmentRow]) -> list[int]:
    """Return the versions that have judged any of the rows, the oldest first."""
    return sorted({verdict.number for each in rows for verdict in each.verdicts})


def _verdict(of: AlignmentRow, number: int) -> AlignmentVerdict | None:
    return next((each for each in of.verdicts if each.number == number), None)
