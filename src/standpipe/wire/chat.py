"""The body of a chat completions request: decoded once, checked whole, sent on as it came.

What we don't know is kept, byte for byte, and what is sent on is built from what was checked.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from standpipe.errors import BadRequest, Unparsable
from standpipe.wire import usual
from standpipe.wire.checks import (
    Check,
    Issues,
    Path,
    array,
    by_kind,
    by_type,
    entries,
    fields,
    filled,
    flag,
    mapping,
    matching,
    number,
    one_of,
    shown,
    text,
    whole,
)
from standpipe.wire.messages import messages
from standpipe.wire.usual import Usual

if TYPE_CHECKING:
    from standpipe.wire.around import Around

Json = dict[str, Any]

_REQUIRED = ("model", "messages")
#: Fields that need another one.
_TOGETHER = frozenset(("stream_options", "top_logprobs", "tool_choice", "function_call"))
_TOO_DEEP = "Input validation failed: the body is nested too deep"
_MOST_TOOLS = 10_000
_LARGEST_LIMIT = 2**31 - 1
_SEEDS = 2**63

_function_fields = fields(
    {"name": matching(r"[A-Za-z0-9_.:-]{1,128}", "1 to 128 letters, digits, _, ., : or -")},
    {"description": text, "parameters": mapping, "strict": flag},
)
_tool = by_type({"function": fields({"function": _function_fields}, {})})
_schema = fields(
    {"name": matching(r"[A-Za-z0-9_-]{1,64}", "1 to 64 letters, digits, _ or -")},
    {"description": text, "schema": mapping, "strict": flag},
)
#: The last four are vLLM's, SGLang's and llama.cpp's; a typing error is none of these.
_FORMATS = ("text", "json_object", "json_schema", "structural_tag", "regex", "grammar", "ebnf")
_named = fields({"name": filled}, {})
_metadata_value = matching(r"[^\x00]{0,512}", "a string of at most 512 characters without NUL")


def _response_format(value: Any, path: Path, issues: Issues) -> None:
    _format_type(value, path, issues)
    _format_body(value, path, issues)


_format_type = fields({"type": one_of(*_FORMATS)}, {})
_format_body = by_type({"json_schema": fields({"json_schema": _schema}, {})}, default="text")

#: The check of each field we know. Null passes in all but `model` and `messages`: it means absent.
FIELDS: dict[str, Check] = {
    "model": matching(
        r"[^\x00-\x1f\x7f-\x9f]{1,256}", "a string of 1 to 256 characters, none a control character"
    ),
    "messages": messages,
    "stream": flag,
    "stream_options": fields({}, {"include_usage": flag}),
    "store": flag,
    "metadata": entries(_metadata_value, most=16, name_chars=64),
    "n": whole(1, 128),
    "temperature": number(0, 2),
    "top_p": number(0, 1),
    "presence_penalty": number(-2, 2),
    "frequency_penalty": number(-2, 2),
    "max_tokens": whole(1, _LARGEST_LIMIT),
    "max_completion_tokens": whole(1, _LARGEST_LIMIT),
    "logprobs": flag,
    "top_logprobs": whole(0, 20),
    "logit_bias": entries(number(-100, 100), most=300_000, name_chars=64),
    "stop": by_kind({str: text, list: array(text, most=64)}, "a string or an array of strings"),
    "seed": whole(-_SEEDS, _SEEDS),
    "user": text,
    "response_format": _response_format,
    "tools": array(_tool, most=_MOST_TOOLS),
    "tool_choice": by_kind(
        {
            str: one_of("none", "auto", "required"),
            dict: by_type({"function": fields({"function": _named}, {})}, default="function"),
        },
        "a string or an object",
    ),
    "parallel_tool_calls": flag,
    "functions": array(_function_fields, most=_MOST_TOOLS),
    "function_call": by_kind({str: one_of("none", "auto"), dict: _named}, "a string or an object"),
    "audio": fields(
        {
            "format": one_of("wav", "mp3", "flac", "opus", "pcm16", "aac"),
            # OpenAI adds voices, and takes an object for one's own.
            "voice": by_kind({str: filled, dict: mapping}, "a string or an object"),
        },
        {},
    ),
    "modalities": array(filled, most=16),
    "prediction": mapping,
    "web_search_options": mapping,
    "reasoning_effort": filled,
    "service_tier": filled,
    "verbosity": filled,
    "criteria": array(filled, most=16),
}


class ChatRequest(msgspec.Struct, frozen=True, dict=True):
    """A request that passed every check."""

    #: The fields; where there is an `around`, with no messages.
    given: dict[str, msgspec.Raw]
    model: str
    stream: bool = False
    #: The caller asked for usage at the end of the stream.
    include_usage: bool = False
    #: None if the caller did not say.
    store: bool | None = None
    metadata: dict[str, str] = {}
    n: int = 1
    #: `values`, where the checks have decoded them.
    decoded: Json | None = None
    #: What was known of it but for its messages; None for one that was read whole.
    around: Around | None = None
    #: Its messages, where there is an `around`.
    array: bytes = b""

    @functools.cached_property
    def fields(self) -> dict[str, msgspec.Raw]:
        """The whole body, in its order; of a field given twice, the last."""
        if self.around is None:
            return self.given
        return {**self.given, "messages": msgspec.Raw(self.array)}

    @functools.cached_property
    def values(self) -> Json:
        """The known fields that are there and not null, decoded; few need more than are here."""
        if self.decoded is not None:
            return self.decoded
        known = {name: raw for name, raw in self.fields.items() if name in FIELDS}
        values = {name: msgspec.json.decode(raw) for name, raw in known.items()}
        return {name: value for name, value in values.items() if value is not None}

    @property
    def messages(self) -> list[Json]:
        """The messages, decoded."""
        found: list[Json] = self.values["messages"]
        return found


_decoder = msgspec.json.Decoder(dict[str, msgspec.Raw])
#: Known fields that are not among the usual ones.
_UNUSUAL = frozenset(FIELDS) - usual.NAMES


def parse(body: bytes) -> ChatRequest:
    """Return the request of a body.

    Unparsable if it is not JSON in UTF-8; BadRequest, with all its issues, if it is not an
    object, is nested too deep, or if any field we know is wrong.
    """
    raw = decode(body)
    told = usual.read(body) if _UNUSUAL.isdisjoint(raw) else None
    return _thoroughly(raw, body) if told is None else _as_usual(raw, told)


def _as_usual(raw: dict[str, msgspec.Raw], told: Usual) -> ChatRequest:
    options = told.stream_options
    return ChatRequest(
        raw,
        told.model,
        told.stream is True,
        options is not None and options.include_usage is True,
        told.store,
        told.metadata or {},
        told.n or 1,
    )


def _thoroughly(raw: dict[str, msgspec.Raw], body: bytes) -> ChatRequest:
    """Check every field; raise BadRequest with all that is wrong."""
    issues = Issues()
    for name in _REQUIRED:
        if name not in raw:
            issues.add((name,), "is required")
    values = _check(raw, body, issues)
    if not _TOGETHER.isdisjoint(values):
        _check_together(values, issues)
    if issues.found:
        raise issues.error()
    return _request(raw, values)


def rebuild(
    request: ChatRequest, *, changes: Mapping[str, object], without: Collection[str]
) -> bytes:
    """Return the body for the upstream.

    Every field as it came, but for those in `without`; `changes` replace or add (Raw goes as
    it is), also where `without` names the same field.
    """
    body: dict[str, object] = dict(request.fields)
    for name in without:
        body.pop(name, None)
    body.update(changes)
    return msgspec.json.encode(body)


def decoded(body: bytes) -> Json:
    """Return a body decoded to its depth; Unparsable or BadRequest where it is no JSON object."""
    fields: Json = {}
    for name, raw in decode(body).items():
        try:
            fields[name] = msgspec.json.decode(raw)
        except RecursionError:
            raise BadRequest(_TOO_DEEP) from None
        except msgspec.DecodeError as error:  # a number that no float or int can hold
            raise Unparsable(f"Failed to parse request body: {name}: {error}") from None
    return fields


def decode(body: bytes) -> dict[str, msgspec.Raw]:
    """Return the fields of a body; Unparsable or BadRequest where it is no JSON object."""
    try:
        # What stays Raw is not checked by the decoder.
        if not body.isascii():
            body.decode()
        return _decoder.decode(body)
    except msgspec.ValidationError as error:
        raise BadRequest(f"Input validation failed: the body: {error}") from None
    except msgspec.DecodeError as error:
        raise Unparsable(f"Failed to parse request body: {error}{_hint(body)}") from None
    except UnicodeDecodeError as error:
        message = f"Failed to parse request body: not UTF-8 at byte {error.start}"
        raise Unparsable(message) from None
    except RecursionError:
        raise BadRequest(_TOO_DEEP) from None


def _hint(body: bytes) -> str:
    # The decoder takes half of a surrogate pair before a quote for the end of its input.
    return "; a \\u escape may be half of a surrogate pair" if b"\\ud" in body.lower() else ""


def _check(raw: dict[str, msgspec.Raw], body: bytes, issues: Issues) -> Json:
    """Return the known fields, decoded; null ones are left out."""
    values: Json = {}
    for name, value in _decoded(raw, body, issues):
        check = FIELDS.get(name)
        if check is not None and (value is not None or name in _REQUIRED):
            check(value, (name,), issues)
            values[name] = value
    return values


def _decoded(raw: dict[str, msgspec.Raw], body: bytes, issues: Issues) -> Iterable[tuple[str, Any]]:
    """Return the fields by name, decoded: all at once, or if that fails one after the other."""
    try:
        whole: Json = msgspec.json.decode(body)
    except (RecursionError, msgspec.DecodeError):
        return _one_by_one(raw, issues)
    return whole.items()


def _one_by_one(raw: dict[str, msgspec.Raw], issues: Issues) -> Iterator[tuple[str, Any]]:
    for name, field in raw.items():
        if name not in FIELDS:
            continue
        try:
            yield name, msgspec.json.decode(field)
        except RecursionError:
            raise BadRequest(_TOO_DEEP) from None
        except msgspec.DecodeError as error:  # a number that no float or int can hold
            issues.add(*_undecoded(name, error))


def _undecoded(name: str, error: msgspec.DecodeError) -> tuple[Path, str]:
    """Return the place and the text of a decoder's error, which ends in a path like `$[0][...]`."""
    fault, _, place = str(error).partition(" - at `$")
    known = place.partition("[...]")[0]
    return (name, *map(int, re.findall(r"\[(\d+)\]", known))), fault


