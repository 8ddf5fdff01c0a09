"""What was counted beside what was recorded: the table, and whether anything became dearer."""

from __future__ import annotations

from collections.abc import Mapping

#: How much more than recorded is taken for noise.
TOLERANCE = 0.03


def dearer(found: Mapping[str, int], recorded: Mapping[str, int]) -> list[str]:
    """Return what takes more instructions than recorded, by more than the tolerance."""
    limits = {name: count * (1 + TOLERANCE) for name, count in recorded.items()}
    return [name for name, count in found.items() if count > limits.get(name, count)]


def table(found: Mapping[str, int], recorded: Mapping[str, int]) -> str:
    """Return both in Markdown, with the change in percent."""
    lines = ["| instructions of one | recorded | now | change |", "|---|---|---|---|"]
    for name, count in found.items():
        was = recorded.get(name)
        told = f"{was:,} | {count:,} | {count / was - 1:+.1%}" if was else f"none | {count:,} | new"
        lines.append(f"| {name} | {told} |")
    return "\n".join(lines) + "\n"
