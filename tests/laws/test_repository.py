"""What must hold of the repository itself."""

from __future__ import annotations

import re
import runpy
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS = [
    *ROOT.glob("requirements/*.lock"),
    *ROOT.glob("src/**/*.lock"),
    *ROOT.glob("tests/**/*.lock"),
]


def requirements() -> list[str]:
    """Return the names of everything that the project asks for."""
    asked = list(PROJECT["project"]["dependencies"])
    for extra in PROJECT["project"]["optional-dependencies"].values():
        asked += extra
    for file in ROOT.glob("requirements/*.in"):
        asked += file.read_text().split("\n")
    return sorted({re.split(r"[<>=\[;# ]", line)[0] for line in asked if line.strip()})


@pytest.mark.parametrize("name", requirements())
def test_every_dependency_says_why_it_is_there(name: str) -> None:
    assert f"`{name}`" in (ROOT / "docs" / "design.md").read_text()


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.name)
def test_locks_have_hashes_and_name_no_index(lock: Path) -> None:
    text = lock.read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index" not in text


def test_every_module_says_what_it_is() -> None:
    for file in (ROOT / "src").rglob("*.py"):
        assert file.read_text().startswith('"""'), f"{file} has no docstring"


def test_readme_has_the_tree_as_it_is() -> None:
    written = runpy.run_path(str(ROOT / "tools" / "tree.py"))["tree"]()
    assert written in (ROOT / "README.md").read_text(), "run `make readme`"
