"""How far a judge agrees with people, as a page in one file that loads nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from standpipe.api.html import Html, el, join, raw
from standpipe.cli.alignment_table import figure
from standpipe.cli.criteria import fields_of
from standpipe.criteria import alignment
from standpipe.criteria.agreement import MEASURES
from standpipe.errors import ConfigError
from standpipe.store.alignment import AlignmentRow, AlignmentVerdict
from standpipe.store.criteria import Criterion

Json = dict[str, Any]

#: Rows of which judge and people say different things that are shown, and how much of each text.
_SHOWN = 100
_LONGEST = 1000
_NAMES = {"f1": "F1"}
#: The plot, in pixels: where the scale begins and how long it is, and how high a line is.
_LEFT, _WIDTH, _LINE, _TOP = 110, 480, 34, 14

_STYLE = """
:root { color-scheme: light dark; --paper: #fcfcfa; --ink: #1c2226; --soft: #59646c;
  --line: #d9dcd5; --well: #f0f2ec; --accent: #0b6e77; --bar: #a8323a; }
@media (prefers-color-scheme: dark) { :root { --paper: #12171a; --ink: #dfe4e7; --soft: #93a0a9;
  --line: #333d44; --well: #1a2125; --accent: #62c8d0; --bar: #ee8d92; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 56rem; padding: 2.5rem 1.25rem 4rem; background: var(--paper);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; }
h1 { margin: 0 0 .25rem; font-size: 1.7rem; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.15rem; }
p { margin: .4rem 0; } .soft { color: var(--soft); }
.scroll { overflow-x: auto; } .scroll td { white-space: nowrap; } .scroll svg { min-width: 36rem; }
.scroll table { font-size: .85rem; } .scroll th, .scroll td { padding: .4rem .5rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .8rem; text-align: left; border-bottom: 1px solid var(--line); }
.counts td { min-width: 7rem; text-align: right; font-size: 1.3rem; }
.counts .same { background: var(--well); font-weight: 650; }
svg { display: block; max-width: 100%; height: auto; font: 14px system-ui, sans-serif; }
svg text { fill: var(--ink); } svg .soft { fill: var(--soft); font-size: 12px; }
svg .grid { stroke: var(--line); } svg .reach { stroke: var(--accent); stroke-width: 5;
  stroke-linecap: round; opacity: .45; } svg .value { fill: var(--accent); }
svg .bar { stroke: var(--bar); stroke-width: 2; }
article { margin: 1rem 0; padding: .8rem 1rem; background: var(--well); border-radius: 8px; }
pre { margin: .4rem 0; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .85rem; }
"""


def write(
    path: Path, criterion: Criterion, said: Json, rows: Sequence[AlignmentRow], number: int
) -> None:
    """Write the page of a version; ConfigError where that cannot be."""
    try:
        path.write_text(page(criterion, said, rows, number), encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}") from error


def page(criterion: Criterion, said: Json, rows: Sequence[AlignmentRow], number: int) -> str:
    """Return the page of a version; `said` is the report on all of them."""
    name = f"{said['id']}@v{number}"
    head = el(
        "head",
        raw('<meta charset="utf-8">'),
        raw('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        el("title", f"{name} against people"),
        el("style", raw(_STYLE)),
    )
    its = next((each for each in said["versions"] if each["version"] == f"v{number}"), None)
    body = join(
        el("h1", f"{name} against people"),
        *_by_what(criterion, number),
        el("p", f"{said['labelled']} of {said['rows']} rows are labelled.", class_="soft"),
        *(_version(said, its, rows, number) if its else [el("p", "It has judged none of them.")]),
    )
    return "<!doctype html>\n" + el("html", head, el("body", body), lang="en")


def _by_what(criterion: Criterion, number: int) -> Iterator[Html]:
    version = criterion.version(number)
    lines = "\n".join(f"{field}: {text}" for field, text in fields_of(version or criterion.latest))
    yield el("pre", lines, class_="soft")


def _version(said: Json, its: Json, rows: Sequence[AlignmentRow], number: int) -> Iterator[Html]:
    word = "Aligned" if its["aligned"] else "Not aligned"
    yield el("p", el("strong", word), f": {its['reason']}.")
    yield el("h2", "Agreement, with intervals of 95 %")
    yield el("div", _plot(its, said["bar"]), class_="scroll")
    mark = f"The mark on kappa's line is the project's bar, {said['bar']:g}."
    yield el("p", mark, class_="soft")
    yield el("h2", "What people said, and what the judge did")
    yield _counts(its["table"])
    yield el(
        "p",
        f"It failed at {its['errors']} rows, and was not asked yet of {its['waiting']}.",
        class_="soft",
    )
    yield el("h2", "Versions")
    yield _versions(said)
    if said["comparison"]:
        yield el("p", said["comparison"]["in_words"])
    yield el("h2", "Where they differ")
    yield join(*_differences(rows, number, said["passes"]))


def _plot(its: Json, bar: float) -> Html:
    least = -1.0 if min(its["kappa"]["low"], bar) < 0 else 0.0
    height = _TOP + _LINE * len(MEASURES)

    def x(value: float) -> str:
        return f"{_LEFT + _WIDTH * (value - least) / (1 - least):.1f}"

    steps = [least + (1 - least) * step / 4 for step in range(5)]
    grid = [
        part
        for step in steps
        for part in (
            el("line", x1=x(step), x2=x(step), y1="0", y2=f"{height}", class_="grid"),
            _label(x(step), height + 18, f"{step:g}", anchor="middle", class_="soft"),
        )
    ]
    lines = [
        part
        for place, name in enumerate(MEASURES)
        for part in _line(name, its[name], _TOP + _LINE * place + 8, x)
    ]
    middle = _TOP + _LINE * MEASURES.index("kappa") + 8
    mark = el("line", x1=x(bar), x2=x(bar), y1=f"{middle - 14}", y2=f"{middle + 14}", class_="bar")
    title = el("title", f"The bar of kappa is {bar:g}")
    box = f"0 0 {_LEFT + _WIDTH + 150} {height + 26}"
    return el("svg", title, *grid, *lines, mark, viewBox=box, role="img")


def _line(name: str, measure: Json, y: int, x: Any) -> Iterator[Html]:
    yield _label("0", y + 5, _NAMES.get(name, name))
    ends = {"x1": x(measure["low"]), "x2": x(measure["high"])}
    yield el("line", **ends, y1=f"{y}", y2=f"{y}", class_="reach")
    if measure["value"] is not None:
        yield el("circle", cx=x(measure["value"]), cy=f"{y}", r="6", class_="value")
    yield _label(f"{_LEFT + _WIDTH + 16}", y + 5, figure(measure), class_="soft")


def _label(x: str, y: int, text: str, *, anchor: str = "start", class_: str = "") -> Html:
    return el("text", text, x=x, y=f"{y}", text_anchor=anchor, class_=class_)


def _counts(table: Json) -> Html:
    heads = el("tr", el("th"), el("th", "judge passes"), el("th", "judge fails"))
    lines = [
        el(
            "tr",
            el("th", f"people {one}"),
            *(
                el("td", str(table[f"{one}_{other}"]), class_="same" if one == other else "")
                for other in ("pass", "fail")
            ),
        )
        for one in ("pass", "fail")
    ]
    return el("table", heads, *lines, class_="counts")


def _versions(said: Json) -> Html:
    heads = el(
        "tr", *(el("th", _NAMES.get(word, word)) for word in ("version", "", "rows", *MEASURES))
    )
    lines = [
        el(
            "tr",
            el("td", each["version"]),
            el("td", "aligned" if each["aligned"] else ""),
            el("td", str(each["judged"])),
            *(el("td", figure(each[name])) for name in MEASURES),
        )
        for each in said["versions"]
    ]
    return el("div", el("table", heads, *lines), class_="scroll")


def _differences(rows: Sequence[AlignmentRow], number: int, passes: float) -> Iterator[Html]:
    differing = list(_differing(rows, number, passes))
    for row, verdict in differing[:_SHOWN]:
        case = alignment.case(row)
        asked = case.messages[-1].get("content") if case.messages else ""
        judged = verdict.error or _told(verdict, passes)
        yield el(
            "article",
            el("p", el("strong", f"People: {row.judgement}. Judge: "), judged),
            el("pre", _cut(asked if isinstance(asked, str) else "…"), class_="soft"),
            el("pre", _cut(case.text)),
        )
    left = len(differing) - _SHOWN
    if left > 0:
        yield el("p", f"And {left} more.", class_="soft")
    if not differing:
        yield el("p", "Nowhere.")


def _told(verdict: AlignmentVerdict, passes: float) -> str:
    score = verdict.score or 0.0
    word = "PASS" if score >= passes else "FAIL"
    return " ".join(filter(None, (f"{word} ({score:g}).", verdict.explanation)))


def _differing(
    rows: Sequence[AlignmentRow], number: int, passes: float
) -> Iterator[tuple[AlignmentRow, AlignmentVerdict]]:
    for row in rows:
        verdict = next((each for each in row.verdicts if each.number == number), None)
        if verdict is None or row.judgement is None:
            continue
        if verdict.score is None or (verdict.score >= passes) != (row.judgement == "PASS"):
            yield row, verdict


def _cut(text: str) -> str:
    return text[:_LONGEST] + ("…" if len(text) > _LONGEST else "")
