"""`standpipe criteria`: what answers are judged by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from standpipe import config
from standpipe.cli import output
from standpipe.cli.options import ConfigOption, JsonOption, ProjectOption
from standpipe.errors import ConfigError

if TYPE_CHECKING:
    from standpipe.criteria.definition import Definition
    from standpipe.store import Store
    from standpipe.store.criteria import Criterion, CriterionVersion

#: Versions that agree with people: the criterion's id and the number of each.
Aligned = frozenset[tuple[str, int]]

commands = typer.Typer(
    help="Make, list, change and use what answers are judged by.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Id of the criterion.")]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The TOML file.")]
KindOption = Annotated[
    str | None,
    typer.Option(
        "--kind",
        metavar="KIND",
        help="pass_fail (without this), score, reward, json_schema, regex, equals, contains, "
        "length or similarity.",
        show_default=False,
    ),
]
ModelOption = Annotated[
    str | None, typer.Option("--model", help="The judge's model.", show_default=False)
]
PromptOption = Annotated[
    str | None,
    typer.Option(
        "--prompt",
        metavar="TEXT",
        help="What it judges by; @FILE reads it from a file.",
        show_default=False,
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=VALUE",
        help="Another field, such as max=200; JSON, or else a text; may be given again.",
        show_default=False,
    ),
]


@commands.command("list")
def list_criteria(
    *, project: ProjectOption = None, as_json: JsonOption = False, config_path: ConfigOption = None
) -> None:
    """List the criteria of all projects, or of one, as they are now."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        names = stores.project_names(store)
        owner = stores.project_id(store, project)
        found, aligned = store.criteria(owner), _aligned(store, owner)
    table = output.table(
        *("Name", "Version", "Kind", "Judge", "Project", "Made", "About"),
        elastic=("About", "Judge"),
    )
    for each in found:
        fields = json.loads(each.latest.definition)
        if as_json:
            output.print_json(_line(each, names.get(each.project, ""), aligned))
        version = f"v{each.latest.number} {_mark(each, each.latest.number, aligned)}".rstrip()
        cells = (each.slug, version, fields["kind"], fields.get("model", ""))
        about = (names.get(each.project, ""), output.date(each.latest.created_at), each.name)
        table.add_row(*map(output.cell, (*cells, *about)))
    if not as_json:
        output.console().print(table)


