"""Options that several commands share; nothing heavy, so that help stays quick."""

from __future__ import annotations

from typing import Annotated

import typer

from standpipe.wire.record import Outcome

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Path of standpipe.toml.", show_default=False),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        "--workers",
        metavar="N",
        min=0,
        max=256,
        help="Worker processes behind the port, 0 for one a core; as server.workers.",
        show_default=False,
    ),
]
ProjectOption = Annotated[
    str | None, typer.Option("--project", help="Name or id of the project.", show_default=False)
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

ModelOption = Annotated[
    str | None, typer.Option("--model", help="Only this model, as asked for.", show_default=False)
]
StatusOption = Annotated[
    int | None, typer.Option("--status", help="Only this HTTP status.", show_default=False)
]
OutcomeOption = Annotated[
    Outcome | None, typer.Option("--outcome", help="Only this outcome.", show_default=False)
]
MetadataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--metadata",
        metavar="NAME=VALUE",
        help="Only calls with this metadata; may be given again.",
        show_default=False,
    ),
]
SinceOption = Annotated[
    str | None,
    typer.Option(
        "--since",
        metavar="WHEN",
        help="From this on: 15m, 24h, 7d ago, or a date and time (ISO 8601).",
        show_default=False,
    ),
]
UntilOption = Annotated[
    str | None,
    typer.Option("--until", metavar="WHEN", help="Before this; as --since.", show_default=False),
]
