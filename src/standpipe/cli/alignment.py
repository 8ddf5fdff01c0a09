"""Commands of `standpipe criteria` that say whether a judge can be trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.criteria import NameArgument, criterion_named, of_project
from standpipe.cli.log_filters import labels
from standpipe.cli.options import (
    ConfigOption,
    JsonOption,
    MetadataOption,
    ModelOption,
    ProjectOption,
)
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store import Store
    from standpipe.store.alignment import AlignmentRow

commands = typer.Typer()

PassesOption = Annotated[
    float | None,
    typer.Option(
        "--passes", metavar="SCORE", min=0, max=1,
        help="From which score on an answer passes; 0.5 without this.", show_default=False,
    ),
]  # fmt: skip


@commands.command()
def rows(
    name: NameArgument,
    *,
    file: Annotated[
        Path | None,
        typer.Option(
            "--import", metavar="FILE", help="Add the rows of a JSONL file.", show_default=False
        ),
    ] = None,
    logs: Annotated[
        int | None,
        typer.Option(
            "--logs", metavar="N", min=1, help="Add the latest N logged calls.", show_default=False
        ),
    ] = None,
    model: ModelOption = None,
    metadata: MetadataOption = None,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Add rows to a criterion's alignment set, and say how many there are."""
    from standpipe.cli import alignment_rows

    with of_project(config_path, project) as (store, project_id):
        criterion_named(store, project_id, name)
        if file is not None:
            alignment_rows.import_file(store, project_id, name, file)
        if logs is not None:
            wanted = alignment_rows.wanted(model, labels(metadata))
            alignment_rows.take_logs(store, project_id, name, logs, wanted)
        found = _rows(store, project_id, name)
    said = [sum(each.judgement == word for each in found) for word in ("PASS", "FAIL", None)]
    typer.echo("{} rows: people pass {} and fail {}; {} are not labelled".format(len(found), *said))


@commands.command()
def label(
    name: NameArgument,
    *,
    again: Annotated[
        bool, typer.Option("--again", help="Show rows too that are labelled.")
    ] = False,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Show the rows one by one, and take what you say of each by a single key."""
    from standpipe.cli import labelling

    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, name)
        labelling.run(store, criterion, again=again)


@commands.command()
def align(
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="The criterion; its latest version.")
    ],
    *,
    passes: PassesOption = None,
    judge: Annotated[
        bool, typer.Option("--judge/--no-judge", help="Ask the judge of rows it has not judged.")
    ] = True,
    page: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write a page too.", show_default=False),
    ] = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Judge the labelled rows, and say how far each version agrees with people.

    The running server judges, with the key in STANDPIPE_API_KEY.
    """
    from standpipe.cli import alignment_page, alignment_rows, alignment_table

    settings = config.load(config_path)
    slug, _, version = name.partition("@")
    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, slug)
        number = alignment_rows.version(criterion, version)
        if judge:
            alignment_rows.judge(settings, store, project_id, slug, number)
        found = _rows(store, project_id, slug)
        said = _report(store, project_id, slug, found, passes)
    if page is not None:
        alignment_page.write(page, criterion, said, found, number)
    if as_json:
        output.print_json(said)
    else:
        alignment_table.show(said, f"v{number}")


@commands.command()
def compare(
    name: NameArgument,
    earlier: Annotated[str, typer.Argument(metavar="VERSION", help="Such as v1.")],
    later: Annotated[str, typer.Argument(metavar="VERSION", help="Such as v2.")],
    *,
    passes: PassesOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Say whether the difference between two versions is real, by rows that both have judged."""
    from standpipe.cli import alignment_rows, alignment_table

    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, name)
        pair = tuple(alignment_rows.version(criterion, each) for each in (earlier, later))
        found = _rows(store, project_id, name)
        said = _report(store, project_id, name, found, passes, (pair[0], pair[1]))["comparison"]
    if as_json:
        output.print_json(said)
    else:
        alignment_table.show_comparison(said)


@commands.command()
def probe(
    name: Annotated[
        str, typer.Argument(metavar="NAME[@VERSION]", help="The criterion; its latest version.")
    ],
    *,
    most: Annotated[
        int, typer.Option("--rows", metavar="N", min=1, help="How many rows it is asked of.")
    ] = 30,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Have it choose between two answers instead.")
    ] = False,
    passes: PassesOption = None,
    project: ProjectOption = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Ask a judge again, and of answers with padding: whether chance or length sway it.

    It is asked four times of each row, by the running server. With --pairs it is shown two answers
    at a time, in both orders: whether place or length sway it.
    """
    from standpipe.cli import alignment_rows, probing
    from standpipe.criteria import definition
    from standpipe.criteria.definition import Judged

    settings = config.load(config_path)
    slug, _, version = name.partition("@")
    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, slug)
        number = alignment_rows.version(criterion, version)
        alignment_rows.check_key(settings, store, project_id)
        found = _rows(store, project_id, slug)
    full, show = f"{slug}@v{number}", probing.show
    if pairs:
        judge = definition.read((criterion.version(number) or criterion.latest).definition)
        if not isinstance(judge, Judged):
            raise ConfigError(f"{full} has no judge with a prompt: there is nothing to choose by")
        said, show = probing.run_pairs(settings, full, judge, found, most), probing.show_pairs
    else:
        said = probing.run(settings, full, found[:most], passes)
    if as_json:
        output.print_json(said)
    else:
        show(said)


@commands.command()
def bar(
    value: Annotated[
        float | None,
        typer.Argument(
            metavar="[KAPPA]",
            min=-1,
            max=1,
            help="The new one; shows it without this.",
            show_default=False,
        ),
    ] = None,
    *,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Say above which kappa a project calls a judge aligned, or change it."""
    with of_project(config_path, project) as (store, project_id):
        if value is not None:
            store.change_project(project_id, {"alignment_bar": value})
        typer.echo(f"a judge is aligned whose kappa is at least {_bar(store, project_id):g}")


def _rows(store: Store, project_id: str, slug: str) -> list[AlignmentRow]:
    found = store.alignment_rows(project_id, slug)
    if found is None:
        raise ConfigError(f"{slug} was deleted just now")
    return found


def _report(
    store: Store,
    project_id: str,
    slug: str,
    found: list[AlignmentRow],
    passes: float | None,
    pair: tuple[int, int] | None = None,
) -> dict[str, Any]:
    from standpipe.criteria import alignment, alignment_report

    return alignment_report.report(
        slug,
        found,
        bar=_bar(store, project_id),
        passes=alignment.PASSES if passes is None else passes,
        pair=pair,
    )


def _bar(store: Store, project_id: str) -> float:
    from standpipe.criteria import alignment

    owner = store.project(project_id)
    own = None if owner is None else owner.alignment_bar
    return alignment.BAR if own is None else own
