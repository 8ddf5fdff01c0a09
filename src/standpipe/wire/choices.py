"""The choices of a completion, as far as those who read its messages need them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

Json = dict[str, Any]


class _Choice(msgspec.Struct):
    message: Json


_Choices = Annotated[list[_Choice], msgspec.Meta(min_length=1)]


def messages(choices: object) -> list[Json]:
    """Return what the choices of a completion say; msgspec.ValidationError if they are none."""
    return [each.message for each in msgspec.convert(choices, _Choices)]
