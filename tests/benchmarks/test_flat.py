"""The page of what stays as it is, from figures made up."""

from __future__ import annotations

from flat import Row, page

ABOUT = {"processor": "a processor", "cores": 2, "python": "3.11", "load_before": [0.1]}


def test_a_change_is_told_in_percent_or_as_what_each_one_takes() -> None:
    rows = [
        list(Row("worker, with 1 and 100 routes", "µs a call", 50.0, 51.0)),
        list(Row("memory of the worker", "MB", 40.0, 80.0, "400 B a key")),
    ]
    told = page({"machine": ABOUT, "rows": rows})
    assert "| worker, with 1 and 100 routes, µs a call | 50.0 | 51.0 | +2.0% |" in told
    assert "| memory of the worker, MB | 40.0 | 80.0 | 400 B a key |" in told
