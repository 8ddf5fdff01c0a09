"""NUL, which PostgreSQL has no place for, is refused by name where it would be kept or sought."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest
from asking import CHAT, HI, Asker
from serving import Answer

NUL = "a\0b"

Asking = Callable[[Asker], Answer]


def posting(path: str, body: Any) -> Asking:
    return lambda client: client.ask("POST", path, body)


def getting(query: str) -> Asking:
    return lambda client: client.ask("GET", f"{CHAT}?{query}")


def call(**fields: Any) -> Asking:
    return posting(CHAT, {"model": "ok", "messages": HI, **fields})


def labels(path: str, name: str, value: Any, field: str = "metadata") -> Asking:
    return posting(path, {"filters": [], field: {name: value}})


def filtered(field: str, equals: str) -> Asking:
    filters = [{"field": "model", "equals": "x"}, {"field": field, "equals": equals}]
    return posting("/logs/update-metadata", {"filters": filters, "metadata": {}})


UPDATE = "/logs/update-metadata"
TAGS = "/logs/update-tags"

#: The field that the refusal names, and what is asked.
ASKED: dict[str, tuple[str, Asking]] = {
    "call: model": ("model", call(model=NUL)),
    "call: value": ("metadata.x", call(metadata={"x": NUL})),
    "call: name": (f"metadata.{NUL}", call(metadata={NUL: "x"})),
    "report: tag": ("tags.x", posting("/report", {"tags": {"x": NUL}})),
    "report: metadata": (
        "reqPayload.metadata.x",
        posting("/report", {"reqPayload": {"metadata": {"x": NUL}}}),
    ),
    "update: value": ("metadata.x", labels(UPDATE, "x", NUL)),
    "update: name": (f"metadata.{NUL}", labels(UPDATE, NUL, None)),
    "update tags": ("tags.x", labels(TAGS, "x", NUL, "tags")),
    "update: filter": ("filters[1].equals", filtered("model", NUL)),
    "update: filter's field": ("filters[1].field", filtered(f"metadata.{NUL}", "x")),
    "list: model": ("model", getting(f"model={quote(NUL)}")),
    "list: after": ("after", getting(f"after={quote(NUL)}")),
    "list: metadata": ("metadata.x", getting(f"metadata[x]={quote(NUL)}")),
}


@pytest.mark.parametrize(("field", "ask"), ASKED.values(), ids=ASKED.keys())
def test_nul_is_refused_by_name(client: Asker, field: str, ask: Asking) -> None:
    answer = ask(client)
    assert answer.status == 400, answer.body
    assert answer.json["error"]["param"] == field
    assert field.rpartition(".")[2] in answer.json["message"]


def test_update_of_a_completion_refuses_it_too(client: Asker) -> None:
    made = client.chat(store=True)
    answer = client.ask("POST", f"{CHAT}/{made['id']}", {"metadata": {"x": NUL}})
    assert (answer.status, answer.json["error"]["param"]) == (400, "metadata.x")


def test_no_record_has_such_an_id(client: Asker) -> None:
    assert client.ask("GET", f"{CHAT}/{quote(NUL)}").status == 404
