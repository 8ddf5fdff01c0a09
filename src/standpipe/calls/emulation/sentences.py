"""Text that comes in pieces, cut into what can be spoken at a time."""

from __future__ import annotations

import re

#: Characters after which a text without any end of a sentence is cut; longer ones take the speech
#: engine a time that grows with the square.
LONGEST = 300

_ENDS = re.compile(r"""[.!?\u2026]["'\u201d\u2019)\]*_]*\s|\n""")
_TITLE = re.compile(r"(?:^|[\s(])(?:Mrs?|Ms|Dr|Prof|St|vs|e\.g|i\.e|[A-Z])\.\s$")


class Sentences:
    """Gives the same sentences however the text is cut into pieces."""

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """Return the sentences that are whole now, without those that have no text."""
        self._rest += text
        found: list[str] = []
        while (end := _end(self._rest)) is not None:
            found.append(self._rest[:end])
            self._rest = self._rest[end:]
        return [sentence for sentence in found if sentence.strip()]

    def close(self) -> list[str]:
        """Return what is left, as a sentence."""
        rest, self._rest = self._rest, ""
        return [rest] if rest.strip() else []


def split(text: str) -> list[str]:
    """Return all sentences of a text."""
    sentences = Sentences()
    return [*sentences.feed(text), *sentences.close()]


def _end(text: str) -> int | None:
    """Return where the first sentence ends, None while that is not known."""
    for found in _ENDS.finditer(text, 0, LONGEST):
        if not _TITLE.search(text, 0, found.end()):
            return found.end()
    if len(text) < LONGEST:
        return None
    space = text.rfind(" ", 0, LONGEST)
    return space + 1 if space > 0 else LONGEST
