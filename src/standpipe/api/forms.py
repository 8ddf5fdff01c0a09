"""JSON Schema as tables for people: a row for each field, its type in words."""

from __future__ import annotations

from typing import Any

from standpipe.api.html import Html, el, join, prose, raw
from standpipe.api.schema import Schema

Row = tuple[str, Schema, bool]

_OR = raw(" <i>or</i> ")
#: How deep fields of fields are shown in one table.
_DEEPEST = 3


def table(rows: list[tuple[Html, Html, Html]], *heads: str) -> Html:
    """Return a table of three columns, whose cells name their column to narrow screens."""
    head = el("thead", el("tr", *(el("th", name, scope="col") for name in heads)))
    body = [el("tr", *(el("td", cell) for cell in row)) for row in rows]
    return el("table", head, el("tbody", *body))


def fields(schema: Schema, *, nulls: bool) -> Html:
    """Return the tables of a schema; `nulls` says whether null is worth a word."""
    if "properties" in schema:
        rows = [_row(row, nulls=nulls) for row in _rows(schema, "", 1)]
        return table(rows, "Field", "Type", "Meaning")
    choices = [c for c in schema.get("anyOf", []) if "properties" in c and "title" not in c]
    if not choices:
        return el("p", kind(schema, nulls=nulls))
    which = el("p", kind(schema, nulls=nulls))
    return join(which, *(fields(choice, nulls=nulls) for choice in choices))


def parameters(listed: list[dict[str, Any]]) -> Html:
    """Return the table of an operation's parameters in path and query."""
    rows = [
        _row((p["name"], {**p["schema"], **_told(p)}, _is_required(p)), nulls=False) for p in listed
    ]
    return table(rows, "Parameter", "Type", "Meaning")


def kind(schema: Schema, *, nulls: bool) -> Html:
    """Return the type of a schema in words, with links to the forms it names."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return el("a", name, href=f"#{name}")
    if "title" in schema:
        return join(schema["title"])
    choices = schema.get("anyOf") or schema.get("oneOf")
    if choices and "type" not in schema:
        told = [kind(each, nulls=nulls) for each in choices if nulls or each != {"type": "null"}]
        return raw(_OR.join(told))
    if "const" in schema:
        return el("code", _literal(schema["const"]))
    if "enum" in schema:
        words = [el("code", _literal(w)) for w in schema["enum"] if nulls or w is not None]
        return raw(", ".join(words))
    return _plain(schema, nulls=nulls)


def _plain(schema: Schema, *, nulls: bool) -> Html:
    told = schema.get("type", "any JSON")
    names = told if isinstance(told, list) else [told]
    shown = [_named(name, schema, nulls=nulls) for name in names if nulls or name != "null"]
    return raw(_OR.join(shown))


def _named(name: str, schema: Schema, *, nulls: bool) -> Html:
    if name == "array" and schema.get("items"):
        return join("array of ", kind(schema["items"], nulls=nulls))
    values = schema.get("additionalProperties")
    if name == "object" and isinstance(values, dict) and values:
        return join("map to ", kind(values, nulls=nulls))
    return join(name)


def _rows(schema: Schema, prefix: str, depth: int) -> list[Row]:
    found: list[Row] = []
    for name, form in schema["properties"].items():
        found.append((prefix + name, form, name in schema.get("required", ())))
        inner, suffix = _inner(form)
        if inner and depth < _DEEPEST:
            found += _rows(inner, prefix + name + suffix, depth + 1)
    return found


def _inner(form: Schema) -> tuple[Schema | None, str]:
    """Return the object whose fields are worth rows of their own, and how to write the step."""
    if "properties" in form:
        return form, "."
    items = form.get("items", {})
    if "properties" in items:
        return items, "[]."
    return None, ""


def _row(row: Row, *, nulls: bool) -> tuple[Html, Html, Html]:
    name, form, required = row
    mark = el("span", "required", class_="required") if required else raw("")
    steps = raw(name.replace(".", ".<wbr>").replace("_", "_<wbr>"))
    meaning = join(prose(form.get("description", "")), _rules(form))
    return join(el("code", steps), mark), kind(form, nulls=nulls), meaning


def _rules(form: Schema) -> Html:
    told = [written for written in (rule(form) for rule in _RULES) if written]
    return el("span", "; ".join(told), class_="rules") if told else raw("")


def _range(form: Schema) -> str:
    low, high = form.get("minimum"), form.get("maximum")
    if low is None or high is None or high >= 2**53:
        return ""
    return f"{_count(low)} to {_count(high)}"


def _length(form: Schema) -> str:
    low, high = form.get("minLength", 0), form.get("maxLength")
    if high is None:
        return "not empty" if low else ""
    return f"{low} to {high} characters" if low else f"at most {high} characters"


def _items(form: Schema) -> str:
    most = form.get("maxItems")
    return f"at most {_count(most)}" if most else ""


def _default(form: Schema) -> str:
    return f"default {_literal(form['default'])}" if "default" in form else ""


_RULES = (_range, _length, _items, _default)


def _count(value: float) -> str:
    return f"{value:,}".replace(",", "\u202f")


def _literal(value: object) -> str:
    words = {None: "null", True: "true", False: "false"}
    return words.get(value, str(value)) if isinstance(value, bool | None) else str(value)


def _told(parameter: dict[str, Any]) -> Schema:
    return {"description": parameter["description"]} if "description" in parameter else {}


def _is_required(parameter: dict[str, Any]) -> bool:
    return bool(parameter.get("required"))
