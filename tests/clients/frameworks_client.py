"""Scenarios of frameworks over the `openai` client; a program, see `playing.py`.

LangChain, Pydantic AI and Instructor play the same scenarios, named `<framework>_<scenario>`.
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any, Literal

import instructor
import openai
from clients.playing import error_of, main
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, PromptedOutput, RunContext, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from pydantic_ai.settings import ModelSettings

PLAIN = "Hi"
WEATHER = "What is the weather in Paris? Use the tool."
NAME = "Name one city, as JSON."
LIMITS = {"max_tokens": 64, "temperature": 0.0}


class City(BaseModel):
    """A city."""

    city: Literal["Paris", "Rome"]


def get_weather(city: Literal["Paris", "Rome"]) -> str:
    """Tell the weather in a city."""
    return f"sun in {city}"


def prepare(arguments: SimpleNamespace) -> SimpleNamespace:
    place = {"base_url": arguments.url, "api_key": arguments.key}
    client = openai.AsyncOpenAI(**place, max_retries=0)
    model = OpenAIChatModel(arguments.model, provider=OpenAIProvider(openai_client=client))
    return SimpleNamespace(
        langchain=ChatOpenAI(model=arguments.model, **place, max_retries=0, **LIMITS),
        agent=functools.partial(Agent, model),
        client=client,
    )


def openai_error(error: BaseException | None) -> dict[str, Any]:
    """Return what the `openai` client raised, whatever the framework made of it."""
    found = []
    while error is not None:
        found.append(error)
        error = error.__cause__
    cause: Any = next(e for e in reversed(found) if isinstance(e, openai.APIStatusError))
    return {"class": type(cause).__name__, "status": cause.status_code, "body": cause.body}


# --- LangChain ----------------------------------------------------------------------------------


def _langchain_said(message: Any) -> dict[str, Any]:
    usage = message.usage_metadata
    return {"text": message.content, "usage": [usage["input_tokens"], usage["output_tokens"]]}


async def langchain_text(clients: Any, arguments: SimpleNamespace) -> Any:
    message = await clients.langchain.ainvoke(PLAIN)
    assert message.response_metadata["model_name"] == arguments.model
    assert message.response_metadata["finish_reason"] in ("stop", "length")
    return _langchain_said(message)


async def langchain_stream(clients: Any, arguments: SimpleNamespace) -> Any:
    pieces = [piece async for piece in clients.langchain.astream(PLAIN, stream_usage=True)]
    assert sum(bool(piece.content) for piece in pieces) > 1
    return _langchain_said(functools.reduce(lambda a, b: a + b, pieces))


async def langchain_tools(clients: Any, arguments: SimpleNamespace) -> Any:
    offered = tool(get_weather)
    bound = clients.langchain.bind_tools([offered], tool_choice=arguments.choice)
    conversation: list[Any] = [HumanMessage(WEATHER)]
    if arguments.stream:
        pieces = [piece async for piece in bound.astream(conversation)]
        asked: Any = functools.reduce(lambda a, b: a + b, pieces)
    else:
        asked = await bound.ainvoke(conversation)
    results = [await offered.ainvoke(call) for call in asked.tool_calls]
    assert results
    assert all(isinstance(result, ToolMessage) for result in results)
    bound = clients.langchain.bind_tools([offered])
    said = await bound.ainvoke([*conversation, asked, *results])
    cities = [call["args"]["city"] for call in asked.tool_calls]
    return {"cities": cities, **_langchain_said(said)}


async def langchain_structured(clients: Any, arguments: SimpleNamespace) -> Any:
    options = {"method": arguments.method, "strict": arguments.strict}
    options = {name: value for name, value in options.items() if value is not None}
    model = clients.langchain.with_structured_output(City, **options)
    if arguments.stream:
        found = [piece async for piece in model.astream(NAME)][-1]
    else:
        found = await model.ainvoke(NAME)
    assert isinstance(found, City)
    return found.model_dump()


async def langchain_refused(clients: Any, arguments: SimpleNamespace) -> Any:
    error = await error_of(lambda: clients.langchain.ainvoke(PLAIN, **arguments.fields))
    assert isinstance(error, openai.APIStatusError), error
    return openai_error(error)


# --- Pydantic AI --------------------------------------------------------------------------------


def _agent_said(result: Any) -> dict[str, Any]:
    usage = result.usage
    return {"text": result.output, "usage": [usage.input_tokens, usage.output_tokens]}


def _limits(**more: Any) -> ModelSettings:
    return ModelSettings(max_tokens=64, temperature=0, **more)


async def pydantic_ai_text(clients: Any, arguments: SimpleNamespace) -> Any:
    result = await clients.agent(model_settings=_limits()).run(PLAIN)
    assert result.response.model_name == arguments.model
    return _agent_said(result)


async def pydantic_ai_stream(clients: Any, arguments: SimpleNamespace) -> Any:
    agent = clients.agent(model_settings=_limits())
    async with agent.run_stream(PLAIN) as result:
        stream = result.stream_text(delta=True, debounce_by=None)
        pieces = [piece async for piece in stream]
        usage = result.usage
    assert len(pieces) > 1
    return {"text": "".join(pieces), "usage": [usage.input_tokens, usage.output_tokens]}


async def pydantic_ai_tools(clients: Any, arguments: SimpleNamespace) -> Any:
    cities: list[str] = []

    def weather(city: Literal["Paris", "Rome"]) -> str:
        """Tell the weather in a city."""
        cities.append(city)
        return get_weather(city)

    def settings(context: RunContext[Any]) -> ModelSettings:
        if arguments.choice is None:
            return _limits()
        return _limits(tool_choice=[weather.__name__] if context.run_step == 1 else "none")

    agent = clients.agent(model_settings=settings, tools=[weather])
    if arguments.stream:
        async with agent.run_stream(WEATHER) as result:
            await result.get_output()
    result = await agent.run(WEATHER)
    return {"cities": sorted(set(cities)), **_agent_said(result)}


OUTPUTS: dict[str, Any] = {
    "tool": ToolOutput(City),
    "strict-tool": ToolOutput(City, strict=True),
    "native": NativeOutput(City),
    "prompted": PromptedOutput(City),
}


async def pydantic_ai_structured(clients: Any, arguments: SimpleNamespace) -> Any:
    agent = clients.agent(model_settings=_limits(), output_type=OUTPUTS[arguments.method])
    if arguments.stream:
        async with agent.run_stream(NAME) as result:
            found = [piece async for piece in result.stream_output(debounce_by=None)][-1]
    else:
        found = (await agent.run(NAME)).output
    assert isinstance(found, City)
    return found.model_dump()


async def pydantic_ai_refused(clients: Any, arguments: SimpleNamespace) -> Any:
    settings = _limits(extra_body=arguments.fields)
    error = await error_of(lambda: clients.agent(model_settings=settings).run(PLAIN))
    assert isinstance(error, ModelHTTPError), error
    saw = openai_error(error)
    assert (saw["status"], saw["body"]) == (error.status_code, error.body)
    return saw


# --- Instructor ---------------------------------------------------------------------------------


async def instructor_structured(clients: Any, arguments: SimpleNamespace) -> Any:
    asked = {
        "model": arguments.model,
        "messages": [{"role": "user", "content": NAME}],
        "response_model": City,
        "max_retries": 0,
        **LIMITS,
    }
    client = instructor.from_openai(clients.client, mode=instructor.Mode[arguments.method])
    if arguments.stream:
        pieces = [piece async for piece in client.chat.completions.create_partial(**asked)]
        return {"city": pieces[-1].city}
    found, completion = await client.chat.completions.create_with_completion(**asked)
    assert isinstance(found, City)
    assert completion.usage.completion_tokens > 0
    return {"city": found.city}


async def instructor_refused(clients: Any, arguments: SimpleNamespace) -> Any:
    client = instructor.from_openai(clients.client)
    asked = {"model": arguments.model, "messages": [{"role": "user", "content": NAME}]}
    create = client.chat.completions.create
    asked |= {"response_model": City, "max_retries": 0, **arguments.fields}
    return openai_error(await error_of(lambda: create(**asked)))


SCENARIOS = {
    play.__name__: play
    for play in (
        langchain_text,
        langchain_stream,
        langchain_tools,
        langchain_structured,
        langchain_refused,
        pydantic_ai_text,
        pydantic_ai_stream,
        pydantic_ai_tools,
        pydantic_ai_structured,
        pydantic_ai_refused,
        instructor_structured,
        instructor_refused,
    )
}

if __name__ == "__main__":
    main(prepare, SCENARIOS)
