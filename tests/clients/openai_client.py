"""Scenarios of the `openai` client, 1.97 and later, sync and async; a program, see `playing.py`."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Literal

import openai
from clients.playing import done, each, error_of, main, told
from pydantic import BaseModel

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
NAME = [{"role": "user", "content": "Name one city, as JSON."}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris? Use the tool."}]
LIMITS = {"max_tokens": 64, "temperature": 0}
#: Strict, since the older client's helper takes no other.
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "strict": True,
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


class City(BaseModel):
    city: Literal["Paris", "Rome"]


def prepare(arguments: SimpleNamespace) -> Any:
    kind = openai.AsyncOpenAI if arguments.mode == "async" else openai.OpenAI
    return kind(base_url=arguments.url, api_key=arguments.key, max_retries=0)


async def create(client: Any, arguments: SimpleNamespace) -> Any:
    completion = await done(
        client.chat.completions.create(
            model=arguments.model,
            messages=MESSAGES,
            max_tokens=8,
            temperature=0,
            store=True,
            metadata={"scenario": "create", "mode": arguments.mode},
            extra_body=arguments.extra,
        )
    )
    assert completion._request_id
    return {**completion.model_dump(), "_request_id": completion._request_id}


async def create_with(client: Any, arguments: SimpleNamespace) -> Any:
    return (await done(client.chat.completions.create(**arguments.body))).model_dump()


async def not_stored(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.chat.completions.create
    completion = await done(create(model="ok", messages=MESSAGES, store=False))
    error = await error_of(lambda: client.chat.completions.retrieve(completion.id))
    assert isinstance(error, openai.NotFoundError), error
    return told(error)


async def tools(client: Any, arguments: SimpleNamespace) -> Any:
    completion = await done(
        client.chat.completions.create(model="tools", messages=MESSAGES, tools=[TOOL])
    )
    (call,) = completion.choices[0].message.tool_calls
    return {"finish": completion.choices[0].finish_reason, **call.function.model_dump()}


async def stream(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.chat.completions.create
    chunks = each(
        await done(
            create(
                model=arguments.model, messages=MESSAGES, stream=True, max_tokens=8, temperature=0
            )
        )
    )
    return [chunk.model_dump() async for chunk in chunks]


async def stream_usage(client: Any, arguments: SimpleNamespace) -> Any:
    options = {"include_usage": True}
    answer = client.chat.completions.create(
        model=arguments.model,
        messages=MESSAGES,
        stream=True,
        stream_options=options,
        max_tokens=8,
        temperature=0,
    )
    return [chunk.model_dump() async for chunk in each(await done(answer))]


async def stream_helper(client: Any, arguments: SimpleNamespace) -> Any:
    """Let the client itself put a stream's pieces together, tool calls among them."""
    asked = {"model": arguments.model, "messages": MESSAGES, "tools": [TOOL]}
    manager = client.chat.completions.stream(**asked)
    if hasattr(manager, "__aenter__"):
        async with manager as events:
            kinds = [event.type async for event in events]
            final = await events.get_final_completion()
    else:
        with manager as events:
            kinds = [event.type for event in events]
            final = events.get_final_completion()
    return {"kinds": sorted(set(kinds)), "final": final.model_dump()}


async def parse(client: Any, arguments: SimpleNamespace) -> Any:
    completion = await done(
        client.chat.completions.parse(
            model=arguments.model,
            messages=NAME,
            response_format=City,
            **LIMITS,
        )
    )
    parsed = completion.choices[0].message.parsed
    assert isinstance(parsed, City)
    return {"city": parsed.city}


async def parse_stream(client: Any, arguments: SimpleNamespace) -> Any:
    """Let the client put a streamed object together, and parse it."""
    asked = {"model": arguments.model, "messages": NAME, "response_format": City, **LIMITS}
    final = await _final(client.chat.completions.stream(**asked))
    parsed = final.choices[0].message.parsed
    assert isinstance(parsed, City)
    return {"city": parsed.city}


async def round_trip(client: Any, arguments: SimpleNamespace) -> Any:
    """Have tools called, their arguments parsed, and their results read."""
    tool = openai.pydantic_function_tool(City, name="get_weather")
    asked = {"model": arguments.model, "tools": [tool], "tool_choice": arguments.choice, **LIMITS}
    completions = client.chat.completions
    if arguments.stream:
        final = await _final(completions.stream(messages=WEATHER, **asked))
    else:
        final = await done(completions.parse(messages=WEATHER, **asked))
    message = final.choices[0].message
    assert final.choices[0].finish_reason == "tool_calls"
    cities = [call.function.parsed_arguments.city for call in message.tool_calls]
    results = [
        {"role": "tool", "tool_call_id": call.id, "content": f"sun in {city}"}
        for call, city in zip(message.tool_calls, cities, strict=True)
    ]
    conversation = [*WEATHER, message.model_dump(exclude_none=True), *results]
    said = await done(
        completions.create(**{**asked, "messages": conversation, "tool_choice": arguments.then})
    )
    return {"cities": cities, "text": said.choices[0].message.content}


async def _final(manager: Any) -> Any:
    """Return the completion that a stream helper of either client puts together."""
    if hasattr(manager, "__aenter__"):
        async with manager as events:
            return await events.get_final_completion()
    with manager as events:
        return events.get_final_completion()


