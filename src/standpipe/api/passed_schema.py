"""What the routes beside chat completions take and give, as JSON Schema.

Their fields are OpenAI's and Anthropic's to name; here are those that every request needs, and
those that mean something to us.
"""

from __future__ import annotations

from standpipe.api.answer_schema import RESULTS
from standpipe.api.schema import (
    ANYTHING,
    Schema,
    array,
    either,
    filled,
    flag,
    mapping,
    nullable,
    of,
    one_of,
    record,
    text,
    whole,
)

_COUNT = of("integer", minimum=0)
_MODEL = filled("Which model; its name says which provider is asked, and the answer repeats it.")
_STREAM = nullable(flag("Send the answer as events while it is made."))
_STORE = nullable(flag("Keep the text of this call, or do not."))
_LABELS = nullable(mapping(text(), "Labels of this call.", maxProperties=16))
_OURS = {"store": _STORE, "metadata": _LABELS}
_TEXTS = either(filled(), array(ANYTHING))

PASSED: dict[str, Schema] = {
    "EmbeddingsRequest": record({"model": _MODEL, "input": _TEXTS}, _OURS),
    "Embeddings": record(
        {"object": one_of("list"), "data": array(mapping()), "model": text()},
        {"usage": mapping()},
    ),
    "CompletionsRequest": record({"model": _MODEL}, {"prompt": _TEXTS, "stream": _STREAM, **_OURS}),
    "TextCompletion": record(
        {"id": text(), "choices": array(mapping()), "model": text()}, {"usage": mapping()}
    ),
    "ResponsesRequest": record(
        {"model": _MODEL},
        {
            "input": _TEXTS,
            "stream": _STREAM,
            "store": nullable(
                flag("Goes to the provider too, whose `previous_response_id` needs it; and here.")
            ),
            "metadata": _LABELS,
            "background": nullable(flag("Refused: it could not be fetched here.")),
        },
    ),
    "Response": record(
        {"id": text(), "output": array(mapping()), "model": text()},
        {"status": text(), "usage": nullable(mapping())},
    ),
    "ResponseEvent": record({"type": filled("Such as `response.output_text.delta`.")}),
    "AnthropicRequest": record(
        {
            "model": _MODEL,
            "messages": array(
                record({"role": one_of("user", "assistant", "system"), "content": ANYTHING})
            ),
        },
        {
            "max_tokens": whole(1, 2**31 - 1, "Longest answer, in tokens."),
            "system": either(text(), array(mapping())),
            "stream": flag("Send the answer as events while it is made."),
            "tools": array(mapping()),
            "tool_choice": mapping(),
        },
    ),
    "AnthropicMessage": record(
        {
            "id": text(),
            "type": one_of("message"),
            "role": one_of("assistant"),
            "model": text("As it was asked for."),
            "content": array(mapping()),
            "stop_reason": nullable(text()),
            "usage": record({"input_tokens": _COUNT, "output_tokens": _COUNT}),
        },
        {"criteria_results": RESULTS},
    ),
    "AnthropicEvent": record({"type": filled("Such as `content_block_delta`.")}),
}