@commands.command()
def show(
    name: NameArgument,
    *,
    project: ProjectOption = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Show a criterion with all of its versions, the newest first."""
    from standpipe.cli import stores

    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, name)
        names, aligned = stores.project_names(store), _aligned(store, project_id, name)
    if as_json:
        output.print_json(_line(criterion, names[criterion.project], aligned))
        return
    console = output.console()
    console.print(output.folded(" ".join(filter(None, (criterion.slug, criterion.name))), "bold"))
    for version in reversed(criterion.versions):
        mark = _mark(criterion, version.number, aligned)
        head = " ".join(filter(None, (output.date(version.created_at), mark)))
        grid = output.table(f"v{version.number}", head)
        for field, text in fields_of(version):
            grid.add_row(output.cell(field), output.folded(output.plain(text, keep="\n")))
        console.print()
        console.print(grid)


@commands.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Id of the new criterion.")],
    *,
    kind: KindOption = None,
    model: ModelOption = None,
    prompt: PromptOption = None,
    more: SetOption = None,
    about: Annotated[str, typer.Option("--about", help="What it is, for people.")] = "",
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Make a criterion."""
    from standpipe.criteria import definition

    definition.check_slug(name)
    made = _described(_given(kind, model, prompt, more))
    with of_project(config_path, project) as (store, project_id):
        store.add_criterion(project_id, name, definition.kept(made), about)
    typer.echo(f"{name} is there, as v1")


@commands.command()
def version(
    name: NameArgument,
    *,
    kind: KindOption = None,
    model: ModelOption = None,
    prompt: PromptOption = None,
    more: SetOption = None,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Give a criterion a new version: as the latest, but for what is said here."""
    from standpipe.criteria import definition

    given = _given(kind, model, prompt, more)
    with of_project(config_path, project) as (store, project_id):
        latest = json.loads(criterion_named(store, project_id, name).latest.definition)
        # Another kind has other fields.
        kept = latest if given.get("kind", latest["kind"]) == latest["kind"] else {}
        text = definition.kept(_described({**kept, **given}))
        changed = store.add_criterion_version(project_id, name, text)
    if changed is None:
        raise ConfigError(f"{name} was deleted just now")
    typer.echo(f"{name} is now v{changed.latest.number}")


@commands.command()
def delete(
    name: NameArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Delete a criterion for good, with all of its versions."""
    with of_project(config_path, project) as (store, project_id):
        criterion = criterion_named(store, project_id, name)
        if not yes:
            count = len(criterion.versions)
            typer.confirm(f"{name} has {count} versions. Delete it for good?", abort=True)
        store.remove_criterion(project_id, name)
    typer.echo(f"{name} is deleted")


@commands.command()
def judge(
    name: Annotated[str, typer.Argument(metavar="NAME[@VERSION]", help="The criterion.")],
    answer: Annotated[
        str, typer.Argument(metavar="ANSWER", help="The text to judge; @FILE reads it from a file.")
    ],
    *,
    messages: Annotated[
        Path | None,
        typer.Option(
            "--messages", metavar="FILE", help="What it answers: a JSON list.", show_default=False
        ),
    ] = None,
    as_json: JsonOption = False,
    config_path: ConfigOption = None,
) -> None:
    """Judge an answer; the running server does it, with the key in STANDPIPE_API_KEY."""
    from standpipe.cli import own_server

    output_message = {"role": "assistant", "content": _text(answer)}
    body: dict[str, Any] = {"criterion_id": name, "output": output_message}
    if messages is not None:
        body["input"] = {"messages": _json(messages)}
    said = own_server.post(config.load(config_path), "/api/v1/criteria/judge", body)
    if as_json:
        output.print_json(said)
        return
    why = said.get("explanation", "")
    output.console().print(output.folded(f"{said['score']:g}  {why}".rstrip()))


@commands.command()
def export(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Only these.", show_default=False),
    ] = None,
    *,
    project: ProjectOption = None,
    config_path: ConfigOption = None,
) -> None:
    """Write the latest versions of a project's criteria as TOML to standard output."""
    from standpipe.cli import criteria_files

    with of_project(config_path, project) as (store, project_id):
        found = [criterion_named(store, project_id, each) for each in names or ()]
        text = criteria_files.written(found if names else store.criteria(project_id))
    typer.echo(text, nl=False)


@commands.command("import")
def import_criteria(
    file: FileArgument, *, project: ProjectOption = None, config_path: ConfigOption = None
) -> None:
    """Bring a project's criteria to what a file says; what is not in it stays as it is.

    Nothing is changed unless all of the file can be used.
    """
    from standpipe.cli import criteria_files
    from standpipe.criteria import definition

    described = criteria_files.read(file)
    with of_project(config_path, project) as (store, project_id):
        known = {each.slug: each for each in store.criteria(project_id)}
        for each in described:
            text = definition.kept(each.definition)
            if each.slug not in known:
                store.add_criterion(project_id, each.slug, text, each.name)
                typer.echo(f"{each.slug}: new, as v1")
                continue
            changed = store.add_criterion_version(project_id, each.slug, text)
            before, now = known[each.slug].latest.number, changed and changed.latest.number
            typer.echo(f"{each.slug}: " + ("unchanged" if now == before else f"now v{now}"))


@contextmanager
def of_project(config_path: str | None, project: str | None) -> Iterator[tuple[Store, str]]:
    """Open the store, and say which project is meant: `default`, or else the oldest."""
    from standpipe.cli import stores

    with stores.opened(config.load(config_path)) as store:
        owner = stores.project_named(store, project) if project else stores.first(store)
        yield store, owner.id


def criterion_named(store: Store, project_id: str, name: str) -> Criterion:
    """Return a project's criterion; ConfigError lists those that there are."""
    found = store.criteria(project_id, [name])
    if not found:
        known = ", ".join(each.slug for each in store.criteria(project_id)) or "none yet"
        raise ConfigError(f"there is no criterion {name!r}; there are: {known}")
    return found[0]


def fields_of(version: CriterionVersion) -> Iterator[tuple[str, str]]:
    """Yield what a version is, in words; what is empty is left out."""
    for field, value in json.loads(version.definition).items():
        if value not in ({}, None):
            yield field, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _aligned(store: Store, project_id: str | None, *slugs: str) -> Aligned:
    """Return the versions that agree with people."""
    from standpipe.criteria import alignment

    found = store.alignment_tallies(project_id, slugs or None, passes=alignment.PASSES)
    return alignment.aligned(found)


def _mark(criterion: Criterion, number: int, aligned: Aligned) -> str:
    return "aligned" if (criterion.id, number) in aligned else ""


def _line(criterion: Criterion, project: str, aligned: Aligned) -> dict[str, Any]:
    """Return what is printed of a criterion for programs."""
    versions = [
        {
            "version": f"v{each.number}",
            "created_at": output.iso(each.created_at),
            "aligned": (criterion.id, each.number) in aligned,
            **json.loads(each.definition),
        }
        for each in criterion.versions
    ]
    return {
        "id": criterion.slug,
        "name": criterion.name,
        "project": project,
        "version": versions[-1]["version"],
        "versions": versions,
    }


def _given(
    kind: str | None, model: str | None, prompt: str | None, more: list[str] | None
) -> dict[str, Any]:
    """Return the fields that were given."""
    said = {"kind": kind, "model": model, "prompt": None if prompt is None else _text(prompt)}
    fields: dict[str, Any] = {name: value for name, value in said.items() if value is not None}
    for each in more or ():
        field, equals, value = each.partition("=")
        if not equals or not field:
            raise ConfigError(f"--set {each!r}: say FIELD=VALUE")
        fields[field] = _value(value)
    return fields


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _described(fields: dict[str, Any]) -> Definition:
    from standpipe.cli import criteria_files

    found = criteria_files.parsed(fields)
    criteria_files.check(found)
    return found


def _text(given: str) -> str:
    """Return a text that was given, or that of the file which is."""
    return _read(Path(given[1:])) if given.startswith("@") else given


def _json(file: Path) -> Any:
    try:
        return json.loads(_read(file))
    except ValueError as error:
        raise ConfigError(f"{file} is no JSON: {error}") from error


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file} is no text in UTF-8") from error
