"""How families of models on Bedrock are asked to reason; Converse has no field of its own for all.

Sources, seen 2026-11: the model pages under
https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters.html, and for Claude those
that `providers.anthropic.models` names.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from standpipe.providers.anthropic import models as claude
from standpipe.providers.anthropic.messages import bad
from standpipe.wire.checks import Path, shown

Json = dict[str, Any]

_FIELD: Path = ("reasoning_effort",)
#: What OpenAI's open models and Nova take.
_LEVELS = ("low", "medium", "high")


def reasoning(model: str, effort: str, limit: int | None, limit_field: str) -> Json:
    """Return the fields of a Converse request that ask a model for a `reasoning_effort`.

    `limit` is the caller's limit of tokens, None for none, and `limit_field` what the caller calls
    it. Raises BadRequest for a model that cannot be asked, and for an effort that it does not know.
    """
    for part, ask in _FAMILIES.items():
        if part in model:
            return ask(model, effort, limit, limit_field)
    raise bad(_FIELD, f"the model {shown(model)} cannot be asked for it on this provider")


def _claude(model: str, effort: str, limit: int | None, limit_field: str) -> Json:
    _known(effort, claude.EFFORTS)
    if claude.takes_effort(model):
        return _converse(claude.by_effort(model, effort))
    if effort != "none" and limit is not None and limit <= claude.LEAST_BUDGET:
        raise bad((limit_field,), f"must be over {claude.LEAST_BUDGET} for this model to think")
    return _converse(claude.by_budget(effort, limit))


def _converse(fields: Json) -> Json:
    """Return Anthropic's fields where Converse has them."""
    told: Json = {}
    if "thinking" in fields:
        told["additionalModelRequestFields"] = {"thinking": fields["thinking"]}
    if "output_config" in fields:
        told["outputConfig"] = fields["output_config"]
    if "max_tokens" in fields:
        told["inferenceConfig"] = {"maxTokens": fields["max_tokens"]}
    return told


def _gpt(model: str, effort: str, limit: int | None, limit_field: str) -> Json:
    del model, limit, limit_field
    _known(effort, _LEVELS)
    return {"additionalModelRequestFields": {"reasoning_effort": effort}}


def _nova(model: str, effort: str, limit: int | None, limit_field: str) -> Json:
    del model, limit, limit_field
    _known(effort, ("none", *_LEVELS))
    if effort == "none":
        return {"additionalModelRequestFields": {"reasoningConfig": {"type": "disabled"}}}
    config = {"type": "enabled", "maxReasoningEffort": effort}
    return {"additionalModelRequestFields": {"reasoningConfig": config}}


def _known(effort: str, efforts: tuple[str, ...]) -> None:
    if effort not in efforts:
        allowed = ", ".join(map(shown, efforts))
        raise bad(_FIELD, f"this model does not know {shown(effort)}; allowed: {allowed}")


#: What is in the id of a family's models, region and version aside.
_FAMILIES: dict[str, Callable[[str, str, int | None, str], Json]] = {
    "anthropic.claude": _claude,
    "openai.gpt-oss": _gpt,
    "amazon.nova-2": _nova,
}
