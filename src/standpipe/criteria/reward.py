"""What a reward model is asked, and what its answer says; pure.

Served in OpenAI's form, such a model is given the conversation with the answer as its last message
and says a number, alone or after a word: `-3.25`, `reward:-3.25`.
"""

from __future__ import annotations

import math
import re
from typing import Any

from standpipe.criteria.case import Case
from standpipe.criteria.definition import Reward
from standpipe.criteria.judge import BAD_GATEWAY, first, limited, tokens_of
from standpipe.criteria.verdict import Failure, Success, Verdict

Json = dict[str, Any]

#: Longest answer of a reward model, in tokens; a version's parameters beat it.
MOST_TOKENS = 32
_NUMBER = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3})?")
#: What of an answer a message of a request may have.
_SAID = ("content", "refusal", "tool_calls", "function_call")


def request(definition: Reward, case: Case) -> Json:
    """Return the body of the call to a reward model."""
    said = {name: case.output[name] for name in _SAID if case.output.get(name)}
    output = {"role": "assistant", "content": "", **said}
    tools = {"tools": case.tools} if case.tools else {}
    return {
        "model": definition.model,
        "messages": [*case.messages, output],
        **tools,
        **limited(definition.parameters, MOST_TOKENS),
    }


def verdict(definition: Reward, completion: Json) -> Verdict:
    """Return what a reward model's completion says; a Failure where that is no number."""
    tokens = tokens_of(completion)
    content = first(completion)[1].get("content")
    text = content if isinstance(content, str) else ""
    found = _NUMBER.search(text)
    if found is None:
        message = f"the reward model said {text[:80]!r} where a number was expected"
        return Failure(BAD_GATEWAY, message, tokens)
    return Success(round(_score(definition, float(found[0])), 6), tokens=tokens)


def _score(definition: Reward, said: float) -> float:
    """Return where in its range a reward is; of one without, what the logistic curve makes."""
    low, high = definition.low, definition.high
    if low is None or high is None:
        return (1 + math.tanh(said / 2)) / 2
    return min(1.0, max(0.0, (said - low) / (high - low)))
