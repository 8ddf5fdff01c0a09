"""How many cores a container is given."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from standpipe.server.cores import cores, quota


@pytest.mark.parametrize(
    ("group", "said", "found"),
    [
        ("0::/a.slice/b\n", "150000 100000\n", 1.5),
        ("1:name=systemd:/x\n0::/a.slice/b\n", "max 100000\n", math.inf),
        ("0::/\n", None, math.inf),
        ("1:cpu:/x\n", None, math.inf),
    ],
)
def test_quota_is_that_of_the_processs_own_group(
    group: str, said: str | None, found: float, tmp_path: Path
) -> None:
    process, groups = tmp_path / "cgroup", tmp_path / "groups"
    process.write_text(group)
    if said is not None:
        (groups / "a.slice" / "b").mkdir(parents=True)
        (groups / "a.slice" / "b" / "cpu.max").write_text(said)
    assert quota(process, groups) == found


def test_there_is_at_least_one_core_and_no_more_than_we_may_use() -> None:
    assert 1 <= cores() <= 4096
    assert quota(Path("/nowhere"), Path("/nowhere")) == math.inf
