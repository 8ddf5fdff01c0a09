"""Scenarios of the `openpipe` client 5.0.0, sync and async; a program, see `playing.py`.

`client.openai` is its wrapper of the openai client: a prefixed model goes to the server, any other
straight to the provider, with a report to the server. `client.openpipe` is its platform client.
"""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any, Literal

import openai
import openpipe
from clients.playing import done, each, error_of, main, told
from openpipe.api_client.core.api_error import ApiError
from pydantic import BaseModel


class City(BaseModel):
    city: Literal["Paris", "Rome"]


def prepare(arguments: SimpleNamespace) -> Any:
    kinds = {
        "sync": (openpipe.OpenAI, openai.OpenAI, openpipe.OpenPipe),
        "async": (openpipe.AsyncOpenAI, openai.AsyncOpenAI, openpipe.AsyncOpenPipe),
    }
    wrapper, plain, platform = kinds[arguments.mode]
    provider = {"base_url": arguments.provider, "api_key": "sk-provider", "max_retries": 0}
    place = {"base_url": arguments.url, "api_key": arguments.key}
    options = {**place, "fallback_client": plain(**provider)}
    return SimpleNamespace(openai=wrapper(**provider, openpipe=options), openpipe=platform(**place))


async def create(client: Any, arguments: SimpleNamespace) -> Any:
    completion = await done(client.openai.chat.completions.create(**arguments.body))
    assert isinstance(completion, openai.types.chat.ChatCompletion)
    return completion.model_dump()


async def typed(client: Any, arguments: SimpleNamespace) -> Any:
    """Call by the generated client, which checks the answer against the closed schema."""
    answer = await done(client.openpipe.base_client.create_chat_completion(**arguments.body))
    return json.loads(answer.json())


async def stream(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.openai.chat.completions.create(**arguments.body, stream=True))
    return [chunk.model_dump() async for chunk in each(answer)]


async def refused(client: Any, arguments: SimpleNamespace) -> Any:
    error = await error_of(lambda: client.openai.chat.completions.create(**arguments.body))
    assert isinstance(error, getattr(openai, arguments.error)), error
    return told(error)


async def keyless(client: Any, arguments: SimpleNamespace) -> Any:
    """Call without any OpenPipe key: the client sends the provider's to the server."""
    client.openai.openpipe_completions_client.api_key = "sk-provider"
    return await refused(client, arguments)


async def parse(client: Any, arguments: SimpleNamespace) -> Any:
    asked = {**arguments.body, "response_format": City}
    completion = await done(client.openai.chat.completions.parse(**asked))
    return {"city": completion.choices[0].message.parsed.city}


async def judgement(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.openpipe.get_criterion_judgement(**arguments.body))
    usage = answer.usage and {"total_tokens": answer.usage.total_tokens}
    return {"score": answer.score, "explanation": answer.explanation, "usage": usage}


async def judgement_refused(client: Any, arguments: SimpleNamespace) -> Any:
    error = await error_of(lambda: client.openpipe.get_criterion_judgement(**arguments.body))
    assert isinstance(error, ApiError), error
    return {"status": error.status_code, "body": error.body}


async def report(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.openpipe.report(**arguments.body))
    return {"status": answer.status}


async def report_completion(client: Any, arguments: SimpleNamespace) -> Any:
    """Report the very object that the openai client answered."""
    plain = client.openai.fallback_client
    completion = await done(plain.chat.completions.create(**arguments.body))
    answer = await done(
        client.openpipe.report(
            req_payload={**arguments.body, "temperature": openai.NOT_GIVEN},
            resp_payload=completion,
            status_code=200,
        )
    )
    assert answer.status == "ok"
    return completion.model_dump()


async def update_metadata(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.openpipe.update_log_metadata(**arguments.body))
    return answer.matched_logs


async def update_tags(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.openpipe.update_log_tags(**arguments.body))
    return answer.matched_logs


async def latest(client: Any, arguments: SimpleNamespace) -> Any:
    call = await done(client.openpipe.base_client.local_testing_only_get_latest_logged_call())
    return None if call is None else json.loads(call.json())


async def check_cache(client: Any, arguments: SimpleNamespace) -> Any:
    base = client.openpipe.base_client
    answer = await done(base.check_cache(requested_at=0, req_payload={"model": "ok"}))
    return answer.resp_payload


async def models(client: Any, arguments: SimpleNamespace) -> Any:
    listed = (await done(client.openpipe.list_models())).data
    for model in listed:
        found = await done(client.openpipe.get_model(model_slug=f"openpipe:{model.id}"))
        assert found.id == model.id
    return [json.loads(model.json()) for model in listed]


async def platform_errors(client: Any, arguments: SimpleNamespace) -> Any:
    """Return what is told of a model that is not there, and to a key that is unknown."""
    missing = await error_of(lambda: client.openpipe.get_model(model_slug="none"))
    client.openpipe.api_key = "opk_unknown"
    unknown = await error_of(client.openpipe.list_models)
    assert isinstance(missing, ApiError)
    assert isinstance(unknown, ApiError)
    return [{"status": error.status_code, **error.body} for error in (missing, unknown)]


SCENARIOS = {
    play.__name__: play
    for play in (
        create,
        typed,
        stream,
        refused,
        keyless,
        parse,
        judgement,
        judgement_refused,
        report,
        report_completion,
        update_metadata,
        update_tags,
        latest,
        check_cache,
        models,
        platform_errors,
    )
}

if __name__ == "__main__":
    main(prepare, SCENARIOS)
