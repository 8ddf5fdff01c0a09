"""`standpipe usage`: what was used and what it cost, in figures and in bars."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.log_filters import moment
from standpipe.cli.options import ConfigOption, JsonOption, ProjectOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.store.usage import By, UsageQuery

#: More rows than anybody reads.
_MOST = 100_000


def usage(
    *,
    by: Annotated[
        str | None,
        typer.Option(
            "--by",
            metavar="day|hour",
            help="A row for each; without it, days, or all of the time where --group is given.",
            show_default=False,
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="model|key|NAME",
            help="A row for each, NAME being of metadata; may be given again.",
            show_default=False,
        ),
    ] = None,
    since: Annotated[
        str,
        typer.Option(
            "--since",
            metavar="WHEN",
            help="From this on: 24h, 7d or 4w ago, or a date and time (ISO 8601).",
        ),
    ] = "7d",
    project: ProjectOption = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Say what was used and what it cost; days and hours begin in UTC."""
    from standpipe.api.usage_form import shown
    from standpipe.cli import stores, usage_page
    from standpipe.store.usage import UsageQuery

    settings = config.load(config_path)
    asked = _query(by, group or [], since, settings.usage.metadata)
    with stores.opened(settings) as store:
        of_project = stores.project_id(store, project)
        rows = store.usage(of_project, asked, limit=_MOST)
        models = store.usage(
            of_project, UsageQuery(since=asked.since, until=asked.until, by_model=True), limit=_MOST
        )
        keys = [key for each in store.projects() for key in store.keys(each.id)]
    if as_json:
        for row in rows:
            output.print_json(shown(row, asked))
        return
    console = output.console()
    if not rows:
        console.print(f"nothing was used since {output.local_time(asked.since):%Y-%m-%d %H:%M}")
        return
    names = {key.id: key.name or key.id for key in keys}
    usage_page.show(console, rows, asked, names, whole=by is None and bool(group))
    usage_page.show_unpriced(console, models)


def _query(by: str | None, group: list[str], since: str, names: tuple[str, ...]) -> UsageQuery:
    from standpipe.store.usage import LENGTHS, UsageQuery

    length: By = "hour" if by == "hour" else "day"
    if by not in (None, *LENGTHS):
        raise ConfigError(f"--by {by!r}: say day or hour")
    labels = [name for name in group if name not in ("model", "key")]
    for name in labels:
        if name not in names:
            known = ", ".join(("model", "key", *names))
            raise ConfigError(f"--group {name!r}: by usage.metadata, it is one of {known}")
    if len(labels) > 1:
        raise ConfigError(f"--group {labels[1]!r}: of metadata, one name at a time")
    now = datetime.now().astimezone()
    first = moment("--since", since, now)
    return UsageQuery(
        since=first // LENGTHS[length] * LENGTHS[length],
        until=round(now.timestamp() * 1e6) + 1,
        by=length,
        by_model="model" in group,
        by_key="key" in group,
        by_name=labels[0] if labels else None,
    )
