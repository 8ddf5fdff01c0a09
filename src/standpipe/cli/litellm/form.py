"""A LiteLLM configuration as one of ours; what cannot be carried is named.

Pure, and written from LiteLLM's documentation alone
(https://docs.litellm.ai/docs/proxy/config_settings, seen 2026-11-23).
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from standpipe.cli.litellm.part import Note, Part
from standpipe.cli.litellm.places import place_of
from standpipe.cli.litellm.providers import Providers
from standpipe.cli.litellm.reasons import (
    GENERAL,
    LITELLM,
    MODEL_INFO,
    PARAMS,
    ROUTER,
    TOP,
)

Json = dict[str, Any]

#: Ways to choose among several deployments, and how close ours come.
_STRATEGIES = {
    "simple-shuffle": ("weighted", ""),
    "latency-based-routing": ("fastest", ""),
    "least-busy": ("fastest", "`fastest` is nearest: latency and what is in flight"),
    "usage-based-routing": ("weighted", "`weighted` stands in its place"),
    "usage-based-routing-v2": ("weighted", "`weighted` stands in its place"),
    "cost-based-routing": ("weighted", "`weighted` stands in its place"),
}
#: What a deployment may say of the request itself.
_PARAMETERS = (
    *("temperature", "top_p", "max_tokens", "max_completion_tokens", "seed", "stop", "n"),
    *("presence_penalty", "frequency_penalty", "logit_bias", "response_format", "user"),
    *("reasoning_effort", "tools", "tool_choice", "parallel_tool_calls", "logprobs"),
    *("top_logprobs", "service_tier", "thinking"),
)
#: What may be a deployment's share of the calls; the first that is there counts.
_SHARES = ("weight", "rpm", "tpm")
_MODES = frozenset({"chat", "completion", "responses", "embedding"})
#: Dollars for a million tokens that are none.
_MOST = 1_000_000
#: Prices of a token there, and of a million here.
_PRICES = {
    "input_cost_per_token": "input",
    "output_cost_per_token": "output",
    "cache_read_input_token_cost": "cached_input",
    "cache_creation_input_token_cost": "cache_write",
    "input_cost_per_audio_token": "input_audio",
    "output_cost_per_audio_token": "output_audio",
}


def translated(config: Any) -> tuple[Json, list[Note]]:
    """Return the tree of our configuration, and what could not be carried."""
    translation = _Translation(config)
    return translation.tree(), translation.notes


class _Translation:
    """What was read so far."""

    def __init__(self, config: Any) -> None:
        self.notes: list[Note] = []
        self._top = Part(config, "", self.notes)
        self._router = self._top.part("router_settings")
        self._litellm = self._top.part("litellm_settings")
        self._variables = self._top.take("environment_variables", dict) or {}
        self._credentials = self._known_credentials()
        timeout = self._either("timeout", "request_timeout")
        self._providers = Providers(self._variables, timeout)
        self._routes: dict[str, Json] = {}
        #: The shares of each route's targets, in their order.
        self._held: dict[str, list[Json]] = {}
        #: Targets by LiteLLM's id of their deployment.
        self._ids: dict[str, Json] = {}
        self._prices: dict[str, Json] = {}

    def tree(self) -> Json:
        """Read it all."""
        for number, each in enumerate(self._top.take("model_list", list) or []):
            self._deployment(Part(each, f"model_list[{number}]", self.notes))
        self._settle_weights()
        self._set_aliases()
        self._set_fallbacks()
        self._set_all_routes()
        for name in self._variables:
            self.notes.append(
                Note(f"environment_variables.{name}", "set it where Standpipe starts")
            )
        self._router.close(ROUTER)
        self._litellm.close(LITELLM)
        self._top.part("general_settings").close(GENERAL)
        self._top.close(TOP)
        tree = {"providers": self._providers.rows(), "routes": self._routes, "prices": self._prices}
        return {name: table for name, table in tree.items() if table}

    def _known_credentials(self) -> dict[str, Json]:
        listed = self._top.take("credential_list", list) or []
        return {
            str(each.get("credential_name")): each.get("credential_values") or {}
            for each in listed
            if isinstance(each, dict)
        }

    def _deployment(self, row: Part) -> None:
        name = row.take("model_name", str)
        params = row.part("litellm_params")
        info = row.part("model_info")
        params.add(self._credentials.get(params.take("litellm_credential_name", str) or "", {}))
        model = params.take("model", str)
        if not name or not model:
            row.note("model_name", "a deployment without a name and a model leads nowhere")
            return
        base = params.take("api_base", str) or params.take("base_url", str)
        params.add({"api_base": base})
        found = place_of(model, params.take("custom_llm_provider", str), base)
        mode = info.take("mode", str) or "chat"
        if found is None or mode not in _MODES:
            row.note(*_left_out(model, mode))
            return
        place, there = found
        provider = self._providers.of(place, params)
        if "*" in name or "*" in there:
            row.note(
                "model_name", f"a pattern is no route: say {provider}/MODEL for any of its models"
            )
            return
        target = {"provider": provider, "model": there, **self._target(params)}
        self._add(name, target, self._shares(params))
        if id_ := info.take("id", str):
            self._ids[id_] = target
        self._price(f"{provider}/{there}", params, info)
        params.close(PARAMS)
        info.close(MODEL_INFO)
        row.close({})

    def _target(self, params: Part) -> Json:
        target: Json = {}
        if most := params.take("max_parallel_requests", int):
            target["max_in_flight"] = max(most, 0)
        parameters = params.take("extra_body", dict) or {}
        for name in _PARAMETERS:
            value = params.take(name, object)
            if value is not None:
                parameters[name] = value
                params.note(name, "beats what a caller says here")
        if parameters:
            target["parameters"] = parameters
        return target

    def _shares(self, params: Part) -> Json:
        """Take what may be a deployment's share of the calls."""
        found: Json = {}
        for key in _SHARES:
            share = params.take(key, int, float)
            if share and share > 0:
                found[key] = share
                if key != "weight":
                    params.note(key, "is the target's share of the calls here, and no limit of it")
        return found

    def _add(self, name: str, target: Json, shares: Json) -> None:
        route = self._routes.setdefault(name, {"targets": []})
        held = self._held.setdefault(name, [])
        if target in route["targets"]:  # with another key, say
            before = held[route["targets"].index(target)]
            before.update({key: before.get(key, 0) + share for key, share in shares.items()})
            return
        route["targets"].append(target)
        held.append(shares)

    def _price(self, name: str, *parts: Part) -> None:
        found: Json = {}
        for part in parts:
            for theirs, ours in _PRICES.items():
                dollars = part.take(theirs, int, float, str)
                price = None if dollars is None else _a_million(dollars)
                if price is not None:
                    found[ours] = price
                elif dollars is not None:
                    part.note(theirs, f"is no price of a token: {dollars!r}")
        if {"input", "output"} <= found.keys():
            self._prices[name] = found
        elif found:
            parts[-1].note("input_cost_per_token", "a price needs that of input and that of output")

    def _settle_weights(self) -> None:
        """Give targets their weights, by the first kind of share that one of them has."""
        for name, held in self._held.items():
            kind = next((each for each in _SHARES if any(each in own for own in held)), None)
            if kind is None or len(held) == 1:
                continue
            least = min(own[kind] for own in held if kind in own)
            for target, own in zip(self._routes[name]["targets"], held, strict=True):
                target["weight"] = min(max(float(own.get(kind, least)), 1e-6), 1e6)

    def _set_aliases(self) -> None:
        aliases = self._router.take("model_group_alias", dict) or {}
        for alias, group in aliases.items():
            name = group.get("model") if isinstance(group, dict) else group
            if name in self._routes:
                self._routes[str(alias)] = self._routes[name]
            else:
                self._router.note(f"model_group_alias.{alias}", f"leads to no route: {name!r}")

    def _set_fallbacks(self) -> None:
        for part in (self._litellm, self._router):
            for place, name, models in _chains(part, "fallbacks"):
                self._set_chain(part, place, name, models)
            default = part.take("default_fallbacks", list)
            if default:
                self._set_chain(part, "default_fallbacks", "*", default)

    def _set_chain(self, part: Part, place: str, name: str, models: Any) -> None:
        if not isinstance(models, list) or not (name == "*" or name in self._routes):
            part.note(place, f"is no chain from a route: {name!r}")
            return
        names = [each for each in self._routes if each not in models] if name == "*" else [name]
        for each in models:
            if not isinstance(each, str) or not (each in self._routes or each in self._ids):
                part.note(place, f"no route or id: {each!r}")
        for each in names:
            route = self._routes[each]
            if name != "*" or "fallback" not in route:
                route["fallback"] = [*self._chain(models)]

    def _chain(self, models: list[Any]) -> Iterator[Json]:
        for name in models:
            known = isinstance(name, str)
            targets = self._routes[name]["targets"] if known and name in self._routes else []
            targets = targets or ([self._ids[name]] if known and name in self._ids else [])
            for target in targets:
                yield {key: value for key, value in target.items() if key != "weight"}

    def _set_all_routes(self) -> None:
        said: Json = {}
        strategy = self._router.take("routing_strategy", str) or "simple-shuffle"
        choice, why = _STRATEGIES.get(strategy, ("weighted", "`weighted` stands in its place"))
        if why:
            self._router.note("routing_strategy", f"{strategy}: {why}")
        if choice != "weighted":
            said["choice"] = choice
        if (retries := self._either("num_retries")) is not None:
            said["retries"] = min(max(int(retries), 0), 10)
        if (fails := self._either("allowed_fails")) is not None:
            said["failures"] = min(max(int(fails) + 1, 1), 1000)
        if (rest := self._either("cooldown_time")) is not None:
            said["rest"] = min(max(float(rest), 0.1), 86400.0)
        for name, route in self._routes.items():
            self._routes[name] = {**said, **route}

    def _either(self, *keys: str) -> float | None:
        """Take a number that both sections may have; the router's wins."""
        found: float | None = None
        for part in (self._litellm, self._router):
            for key in keys:
                value = part.take(key, int, float)
                found = found if value is None else value
        return found


def _left_out(model: str, mode: str) -> tuple[str, str]:
    if mode not in _MODES:
        return "model_info.mode", f"{mode} is not offered here: the deployment is left out"
    return "litellm_params.model", (
        f"{model!r}: its place is none that is known, and it has no api_base that speaks OpenAI's "
        "form: the deployment is left out"
    )


def _chains(part: Part, key: str) -> Iterator[tuple[str, str, Any]]:
    for number, each in enumerate(part.take(key, list) or []):
        if not isinstance(each, dict):
            part.note(f"{key}[{number}]", "is no table of a name and its chain")
            continue
        for name, models in each.items():
            yield f"{key}[{number}].{name}", str(name), models


def _a_million(dollars: float | str) -> str | None:
    """Return the price of a million tokens, to the sixth place; None for what is none."""
    try:
        price = Decimal(str(dollars)) * 1_000_000
    except InvalidOperation:
        return None
    if not 0 <= price < _MOST:
        return None
    return f"{price.quantize(Decimal('0.000001')):f}".rstrip("0").rstrip(".")
