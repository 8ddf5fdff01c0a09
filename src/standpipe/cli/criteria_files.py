"""Criteria as people write them: in TOML files, and as fields that are given to a command."""

from __future__ import annotations

import asyncio
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from standpipe.calls.emulation.checker import Checker
from standpipe.cli import toml_text
from standpipe.criteria import checks, definition
from standpipe.criteria.definition import Definition
from standpipe.errors import ApiError, ConfigError
from standpipe.store.criteria import Criterion

Json = dict[str, Any]

#: Fields that are objects of JSON, which may have nulls in them; TOML has none.
_OBJECTS = ("schema", "parameters")


class Described(msgspec.Struct, frozen=True):
    """A criterion as a file has it."""

    slug: str
    name: str
    definition: Definition


def written(criteria: Iterable[Criterion]) -> str:
    """Return the latest versions of criteria as a file."""
    return toml_text.written({"criteria": {each.slug: _table(each) for each in criteria}})


def _table(criterion: Criterion) -> Json:
    fields: Json = json.loads(criterion.latest.definition)
    for name in _OBJECTS:
        if name in fields:
            fields[name] = _without_null(fields[name])
    return {"name": criterion.name or None, **{n: v for n, v in fields.items() if v != {}}}


def _without_null(value: Json) -> Json | str:
    """Return an object, as a text of JSON where TOML could not hold it."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    return text if _has_null(value) else value


def _has_null(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_has_null, value.values()))
        case list():
            return any(map(_has_null, value))
        case _:
            return value is None


def read(file: Path) -> list[Described]:
    """Return the criteria of a file, each of which can be used; ConfigError names what cannot."""
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is no TOML: {error}") from error
    tables = tree.get("criteria")
    if tree.keys() != {"criteria"} or not isinstance(tables, dict):
        raise ConfigError(f"{file}: has to have [criteria.NAME] tables and nothing else")
    found = [_described(file, slug, table) for slug, table in tables.items()]
    asyncio.run(_check(found))
    return found


def _described(file: Path, slug: str, table: Any) -> Described:
    place = f"{file}: [criteria.{slug}]"
    if not isinstance(table, dict):
        raise ConfigError(f"{place}: has to be a table")
    fields = {**table}
    name = fields.pop("name", "")
    if not isinstance(name, str):
        raise ConfigError(f"{place}: name: has to be a text")
    try:
        definition.check_slug(slug)
        return Described(slug, name, parsed(fields))
    except ApiError as error:
        raise ConfigError(f"{place}: {error.message}") from error


def parsed(fields: Mapping[str, Any]) -> Definition:
    """Return a version; objects may be given as texts of JSON. BadRequest names what cannot be."""
    return definition.parse({name: _object(name, value) for name, value in fields.items()})


def _object(name: str, value: Any) -> Any:
    if name not in _OBJECTS or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise definition.refusal(name, f"is no JSON: {error}") from error


def check(found: Definition) -> None:
    """Raise BadRequest for a pattern or a schema that cannot be used."""
    asyncio.run(_check([Described("", "", found)]))


async def _check(found: Iterable[Described]) -> None:
    checker = Checker()
    try:
        for each in found:
            if fault := await checks.fault(each.definition, checker):
                raise definition.refusal(f"{each.slug} {fault[0]}".strip(), fault[1])
    finally:
        await checker.close()
