"""Scenarios of the `openai` client on the routes that pass through; see `playing.py`."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import openai
from clients.playing import done, each, error_of, main, told


def prepare(arguments: SimpleNamespace) -> Any:
    kind = openai.AsyncOpenAI if arguments.mode == "async" else openai.OpenAI
    return kind(base_url=arguments.url, api_key=arguments.key, max_retries=0)


async def embed(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.embeddings.create
    answer = await done(create(model=arguments.model, input=["a", "b"], encoding_format="float"))
    return answer.model_dump()


async def complete(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.completions.create
    return (await done(create(model=arguments.model, prompt="Once"))).model_dump()


async def complete_streamed(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.completions.create
    stream = each(await done(create(model=arguments.model, prompt="Once", stream=True)))
    return [chunk.model_dump() async for chunk in stream]


async def respond(client: Any, arguments: SimpleNamespace) -> Any:
    answer = await done(client.responses.create(model=arguments.model, input="Hi"))
    more = {"output_text": answer.output_text, "_request_id": answer._request_id}
    return {**answer.model_dump(), **more}


async def respond_streamed(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.responses.create
    stream = each(await done(create(model=arguments.model, input="Hi", stream=True)))
    return [event.model_dump() async for event in stream]


async def breaks(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.responses.create
    stream = each(await done(create(model=arguments.model, input="Hi", stream=True)))

    async def read() -> None:
        async for _ in stream:
            pass

    return told(await error_of(read))


async def fails(client: Any, arguments: SimpleNamespace) -> Any:
    asked = {"model": arguments.model, "input": "Hi"}
    return [
        told(await error_of(partial(create, **asked)))
        for create in (client.embeddings.create, client.responses.create)
    ]


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (
        embed,
        complete,
        complete_streamed,
        respond,
        respond_streamed,
        breaks,
        fails,
    )
}

if __name__ == "__main__":
    main(prepare, SCENARIOS)
