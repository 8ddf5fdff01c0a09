"""GET /models, in OpenPipe's shape and in OpenAI's (spec 2.8)."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

import pytest
from asking import Asker
from serving import Standpipe

from standpipe.store import Project, Store
from standpipe.store.tokens import new_token

REQUIRED = {
    "id",
    "name",
    "object",
    "description",
    "created",
    "updated",
    "openpipe",
    "contextWindow",
    "maxCompletionTokens",
    "capabilities",
    "pricing",
    "owned_by",
}


def test_models_are_the_routes_and_what_providers_list(client: Asker) -> None:
    page = client.get("/models")
    assert page["object"] == "list"
    listed = [(model["id"], model["owned_by"]) for model in page["data"]]
    assert listed == [("mine", "route"), ("fixed", "route"), ("ok", "openai")]


def test_model_has_every_required_key(client: Asker) -> None:
    for model in client.get("/models")["data"]:
        assert model.keys() == REQUIRED
        assert model["object"] == "model"
        assert model["openpipe"]["status"] == "DEPLOYED"
        assert model["pricing"].keys() == {"chatIn", "chatOut"}


def test_created_is_text_for_openpipe_and_a_number_for_openai(client: Asker) -> None:
    theirs = client.get("/models", prefix="/api/v1")["data"][0]["created"]
    openais = client.get("/models", prefix="/v1")["data"][0]["created"]
    assert datetime.fromisoformat(theirs).timestamp() == openais


@pytest.mark.parametrize("name", ["ok", "mine", "openpipe:ok", "openpipe%3Aok"])
def test_model_is_found_by_its_name(client: Asker, name: str) -> None:
    found = client.get(f"/models/{name}", prefix="/v1")
    assert found in client.get("/models", prefix="/v1")["data"]


@pytest.mark.parametrize("name", ["nothing", "o", "OK", "openpipe:nothing", "a/b/c", "a b"])
def test_unknown_model_is_named(client: Asker, name: str) -> None:
    answer = client.ask("GET", f"/models/{quote(name)}")
    assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
    assert answer.json["message"] == f"The model `{name}` does not exist"


def test_key_is_shown_the_models_that_it_may_call_and_no_other(
    server: Standpipe, store: Store, project: Project
) -> None:
    _, token = new_token()
    allowed = '["min*", "openpipe:ok"]'
    key = store.add_key(project.id, name="few", read_only=False, token=token, models=allowed)
    who = Asker(server, token, key.id)
    for prefix in ("/api/v1", "/v1"):
        assert [model["id"] for model in who.get("/models", prefix=prefix)["data"]] == ["mine"]
    assert who.get("/models/openpipe:ok")["id"] == "ok"
    for name in ("ok", "openpipe:mine"):
        answer = who.ask("GET", f"/models/{name}")
        assert (answer.status, answer.json["error"]["code"]) == (404, "model_not_found")
