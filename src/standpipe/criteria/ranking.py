"""The order of an answer's choices by what their criteria say: the best one first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from standpipe.criteria.verdict import Success, Verdict, told

Json = dict[str, Any]
#: Of one choice, by the criterion's name.
Verdicts = Mapping[str, Verdict]


def combined(verdicts: Verdicts) -> float:
    """Return the sum of the scores; what could not be judged counts 0."""
    return sum(each.score for each in verdicts.values() if isinstance(each, Success))


def ranked(choices: Sequence[Json], verdicts: Sequence[Verdicts]) -> list[Json]:
    """Return the choices with their results, the highest combined score first, numbered anew.

    Equal ones stay in the order in which they came.
    """
    together = list(zip(choices, verdicts, strict=True))
    together.sort(key=lambda pair: -combined(pair[1]))
    return [
        {**choice, "index": place, "criteria_results": _results(of_choice)}
        for place, (choice, of_choice) in enumerate(together)
    ]


def _results(verdicts: Verdicts) -> Json:
    return {name: told(verdict) for name, verdict in verdicts.items()}
