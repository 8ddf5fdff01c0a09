"""Write the README's tree anew: one line a file, from each module's own first line.

`make readme` runs it; a test compares.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "standpipe"
BEGIN, END = "<!-- tree -->\n", "<!-- /tree -->\n"

#: What lies beside the source.
BESIDE = {
    "benchmarks/": "what `make bench` and its kin measure",
    "docs/": "configuration, API, command line, design",
    "requirements/": "the locks: every package with its hashes",
    "tests/": "a room for each room of the source; `laws/` and `faults/` hold for all",
    "tools/": "what writes parts of this repository",
}


def tree() -> str:
    """Return the tree in Markdown, its markers included."""
    lines = ["src/standpipe/", *_lines(SOURCE, "  ")]
    lines += [f"{name:<32}{what}" for name, what in BESIDE.items()]
    return BEGIN + "```\n" + "\n".join(lines) + "\n```\n" + END


def _lines(folder: Path, indent: str) -> list[str]:
    modules = sorted(path for path in folder.glob("*.py") if path.stem not in _QUIET)
    rooms = sorted(path.parent for path in folder.glob("*/__init__.py"))
    lines = [_line(indent + module.name, module) for module in modules]
    for room in rooms:
        lines.append(_line(f"{indent}{room.name}/", room / "__init__.py"))
        lines += _lines(room, indent + "  ")
    return lines


_QUIET = ("__init__",)


def _line(name: str, module: Path) -> str:
    said = ast.get_docstring(ast.parse(module.read_text())) or ""
    first = said.partition("\n")[0].rstrip(".")
    return f"{name:<32}{first}"


def main() -> None:
    """Replace the tree in the README."""
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    readme.write_text(before + tree() + after)


if __name__ == "__main__":
    main()
