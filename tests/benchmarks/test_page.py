"""The page and the plot of a run, from figures made up."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest
from speed.figures import Figures
from speed.goals import GOALS
from speed.page import number, page
from speed.plot import plot
from speed.rows import DIRECT, MEASURES, OURS, TARGETS

Json = dict[str, Any]


def sample(target: str, measure: str, number: int, cpu_us: float) -> Json:
    quantiles = {"count": 1000, "p50": 1000.0, "p99": 2000.0 + cpu_us}
    return {
        "target": target,
        "measure": measure,
        "round": number,
        "seconds": 2.0,
        "calls": 4000,
        "latency": quantiles,
        "event": quantiles if measure.startswith("streams") else {"count": 0},
        "first_event": quantiles,
        "cpu_us": {"gateway": cpu_us, "drain": 20.0} if target == OURS else {"gateway": cpu_us},
        "pss_mb": {"gateway": 50.0},
        "foreign": 0.0,
    }


def found() -> Json:
    taken = {DIRECT: 0.0, OURS: 60.0, "vllm-router": 75.0}
    samples = [
        sample(target, measure, number, cpu + number)
        for number in range(3)
        for target, cpu in taken.items()
        for measure in MEASURES
    ]
    saturated = {"seconds": 2.0}
    drain = {"lag_ms": {"p50": 3.0, "max": 900.0}, "saturated": saturated, "backlog": 7000}
    return {
        "machine": {
            "processor": "a processor",
            "cores": 2,
            "memory_gb": 25,
            "system": "Linux",
            "python": "3.11",
            "node": None,
            "load_before": [0.1],
        },
        "seconds": 2.0,
        "rounds": 3,
        "samples": samples,
        "spread": [[40, 24]],
        "drain": [{**drain, "backlog_s": 1.5}],
        "rounds_told": [{"target": OURS, "round": 0, "answered": 12_345, "stored": 12_344}],
        "starts": [{"target": OURS, "first_answer_s": 0.9}],
        "left_out": {"portkey": "it needs node and npm"},
        "failed": [{"target": "nginx", "what": "closed/1", "why": "it ended with 1"}],
    }


def test_figures_are_medians_of_the_rounds() -> None:
    assert Figures(found()).get(OURS, "closed/32", "cpu_us") == 61.0


def test_what_the_provider_takes_is_taken_off() -> None:
    added = Figures(found()).added(OURS, "open/1000", "p99_ms")
    assert added == pytest.approx(0.06)


def test_what_was_not_measured_has_no_figure() -> None:
    figures = Figures(found())
    assert figures.get("litellm", "closed/32", "cpu_us") is None
    assert figures.get("vllm-router", "closed/32", "drain_us") is None


def test_goals_are_met_or_not_and_say_so() -> None:
    told = page(found())
    assert "over vllm-router's | ≤ 0.8 | 0.803 | no |" in told
    assert "over LiteLLM's | ≤ 1/120 | - | - |" in told
    assert "| share of 64 connections that one of two workers had | ≤ 0.7 | 0.625 | yes |" in told
    assert "| calls that were answered and are not stored | 0 | 1.00 | no |" in told


def test_the_page_names_what_was_left_out_and_what_failed() -> None:
    told = page(found())
    assert "- portkey is left out: it needs node and npm" in told
    assert "- nginx, closed/1: it ended with 1" in told


def test_the_page_says_which_samples_had_seconds_of_their_own() -> None:
    run = found()
    assert "Medians of 3 rounds of 2 s; made" in page(run)
    longer = sample("litellm", "streams/256", 0, 800.0) | {"seconds": 30.0}
    run["samples"] += [longer, longer]
    assert "rounds of 2 s (litellm, streams/256: 30 s); made" in page(run)


def test_the_page_says_how_python_was_built_where_that_is_known() -> None:
    run = found()
    assert "Linux, Python 3.11, node" in page(run)
    run["machine"]["python_built"] = "configured with --with-lto"
    assert "Linux, Python 3.11 (configured with --with-lto), node" in page(run)


def test_the_page_of_a_run_that_found_nothing_can_be_told() -> None:
    nothing: Json = {"samples": [], "spread": [], "drain": [], "rounds_told": [], "starts": []}
    told = page({**found(), **nothing})
    assert told.count("| - | - |") == len(GOALS)


def test_the_plot_is_a_picture_with_a_bar_for_each_target() -> None:
    root = ElementTree.fromstring(plot(Figures(found())))
    texts = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count(OURS) == texts.count("vllm-router") == 3
    assert "61.0" in texts


@pytest.mark.parametrize(
    ("value", "told"),
    [(None, "-"), (12_345.6, "12,346"), (61.04, "61.0"), (1.234, "1.23"), (0.0123, "0.012")],
)
def test_numbers_have_the_digits_that_matter(value: float | None, told: str) -> None:
    assert number(value) == told


def test_every_target_is_measured_in_known_ways() -> None:
    assert {name for each in TARGETS.values() for name in each.plan} <= MEASURES.keys()
    assert all(each.least_s.keys() <= set(each.plan) for each in TARGETS.values())
