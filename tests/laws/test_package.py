"""What is installed is what is here: not only a checkout can serve."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package as `pip install` would put it."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = folder / "checkout"  # of its own: setuptools builds where the source is
    shutil.copytree(ROOT / "src", checkout / "src", ignore=shutil.ignore_patterns("*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, checkout)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "--wheel-dir", str(folder), str(checkout)], check=True, timeout=120)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_every_file_of_the_package_is_in_the_wheel(installed: Path) -> None:
    source = ROOT / "src"
    wanted = {
        path.relative_to(source)
        for path in (source / "standpipe").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert wanted <= {path.relative_to(installed) for path in installed.rglob("*")}


def test_installed_package_runs(installed: Path, tmp_path: Path) -> None:
    program = "import standpipe, standpipe.app, sys; sys.stdout.write(standpipe.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert Path(done.stdout).is_relative_to(installed)


def test_poisoned_release_litellm_1_82_7_nothing_of_ours_runs_at_the_start_of_python(
    installed: Path,
) -> None:
    assert not [path for path in installed.rglob("*") if path.suffix in {".pth", ".so"}]
