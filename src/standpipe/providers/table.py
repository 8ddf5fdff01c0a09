"""The dialects by name, and the provider: a place that speaks one. A provider is data."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import msgspec

from standpipe.providers.anthropic.dialect import Anthropic
from standpipe.providers.bedrock.dialect import Bedrock
from standpipe.providers.dialect import Dialect, Fidelity, Quirks
from standpipe.providers.gemini.dialect import Gemini
from standpipe.providers.local.dialect import Local
from standpipe.providers.openai import OpenAI
from standpipe.wire.features import FEATURES

#: Adding a dialect is one file beside this one and one line here.
DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (OpenAI(), Anthropic(), Gemini(), Bedrock(), Local())
}


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

    def word(self, feature: str) -> Fidelity:
        """Return what becomes of a feature; what no table names is native."""
        return self.fidelity.get(feature) or self.dialect.fidelity.get(feature, "native")
