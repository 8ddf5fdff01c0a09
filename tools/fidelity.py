"""Write docs/fidelity.md from the tables that decide what becomes of each feature.

`make readme` runs it; a test compares.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from standpipe.calls.emulation.table import REWRITES, WRAPPERS
from standpipe.providers.fidelity import DROPPABLE
from standpipe.providers.known import KNOWN, Known
from standpipe.providers.table import DIALECTS
from standpipe.wire.features import FEATURES

PAGE = Path(__file__).parents[1] / "docs" / "fidelity.md"

_HEAD = """\
# Fidelity

What becomes of each thing that a chat completions request can ask for, by the dialect of the
provider that it goes to. This page is written from the tables that decide it, by `make readme`;
a test runs every cell against a real socket.

- **native**: the provider does it.
- **emulated**: Standpipe does it, and the header `standpipe-fidelity` of the answer says so, as
  `n>1=emulated`; the record keeps it.
- **refused**: a 400 names the field and the provider, and nothing is sent. With the request header
  `standpipe-fidelity: best-effort` those marked `*` are dropped instead, and the answer's header
  says so, as `seed=dropped`.

A field that is not listed here goes to a provider of OpenAI's form as it is; other dialects refuse
it, or drop it with `best-effort`.

## Dialects

"""

_PLACES = """
## Places that speak OpenAI's form

What a `[providers.NAME]` of one of these names does otherwise; all else is native.

"""

_HOW = """
## How it is emulated

| feature | what Standpipe does |
|---|---|
"""

#: In words, what is done for each emulation above the dialects.
HOW = {
    "functions": "sent as `tools`, `tool_choice` and `tool` messages; "
    "the answer's first call comes back as `function_call`",
    "role:developer": "sent as `system`",
    "message.name": "said before the text, as `ann: Hi`",
    "max_tokens": "sent as `max_completion_tokens`",
    "max_completion_tokens": "sent as `max_tokens`; of both, the lower one",
    "parallel_tool_calls:false": "the answer's first tool call is kept, the others are left out",
    "stop>4": "the first four are sent; the answer is cut at the others, and a stream's end is "
    "held back while it may be the beginning of one",
    "stream": "the whole answer is made first and then told as a stream",
    "response_format:json_object": "as `json_schema`, with the schema of any object",
    "response_format:json_schema": "asked for in words, with the schema; the answer is checked. "
    "One that is wrong is sent back once with what is wrong; if it stays wrong, the call is a 502 "
    "that names the rule. A schema over 64 KiB, an invalid one or one with a `$ref` to elsewhere "
    "is refused. A stream begins when the answer is known to be valid",
    "modalities:audio": "the text is spoken by the extra `audio`, in English, and comes as "
    "`message.audio`; in a stream the transcript comes as it is written, and the sound a sentence "
    "at a time for `pcm16` and `wav`, at the end for `mp3`, `opus`, `flac` and `aac`",
    "message.audio": "sent as the text that was spoken, where it was spoken here",
    "content:input_audio": "transcribed by the extra `audio`, from English, and sent as text in "
    "its place; half an hour at most",
    "n>1": "one call for each choice, at most eight at a time; usage is the sum of what was "
    "billed, and of a `seed` each choice has the next",
}
_SHARED = {name: "as `functions`" for name, how in REWRITES.items() if how is REWRITES["functions"]}


def page() -> str:
    """Return the page in Markdown."""
    text = _HEAD + _table(["feature", *DIALECTS], map(_row, FEATURES))
    text += _PLACES + _table(["provider", "emulated", "refused"], map(_place, _places()))
    how = {name: HOW.get(name) or _SHARED[name] for name in (*REWRITES, *WRAPPERS)}
    lines = "".join(f"| `{name}` | {words} |\n" for name, words in how.items())
    return text + _HOW + lines + _FOOT


_FOOT = """
The other emulated cells are the dialect's own: it puts the request so that it means the same.
"""


def _row(feature: str) -> list[str]:
    words = [dialect.fidelity.get(feature, "native") for dialect in DIALECTS.values()]
    return [f"`{feature}`", *(_marked(feature, word) for word in words)]


def _marked(feature: str, word: str) -> str:
    return f"{word}*" if word == "refused" and feature in DROPPABLE else word


def _places() -> list[Known]:
    return [known for known in KNOWN.values() if known.dialect == "openai"]


def _place(known: Known) -> list[str]:
    found = [
        ", ".join(f"`{name}`" for name in FEATURES if known.fidelity.get(name) == word)
        for word in ("emulated", "refused")
    ]
    link = known.source.replace(",", " ").split()[0]
    return [f"[{known.name}]({link})", *found]


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def main() -> None:
    """Write the page."""
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
