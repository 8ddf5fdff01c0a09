"""What a version of a criterion is: the kinds there are, and a body turned into one of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from typing_extensions import override

from standpipe.criteria import prompts
from standpipe.errors import BadRequest
from standpipe.wire.invalid import invalid

DEFAULT_KIND = "pass_fail"
#: Longest pattern, in characters, and largest schema, in bytes of JSON.
LONGEST_PATTERN = 4096
LARGEST_SCHEMA = 64 * 1024
#: Of a judge's request, what is ours to say; all else may be set.
_OURS = frozenset(
    ("model", "messages", "stream", "stream_options", "n", "response_format", "tools", "criteria")
)
_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=prompts.LONGEST)]
Model = Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
Count = Annotated[int, msgspec.Meta(ge=0, le=10_000_000)]
#: A field, and what is wrong with it.
Fault = tuple[str, str]


class Version(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What all kinds have in common."""

    @property
    def kind(self) -> str:
        """The name of the kind, as it is written."""
        return str(self.__struct_config__.tag)

    def fault(self) -> Fault | None:
        """Return what cannot be as it is; None if all can."""
        return None


class Judged(Version, frozen=True, kw_only=True):
    """A criterion that a model judges by."""

    #: Any that may be asked for.
    model: Model
    prompt: Text
    #: More of the judge's request, such as `temperature`.
    parameters: dict[str, Any] = {}

    @override
    def fault(self) -> Fault | None:
        if why := prompts.fault(self.prompt):
            return "prompt", why
        return _taken(self.parameters)


def _taken(parameters: Mapping[str, Any]) -> Fault | None:
    if taken := sorted(_OURS & parameters.keys()):
        return "parameters", f"{taken[0]!r} of a judge's request cannot be set"
    return None


class PassFail(Judged, frozen=True, kw_only=True, tag_field="kind", tag="pass_fail"):
    """The judge says PASS or FAIL."""


class Score(Judged, frozen=True, kw_only=True, tag_field="kind", tag="score"):
    """The judge gives a number of a range; its score is where in the range that is."""

    low: float = 0.0
    high: float = 1.0

    @override
    def fault(self) -> Fault | None:
        if not self.low < self.high:
            return "high", f"{self.high:g} is not above low, {self.low:g}"
        return super().fault()


class Reward(Version, frozen=True, kw_only=True, tag_field="kind", tag="reward"):
    """A reward model says a number; its score is where in a range that is."""

    #: Any that may be asked for.
    model: Model
    #: Both or none: without a range a number is put on the logistic curve, where 0 is a half.
    low: float | None = None
    high: float | None = None
    #: More of its request.
    parameters: dict[str, Any] = {}

    @override
    def fault(self) -> Fault | None:
        if (self.low is None) != (self.high is None):
            return "high", "low and high go together"
        if self.low is not None and self.high is not None and not self.low < self.high:
            return "high", f"{self.high:g} is not above low, {self.low:g}"
        return _taken(self.parameters)


class JsonSchema(Version, frozen=True, kw_only=True, tag_field="kind", tag="json_schema"):
    """The answer is JSON that is valid against a schema."""

    schema: dict[str, Any]

    @override
    def fault(self) -> Fault | None:
        size = len(msgspec.json.encode(self.schema))
        if size > LARGEST_SCHEMA:
            return "schema", f"{size} bytes are over the {LARGEST_SCHEMA} that can be checked"
        return None


class Regex(Version, frozen=True, kw_only=True, tag_field="kind", tag="regex"):
    """A pattern is found in the answer, in Python's syntax."""

    pattern: Annotated[str, msgspec.Meta(min_length=1, max_length=LONGEST_PATTERN)]


class Equals(Version, frozen=True, kw_only=True, tag_field="kind", tag="equals"):
    """The answer is this text, but for white space around it."""

    value: Text
    ignore_case: bool = False


class Contains(Version, frozen=True, kw_only=True, tag_field="kind", tag="contains"):
    """The answer has this text in it."""

    value: Text
    ignore_case: bool = False


class Length(Version, frozen=True, kw_only=True, tag_field="kind", tag="length"):
    """The answer is as long as it should be."""

    min: Count = 0
    #: None for any length.
    max: Count | None = None
    unit: Literal["characters", "words"] = "characters"

    @override
    def fault(self) -> Fault | None:
        if self.max is not None and self.max < self.min:
            return "max", f"{self.max} is below min, {self.min}"
        if self.max is None and self.min == 0:
            return "max", "one of min and max is needed"
        return None


class Similarity(Version, frozen=True, kw_only=True, tag_field="kind", tag="similarity"):
    """How much of its letters the answer has in common with a text."""

    value: Text


Definition = (
    PassFail | Score | Reward | JsonSchema | Regex | Equals | Contains | Length | Similarity
)

KINDS: tuple[type[Definition], ...] = (
    PassFail,
    Score,
    Reward,
    JsonSchema,
    Regex,
    Equals,
    Contains,
    Length,
    Similarity,
)


_decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Definition)


def parse(body: Mapping[str, Any]) -> Definition:
    """Return the version that a body describes; BadRequest names what cannot be.

    Whether a pattern and a schema can be used is for `checks.fault` to say.
    """
    try:
        found: Definition = msgspec.convert({"kind": DEFAULT_KIND, **body}, Definition)
    except msgspec.ValidationError as error:
        raise invalid(error) from error
    if fault := found.fault():
        raise refusal(*fault)
    return found


def kept(definition: Definition) -> str:
    """Return the JSON that a version is kept as."""
    return msgspec.json.encode(definition, order="deterministic").decode()


def read(text: str) -> Definition:
    """Return the version of what `kept` has made."""
    found: Definition = _decoder.decode(text)
    return found


def refusal(field: str, why: str) -> BadRequest:
    """Return the 400 that names a field of a version."""
    return BadRequest(f"{field}: {why}", param=field)


def check_slug(slug: str) -> None:
    """Raise BadRequest for what cannot be the name of a criterion."""
    if not _SLUG.fullmatch(slug):
        raise refusal(
            "id",
            f"{slug[:80]!r}: must be 1 to 64 letters, digits, '.', '_' or '-', the first of them "
            "a letter or a digit",
        )
