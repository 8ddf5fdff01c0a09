"""`standpipe models`: what answers, and the weights of the embedded model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from standpipe.config import Settings

commands = typer.Typer(help="List what answers, and fetch the local model.", no_args_is_help=True)


@commands.command()
def pull(*, config_path: ConfigOption = None) -> None:
    """Fetch the local models' weights into the data directory, and check them.

    The chat model's are 93 MB; the embedding model's, 84 MB, come if the extra `embeddings` is
    installed.
    """
    from standpipe.engine import embedding_weights, extras_installed, weights

    settings = config.load(config_path)
    console = output.console(stderr=True)
    with console.status("starting") as status:

        def tell(step: str) -> None:
            status.update(step)
            console.print(step, markup=False, soft_wrap=True)

        try:
            weights.pull(settings.home, tell)
            if extras_installed.has_embeddings():
                embedding_weights.pull(settings.home, tell)
        except OSError as error:
            raise ConfigError(f"{settings.home}: {error.strerror or error}") from error


@commands.command("list")
def list_models(*, config_path: ConfigOption = None) -> None:
    """List the names that callers may use, and where each leads."""
    from standpipe.providers.rows import completed

    settings = completed(config.load(config_path))
    table = output.table("Model", "Provider", "State", elastic=("State",))
    for row in (*_routes(settings), *_mixtures(settings), *_providers(settings), *_local(settings)):
        *first, state = row
        table.add_row(*map(output.cell, first), output.folded(state))
    if table.row_count:
        output.console().print(table)
    else:
        typer.echo("nothing answers: add a table [providers.<name>] to standpipe.toml")


Names = tuple[str, str, str]


def _routes(settings: Settings) -> Iterator[Names]:
    for name, route in settings.routes.items():
        providers = dict.fromkeys(target.provider for target in route.targets)
        models = dict.fromkeys(target.model for target in route.targets)
        after = dict.fromkeys(f"{t.provider}:{t.model}" for t in route.fallback)
        then = f", then {', '.join(after)}" if after else ""
        yield name, ", ".join(providers), f"route to {', '.join(models)}{then}"


def _mixtures(settings: Settings) -> Iterator[Names]:
    for name, mixture in settings.mixtures.items():
        models = dict.fromkeys(each.model for each in mixture.candidates)
        yield name, "", f"mixture of {', '.join(models)}, answered by {mixture.final}"


def _providers(settings: Settings) -> Iterator[Names]:
    first: dict[str, str] = {}
    for name, row in settings.providers.items():
        for model in row.models:
            owner = first.setdefault(model, name)
            taken = "" if owner == name else f"only as {name}:{model}; the bare name is {owner}'s"
            yield model, name, taken or row.base_url
        yield f"{name}:<model>", name, f"any model of {row.base_url}"


def _local(settings: Settings) -> Iterator[Names]:
    from standpipe.cli import local

    for name, model in settings.local.chat().items():
        state = local.lacking(settings, name) or f"on this machine: {local.gguf(settings, name)}"
        for each in (name, *(f"{name}:{adapter}" for adapter in model.adapters)):
            yield each, "local", state
