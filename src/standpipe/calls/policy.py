"""Whether a call keeps its text (spec 5.1), and what its caller is told where it does not."""

from __future__ import annotations

from collections.abc import Callable

from standpipe.config import Content

#: `logging.default` to what it says of a call, given whether its model is a fine-tune.
DEFAULTS: dict[str, Callable[[bool], bool]] = {
    "openpipe": lambda fine_tuned: not fine_tuned,
    "all": lambda _: True,
    "store-only": lambda _: False,
    "none": lambda _: False,
}


def logged(
    default: str, *, header: bool | None, store: bool | None, read_only: bool, fine_tuned: bool
) -> bool:
    """Tell whether the text is kept: header, then `store`, then the configured default."""
    if read_only:
        return False
    if header is not None:
        return header
    if store is not None:
        return store
    return DEFAULTS[default](fine_tuned)


def withheld(content: Content, *, header: bool | None, store: bool | None) -> tuple[str, ...]:
    """Return what was asked for in vain where no text is kept, as the caller is told."""
    asked = {"op-log-request": header, "store": store} if content == "none" else {}
    return tuple(f"{name}=dropped" for name, wanted in asked.items() if wanted)
