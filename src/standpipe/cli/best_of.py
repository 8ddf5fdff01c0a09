"""`standpipe bench-of-n`: what it is worth to have the best of n answers picked, and its price."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from standpipe.cli.best_of_asking import Asked, Done
    from standpipe.config import Settings

#: Exit status of a program that Ctrl-C has ended.
_INTERRUPTED = 130


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
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="FILE",
            help="Keep there what prompts score, and do not ask again those that are there.",
            show_default=False,
        ),
    ] = None,
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
    from the store. Ctrl-C ends it early, with the figures of the prompts answered by then.
    """
    from standpipe.cli import best_of_asking, best_of_table
    from standpipe.cli.best_of_kept import Kept

    settings = config.load(config_path)
    prompts = best_of_asking.prompts(file)
    picks, says = best_of_asking.versions(settings, [criterion, worth or criterion])
    asked = best_of_asking.Asked(picks, says, model, samples, temperature)
    kept = Kept(resume)
    _write(out, b"", mode="ab")  # what cannot be written is told before anything is paid for
    with _progress(len(prompts)) as tell:
        done = best_of_asking.ask(settings, prompts, asked, parallel, kept, tell=tell)
    if done.scored:
        told = _told(settings, asked, done)
        _write(out, msgspec.json.format(msgspec.json.encode(told)) + b"\n")
        output.print_json(told) if as_json else best_of_table.show(told)
    if done.stopped is not None:
        typer.echo(f"standpipe: {_early(done, is_kept=resume is not None)}", err=True)
        is_ours = done.stopped == best_of_asking.INTERRUPTED
        raise typer.Exit(_INTERRUPTED if is_ours else 1)


def _told(settings: Settings, asked: Asked, done: Done) -> dict[str, Any]:
    """Return all figures, for programs; tokens and costs are for a prompt."""
    from standpipe.cli import best_of_cost, best_of_table
    from standpipe.criteria import gain

    found = gain.gains([each.answers for each in done.scored], gain.sizes(asked.samples))
    spent = best_of_cost.spent(settings, {each.call for each in done.scored}, asked)
    return {
        "model": asked.model,
        "criterion": asked.criterion,
        "worth": asked.worth,
        "samples": asked.samples,
        "temperature": asked.temperature,
        "prompts": len(done.scored),
        "of": done.prompts,
        "failed": done.failed,
        "last_error": done.last_error,
        "unjudged": done.unjudged,
        "stopped": done.stopped,
        "results": [best_of_table.line(each, spent) for each in found],
    }


def _early(done: Done, *, is_kept: bool) -> str:
    """Return why a run ended early, and how to go on."""
    left = done.prompts - len(done.scored) - done.failed
    on = "the same command goes on" if is_kept else "with --resume a run can go on later"
    return f"{done.stopped}: {left:,} of {done.prompts:,} prompts were not asked to the end; {on}"


def _write(out: Path | None, text: bytes, mode: Literal["wb", "ab"] = "wb") -> None:
    try:
        if out is not None:
            with out.open(mode) as opened:
                opened.write(text)
    except OSError as error:
        raise ConfigError(f"{out} cannot be written: {error.strerror}") from error


@contextmanager
def _progress(prompts: int) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many prompts are done, where that is a terminal."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    texts = (TextColumn("prompts"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    console = output.console(stderr=True)
    shown = Progress(*texts, *times, console=console, disable=not console.is_terminal)
    with shown as progress:
        task = progress.add_task("", total=prompts)
        yield lambda done: progress.update(task, completed=done)
