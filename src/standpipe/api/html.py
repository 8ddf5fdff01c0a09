"""Writing HTML so that text is always escaped: only what `el` and `raw` made is taken as markup."""

from __future__ import annotations

import html
import re


class Html(str):
    """Markup; any other string is text."""

    __slots__ = ()


_CODE = re.compile(r"`([^`]+)`")


def raw(markup: str) -> Html:
    """Take a constant of ours as markup."""
    return Html(markup)


def join(*children: str) -> Html:
    """Return children one after the other, those that are text escaped."""
    return Html("".join(c if isinstance(c, Html) else html.escape(c) for c in children))


def el(name: str, *children: str, **attributes: str) -> Html:
    """Return an element; `class_` is the attribute class."""
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(value)}"'
        for key, value in attributes.items()
    )
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def prose(text: str) -> Html:
    """Return a text in which backticks set off code."""
    pieces = _CODE.split(text)
    return join(*(el("code", p) if i % 2 else p for i, p in enumerate(pieces)))
