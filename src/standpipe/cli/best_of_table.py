"""What the best of n is worth, for people to read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from standpipe.cli import output
from standpipe.wire.usage import dollars

if TYPE_CHECKING:
    from standpipe.cli.best_of_cost import Spent
    from standpipe.criteria.gain import Gain

Json = dict[str, Any]

_RANGE = "95 %"
_SCALE = "From 0 to 1"
#: Characters of the drawing, at most.
_PLOT = 40
#: Of fewer prompts a bootstrap makes intervals that are too narrow.
_FEW = 30


def line(gain: Gain, spent: Spent) -> Json:
    """Return what is told of one n; tokens and costs are for a prompt."""
    cost = spent.cost(gain.n)
    return {
        "n": gain.n,
        "worth": gain.worth._asdict(),
        "gain": gain.gain._asdict(),
        "tokens": round(spent.tokens(gain.n), 1),
        "judge_tokens": round(spent.judge_tokens(gain.n), 1),
        "cost": None if cost is None else dollars(cost),
    }


def show(told: Json) -> None:
    """Print a table of it, and in words what it comes to."""
    console = output.console()
    head, *rows = _cells(told["results"])
    figures = tuple(name for name in head if name != _RANGE)
    left = console.width - sum(
        max(map(len, column)) + 2 for column in zip(head, *rows, strict=True)
    )
    width = min(left, _PLOT)
    table = output.table(*head, *([_SCALE] if width >= len(_SCALE) else []), right=figures)
    for cells, each in zip(rows, told["results"], strict=True):
        drawn = [plot(**each["worth"], width=width)] if width >= len(_SCALE) else []
        table.add_row(*map(output.cell, (*cells, *drawn)))
    console.print(table)
    for text in (_verdict(told), *_notes(told)):
        console.print(output.folded(text))


def _cells(results: list[Json]) -> list[list[str]]:
    """Return the names of the columns and the cells of each row, without what is nowhere told."""
    is_judged = any(each["judge_tokens"] for each in results)
    is_priced = any(each["cost"] is not None for each in results)
    more = [*(["Judge's"] if is_judged else []), *(["Cost"] if is_priced else [])]
    cells = [["n", "Worth", _RANGE, "Gain over 1", _RANGE, "Tokens", *more]]
    for each in results:
        tokens = [f"{each['judge_tokens']:,.0f}"] if is_judged else []
        cost = ["" if each["cost"] is None else f"${each['cost']}"] if is_priced else []
        cells.append([str(each["n"]), *_worth(each), f"{each['tokens']:,.0f}", *tokens, *cost])
    return cells


def _worth(result: Json) -> tuple[str, ...]:
    worth, gain = result["worth"], result["gain"]
    is_one = result["n"] == 1
    return (
        *(f"{worth['mean']:.3f}", _range(worth, ".3f")),
        *("" if is_one else f"{gain['mean']:+.3f}", "" if is_one else _range(gain, "+.3f")),
    )


def _range(figure: Json, form: str) -> str:
    return f"{figure['low']:{form}} to {figure['high']:{form}}"


def plot(mean: float, low: float, high: float, *, width: int = _PLOT) -> str:
    """Return a line that shows where from 0 to 1 a figure and its interval are."""
    place, first, last = (round(min(1.0, max(0.0, at)) * (width - 1)) for at in (mean, low, high))
    marks = ["·"] * width
    marks[first : last + 1] = "─" * (last + 1 - first)
    marks[place] = "●"
    return "".join(marks)


def _verdict(told: Json) -> str:
    """Return whether it pays, as far as figures can say that."""
    one, most = told["results"][0], told["results"][-1]
    n, gain = most["n"], most["gain"]
    if gain["low"] <= 0 <= gain["high"]:
        return f"No gain is shown: the interval of the best of {n} over one answer holds 0."
    both = [each["tokens"] + each["judge_tokens"] for each in (one, most)]
    price = f", for {both[1] / both[0]:.1f} times the tokens" if both[0] else ""
    word = "better" if gain["mean"] > 0 else "worse"
    return f"The best of {n} is {word} than one answer by {abs(gain['mean']):.3f}{price}."


def _notes(told: Json) -> list[str]:
    notes = [
        f"{told['prompts']:,} prompts, {told['samples']} answers to each by {told['model']}, "
        f"picked by {told['criterion']}; tokens and cost are for a prompt."
    ]
    if told["worth"] == told["criterion"]:
        notes.append("What picks the best says how good it is: --worth lets another one say it.")
    else:
        notes.append(f"How good the best is says {told['worth']}.")
    if told["prompts"] < _FEW:
        notes.append(f"Of fewer than {_FEW} prompts, intervals are narrower than they should be.")
    if told["failed"]:
        notes.append(f"{told['failed']:,} prompts were not answered: {told['last_error']}")
    if told["unjudged"]:
        notes.append(f"{told['unjudged']:,} answers could not be judged and count 0.")
    return notes