async def raw(client: Any, arguments: SimpleNamespace) -> Any:
    create = client.chat.completions.with_raw_response.create
    answer = await done(create(model="ok", messages=MESSAGES))
    parsed = await done(answer.parse())
    stored = await done(client.chat.completions.retrieve(answer.headers["x-request-id"]))
    assert stored.id == parsed.id
    return {"headers": dict(answer.headers), "_request_id": parsed._request_id, "id": parsed.id}


async def refused(client: Any, arguments: SimpleNamespace) -> Any:
    """Return the error of a call with any fields."""
    error = await error_of(lambda: client.chat.completions.create(**arguments.body))
    assert isinstance(error, getattr(openai, arguments.error)), error
    return told(error)


async def limited(client: Any, arguments: SimpleNamespace) -> Any:
    """Return the headers of a call that is answered, and what the next one's error tells."""
    ask = client.chat.completions.with_raw_response.create
    answer = await done(ask(model="ok", messages=MESSAGES))
    error = await error_of(
        lambda: client.chat.completions.create(model="ok", messages=MESSAGES, stream=True)
    )
    assert isinstance(error, openai.RateLimitError), error
    return {"headers": dict(answer.headers), **told(error), "told": dict(error.response.headers)}


async def retried(client: Any, arguments: SimpleNamespace) -> Any:
    """Return the error of a client that would try again if the server let it."""
    eager = client.with_options(max_retries=2)
    error = await error_of(
        lambda: eager.chat.completions.create(model=arguments.model, messages=MESSAGES)
    )
    return told(error)


async def broken_stream(client: Any, arguments: SimpleNamespace) -> Any:
    answer = client.chat.completions.create(model=arguments.model, messages=MESSAGES, stream=True)
    content = ""
    try:
        async for chunk in each(await done(answer)):
            content += chunk.choices[0].delta.content or ""
    except openai.APIError as error:
        return {"content": content, **told(error)}
    raise AssertionError("the stream ended as if it were whole")


async def missing(client: Any, arguments: SimpleNamespace) -> Any:
    """Return what is told of things that are not there."""
    errors = [
        await error_of(lambda: client.chat.completions.retrieve("chatcmpl-none")),
        await error_of(lambda: client.chat.completions.delete("chatcmpl-none")),
        await error_of(lambda: client.models.retrieve("none")),
        await error_of(lambda: client.get("/no-such-path", cast_to=object)),
    ]
    assert all(isinstance(error, openai.NotFoundError) for error in errors), errors
    return [told(error) for error in errors]


async def stored(client: Any, arguments: SimpleNamespace) -> Any:
    """Live through a stored completion's life."""
    completions = client.chat.completions
    label = {"life": f"{arguments.mode}-{openai.__version__}"}
    made = []
    for _ in range(3):
        asked = {"model": "ok", "messages": MESSAGES, "store": True, "metadata": label}
        made.append((await done(completions.create(**asked))).id)
    pages = completions.list(metadata=label, limit=1, model="ok", order="desc")
    listed = [each_of.id async for each_of in each(await _pages(pages))]
    assert listed == made[::-1]
    first = await done(completions.retrieve(made[0]))
    assert first.id == made[0]
    assert first.metadata == label
    changed = await done(completions.update(made[0], metadata={"life": "changed"}))
    assert changed.metadata == {"life": "changed"}
    found = each(await _pages(completions.messages.list(made[0], limit=1)))
    messages = [message.model_dump() async for message in found]
    deleted = await done(completions.delete(made[0]))
    assert deleted.deleted
    assert deleted.id == made[0]
    gone = await error_of(lambda: completions.retrieve(made[0]))
    assert isinstance(gone, openai.NotFoundError)
    return {"made": made, "messages": messages, "deleted": deleted.model_dump()}


async def _pages(page: Any) -> Any:
    """Return what iterates over all pages: the paginator of either client."""
    return page if hasattr(page, "__aiter__") else await done(page)


async def models(client: Any, arguments: SimpleNamespace) -> Any:
    listed = [model async for model in each(await _pages(client.models.list()))]
    retrieved = [await done(client.models.retrieve(model.id)) for model in listed]
    assert [model.id for model in retrieved] == [model.id for model in listed]
    return [model.model_dump() for model in listed]


async def control_headers(client: Any, arguments: SimpleNamespace) -> Any:
    """Use OpenPipe's headers from the bare client."""
    headers = {"op-log-request": arguments.log, "op-tags": '{"any_key": 1, "none": null}'}
    completion = await done(
        client.chat.completions.create(
            model="openai:ok",
            messages=MESSAGES,
            metadata={"prompt_id": "p"},
            extra_headers=headers,
        )
    )
    return completion.model_dump()


SCENARIOS = {
    play.__name__: play
    for play in (
        create,
        create_with,
        not_stored,
        tools,
        stream,
        stream_usage,
        stream_helper,
        parse,
        parse_stream,
        round_trip,
        raw,
        refused,
        limited,
        retried,
        broken_stream,
        missing,
        stored,
        models,
        control_headers,
    )
}

if __name__ == "__main__":
    main(prepare, SCENARIOS)
