"""Scenarios of the `anthropic` client, sync and async; a program, see `playing.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anthropic
from clients.playing import done, each, error_of, main, told

HI = [{"role": "user", "content": "Hi"}]
TOOL = {
    "name": "get_weather",
    "description": "How the weather is.",
    "input_schema": {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    },
}


def prepare(arguments: SimpleNamespace) -> Any:
    kind = anthropic.AsyncAnthropic if arguments.mode == "async" else anthropic.Anthropic
    bearer = {"auth_token": arguments.key} if getattr(arguments, "bearer", False) else {}
    return kind(
        base_url=arguments.url, api_key=None if bearer else arguments.key, max_retries=0, **bearer
    )


def asked(arguments: SimpleNamespace, **more: Any) -> dict[str, Any]:
    """Return what a scenario asks for: a short answer, unless it says otherwise."""
    given = {"model": arguments.model, "max_tokens": 8, "messages": HI}
    return given | more | getattr(arguments, "fields", {})


async def create(client: Any, arguments: SimpleNamespace) -> Any:
    message = await done(client.messages.create(**asked(arguments)))
    return {**message.model_dump(), "_request_id": message._request_id}


async def tools(client: Any, arguments: SimpleNamespace) -> Any:
    """Call a tool and give back its result."""
    first = await done(client.messages.create(**asked(arguments, model="tools", tools=[TOOL])))
    (call,) = first.content
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "Sunny."}
    messages = [
        *HI,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": [result, {"type": "text", "text": "So?"}]},
    ]
    fields = asked(arguments, messages=messages, tools=[TOOL])
    second = await done(client.messages.create(**fields))
    return {"first": first.model_dump(), "second": second.model_dump()}


async def events(client: Any, arguments: SimpleNamespace) -> Any:
    stream = each(await done(client.messages.create(**asked(arguments, stream=True))))
    return [event.model_dump() async for event in stream]


async def stream(client: Any, arguments: SimpleNamespace) -> Any:
    """Stream with the client's helper, which puts the message together."""
    manager = client.messages.stream(**asked(arguments))
    if arguments.mode == "async":
        async with manager as streamed:
            text = [piece async for piece in streamed.text_stream]
            message = await streamed.get_final_message()
    else:
        with manager as streamed:
            text = list(streamed.text_stream)
            message = streamed.get_final_message()
    return {"text": "".join(text), "message": message.model_dump()}


async def fails(client: Any, arguments: SimpleNamespace) -> Any:
    return told(await error_of(lambda: client.messages.create(**asked(arguments))))


async def breaks(client: Any, arguments: SimpleNamespace) -> Any:
    """Return the error that ends a stream, and how many events came before it."""
    seen = 0
    stream = each(await done(client.messages.create(**asked(arguments, stream=True))))

    async def read() -> None:
        nonlocal seen
        async for _ in stream:
            seen += 1

    return {**told(await error_of(read)), "seen": seen}


async def count(client: Any, arguments: SimpleNamespace) -> Any:
    counted = client.messages.count_tokens
    return told(await error_of(lambda: counted(model=arguments.model, messages=HI)))


SCENARIOS = {
    scenario.__name__: scenario
    for scenario in (create, tools, events, stream, fails, breaks, count)
}

if __name__ == "__main__":
    main(prepare, SCENARIOS)