def _check_together(values: Json, issues: Issues) -> None:
    """Check the fields that need one another."""
    if "stream_options" in values and values.get("stream") is not True:
        issues.add(("stream_options",), "is only allowed when stream is true")
    if "top_logprobs" in values and values.get("logprobs") is not True:
        issues.add(("top_logprobs",), "is only allowed when logprobs is true")
    _check_choice(values, "tool_choice", "tools", issues)
    _check_choice(values, "function_call", "functions", issues)


def _check_choice(values: Json, choice_name: str, list_name: str, issues: Issues) -> None:
    choice, offered = values.get(choice_name), values.get(list_name)
    if choice is None or choice == "none":
        return
    if not offered:
        issues.add((choice_name,), f"is only allowed when {list_name} are given")
    elif isinstance(choice, dict) and isinstance(offered, list):
        path = _chosen_path(choice_name, choice)
        chosen = _named_function(choice)
        if isinstance(chosen, str) and chosen not in map(_named_function, offered):
            issues.add(path, f"{shown(chosen)} is not among {list_name}")


def _chosen_path(choice_name: str, choice: Json) -> Path:
    return (choice_name, "name") if "name" in choice else (choice_name, "function", "name")


def _named_function(entry: object) -> object:
    """Return the name in a function, or in a tool or choice of type `function`; else None."""
    if not isinstance(entry, dict) or entry.get("type", "function") != "function":
        return None
    function = entry.get("function", entry)
    return function.get("name") if isinstance(function, dict) else None


def _request(raw: dict[str, msgspec.Raw], values: Json) -> ChatRequest:
    options = values.get("stream_options") or {}
    return ChatRequest(
        given=raw,
        model=values["model"],
        stream=values.get("stream", False),
        include_usage=bool(options.get("include_usage")),
        store=values.get("store"),
        metadata=values.get("metadata", {}),
        n=int(values.get("n", 1)),
        decoded=values,
    )
