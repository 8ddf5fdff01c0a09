"""The dialects by name, and the provider: a place that speaks one. A provider is data."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping

import msgspec
from typing_extensions import override

from standpipe.providers.dialect import Dialect, Fidelity, Quirks
from standpipe.providers.openai import OpenAI
from standpipe.wire.features import FEATURES


def _anthropic() -> Dialect:
    from standpipe.providers.anthropic.dialect import Anthropic

    return Anthropic()


def _gemini() -> Dialect:
    from standpipe.providers.gemini.dialect import Gemini

    return Gemini()


def _bedrock() -> Dialect:
    from standpipe.providers.bedrock.dialect import Bedrock

    return Bedrock()


def _local() -> Dialect:
    from standpipe.providers.local.dialect import Local

    return Local()


#: Adding a dialect is one file beside this one, and a line here with what imports it: together they
#: take as long to import as a fifth of a worker's start, and most workers use one or two.
_MAKERS: Mapping[str, Callable[[], Dialect]] = {
    "openai": OpenAI,
    "anthropic": _anthropic,
    "gemini": _gemini,
    "bedrock": _bedrock,
    "local": _local,
}


@functools.cache
def _made(name: str) -> Dialect:
    return _MAKERS[name]()


class _Dialects(Mapping[str, Dialect]):
    """Each is imported with the first who asks for it."""

    @override
    def __getitem__(self, name: str) -> Dialect:
        return _made(name)

    @override
    def __iter__(self) -> Iterator[str]:
        return iter(_MAKERS)

    @override
    def __len__(self) -> int:
        return len(_MAKERS)


DIALECTS: Mapping[str, Dialect] = _Dialects()


class Provider(msgspec.Struct, frozen=True, dict=True):
    """A place that speaks a dialect, without its key."""

    name: str
    dialect: Dialect
    #: What `GET /models` lists.
    models: tuple[str, ...] = ()
    quirks: Quirks = Quirks()
    #: How often a failed attempt is tried again where no route says otherwise.
    retries: int = 1
    #: What this place does otherwise than its dialect's table says.
    fidelity: Mapping[str, Fidelity] = {}

    @functools.cached_property
    def lacking(self) -> tuple[str, ...]:
        """The features that it does not have by itself, in the order of their table."""
        return tuple(name for name in FEATURES if self.word(name) != "native")

    @functools.cached_property
    def takes_all(self) -> bool:
        """It has every feature by itself, and is sent what we do not know."""
        return self.dialect.passes_unknown and not self.lacking

    def word(self, feature: str) -> Fidelity:
        """Return what becomes of a feature; what no table names is native."""
        return self.fidelity.get(feature) or self.dialect.fidelity.get(feature, "native")
