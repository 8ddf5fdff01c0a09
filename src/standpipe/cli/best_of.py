"""`standpipe bench-of-n`: what it is worth to have the best of n answers picked, and its price."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption
from standpipe.errors import ConfigError
from standpipe.wire.usage import dollars

if TYPE_CHECKING:
    from standpipe.cli.best_of_cost import Spent
    from standpipe.criteria.gain import Gain

_PLOT = 40


def bench(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="The prompts: JSONL, each line a request with `messages`, or a text.",
        ),
    ],
    *,
    criterion: Annotated[
        str, typer.Option("--criterion", metavar="NAME[@VERSION]", help="What picks the best.")
    ],
    model: Annotated[str, typer.Option("--model", help="What answers.")],
    worth: Annotated[
        str | None,
        typer.Option(
            "--worth",
            metavar="NAME[@VERSION]",
            help="What says how good the best is; without this, what picks it.",
            show_default=False,
        ),
    ] = None,
    samples: Annotated[
        int, typer.Option("--samples", min=2, max=128, help="Answers to each prompt.")
    ] = 8,
    temperature: Annotated[
        float, typer.Option("--temperature", help="Where a prompt says none of its own.")
    ] = 1.0,
    parallel: Annotated[
        int, typer.Option("--parallel", min=1, max=64, help="Prompts asked at a time.")
    ] = 4,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="FILE", help="Write all figures there as JSON.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Show what the best of 1, 2, 4, … answers is worth by a criterion, and what it costs.

    The running server answers and judges, with the key in STANDPIPE_API_KEY; what it took is read
    from the store. Nothing is estimated from fewer answers than were made.
    """
    from standpipe.cli import best_of_asking, best_of_cost
    from standpipe.cli.log_lines import SLACK_US
    from standpipe.criteria import gain
    from standpipe.store.rows import now_us

    settings = config.load(config_path)
    prompts = best_of_asking.prompts(file)
    asked = best_of_asking.Asked(criterion, worth, model, samples, temperature)
    since = now_us() - SLACK_US
    with output.console(stderr=True).status("asking") as status:
        done = best_of_asking.ask(
            *(settings, prompts, asked, parallel),
            tell=lambda n: status.update(f"asking: {n:,} of {len(prompts):,} prompts"),
        )
    if not done.answers:
        raise ConfigError(f"no prompt was answered; the last error: {done.last_error}")
    found = gain.gains(done.answers, gain.sizes(samples))
    spent = best_of_cost.spent(settings, done.ids, samples, since)
    told = {
        "model": model,
        "criterion": criterion,
        "worth": worth or criterion,
        "samples": samples,
        "prompts": len(done.answers),
        "failed": done.failed,
        "last_error": done.last_error,
        "unjudged": done.unjudged,
        "results": [_line(each, spent) for each in found],
    }
    if out is not None:
        _write(out, told)
    if as_json:
        output.print_json(told)
    else:
        _print(told, found)


def _line(each: Gain, spent: Spent) -> dict[str, Any]:
    """Return what is told of one n for programs; the costs are for a prompt."""
    cost = spent.cost(each.n)
    return {
        "n": each.n,
        "worth": each.worth._asdict(),
        "gain": each.gain._asdict(),
        "tokens": round(spent.tokens(each.n), 1),
        "judge_tokens": round(spent.judge_tokens(each.n), 1),
        "cost": None if cost is None else dollars(cost),
    }


def _write(out: Path, told: dict[str, Any]) -> None:
    try:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error


def _print(told: dict[str, Any], found: list[Gain]) -> None:
    console = output.console()
    table = output.table(
        *("n", "Worth", "95 %", "Gain over 1", "95 %", "Tokens", "Judge's", "Cost", "0 to 1"),
        right=("n", "Worth", "Gain over 1", "Tokens", "Judge's", "Cost"),
        elastic=("0 to 1",),
    )
    for each, line in zip(found, told["results"], strict=True):
        worth, gain = each.worth, each.gain
        cost = "" if line["cost"] is None else f"${line['cost']}"
        cells = (
            *(str(each.n), f"{worth.mean:.3f}", f"{worth.low:.3f} to {worth.high:.3f}"),
            *(f"{gain.mean:+.3f}", f"{gain.low:+.3f} to {gain.high:+.3f}"),
            *(f"{line['tokens']:,.0f}", f"{line['judge_tokens']:,.0f}", cost),
            plot(worth.mean, worth.low, worth.high),
        )
        table.add_row(*map(output.cell, cells))
    console.print(table)
    for text in _notes(told):
        console.print(output.folded(text))


def plot(mean: float, low: float, high: float) -> str:
    """Return a line that shows where from 0 to 1 a figure and its interval are."""
    place, first, last = (round(min(1.0, max(0.0, at)) * (_PLOT - 1)) for at in (mean, low, high))
    marks = ["·"] * _PLOT
    marks[first : last + 1] = "─" * (last + 1 - first)
    marks[place] = "●"
    return "".join(marks)


def _notes(told: dict[str, Any]) -> list[str]:
    notes = [
        f"{told['prompts']:,} prompts, {told['samples']} answers to each; tokens and cost are for "
        "a prompt."
    ]
    if told["worth"] == told["criterion"]:
        notes.append("What picks the best says how good it is: --worth lets another one say it.")
    if told["failed"]:
        notes.append(f"{told['failed']:,} prompts were not answered: {told['last_error']}")
    if told["unjudged"]:
        notes.append(f"{told['unjudged']:,} answers could not be judged and count 0.")
    return notes
