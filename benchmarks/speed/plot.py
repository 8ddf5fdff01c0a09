"""The plot of a run: bars on a logarithmic scale, as SVG that needs no style sheet."""

from __future__ import annotations

import math
from typing import NamedTuple
from xml.sax.saxutils import escape

from speed.figures import Figures
from speed.page import number
from speed.rows import DIRECT, OURS, TWO

_WIDTH, _NAMES, _VALUES = 820, 190, 70
_ROW, _BAR, _HEAD, _FOOT = 24, 15, 44, 26
#: The first is Standpipe's; all are told apart in grey, too, and on a dark page.
_OURS, _OTHERS, _TEXT, _LINE = "#0b7285", "#adb5bd", "#868e96", "#868e9655"


class Panel(NamedTuple):
    """One figure of all targets."""

    title: str
    measure: str
    figure: str
    #: The longest bar is the best one.
    more_is_better: bool = False


#: One is no gateway, one has two cores.
_NOT_DRAWN = (DIRECT, TWO)

PANELS = (
    Panel("Processor time a call, µs (32 connections; less is better)", "closed/32", "cpu_us"),
    Panel("Calls a second on one core (64 connections; more is better)", "closed/64", "rate", True),
    Panel(
        "Processor time a streamed chunk, µs (256 streams; less is better)", "streams/256", "cpu_us"
    ),
)


def plot(figures: Figures) -> str:
    """Return one picture of all panels of which there are figures."""
    top, drawn = 0.0, []
    for panel in PANELS:
        bars = _bars(figures, panel)
        if bars:
            drawn.append(_panel(panel.title, bars, top))
            top += _HEAD + len(bars) * _ROW + _FOOT
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {top:g}" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="{_TEXT}">\n'
        + "".join(drawn)
        + "</svg>\n"
    )


def _bars(figures: Figures, panel: Panel) -> list[tuple[str, float]]:
    names = [each for each in figures.targets if each not in _NOT_DRAWN]
    found = [(each, figures.get(each, panel.measure, panel.figure)) for each in names]
    bars = [(name, value) for name, value in found if value]
    return sorted(bars, key=lambda bar: bar[1], reverse=panel.more_is_better)


def _panel(title: str, bars: list[tuple[str, float]], top: float) -> str:
    low = math.floor(math.log10(min(value for _, value in bars)))
    high = math.ceil(math.log10(max(value for _, value in bars)))
    high = max(high, low + 1)

    def x(value: float) -> float:
        share = (math.log10(value) - low) / (high - low)
        return _NAMES + share * (_WIDTH - _NAMES - _VALUES)

    begin, end = top + _HEAD, top + _HEAD + len(bars) * _ROW
    parts = [
        f'<text x="0" y="{top + 24:g}" font-size="15" font-weight="600">{escape(title)}</text>\n'
    ]
    for power in range(low, high + 1):
        at = x(10.0**power)
        parts.append(f'<path d="M{at:.1f} {begin - 4:g}V{end:g}" stroke="{_LINE}"/>\n')
        parts.append(
            f'<text x="{at:.1f}" y="{end + 14:g}" font-size="11" text-anchor="middle">'
            f"{10.0**power:,g}</text>\n"
        )
    for index, (name, value) in enumerate(bars):
        parts.append(_bar(name, value, begin + index * _ROW, x(value)))
    return "".join(parts)


def _bar(name: str, value: float, y: float, x: float) -> str:
    is_ours = name.startswith(OURS)
    middle, weight = y + _BAR - 3, "600" if is_ours else "400"
    return (
        f'<text x="{_NAMES - 8}" y="{middle:g}" text-anchor="end" font-weight="{weight}">'
        f"{escape(name)}</text>\n"
        f'<rect x="{_NAMES}" y="{y:g}" width="{x - _NAMES:.1f}" height="{_BAR}" rx="2" '
        f'fill="{_OURS if is_ours else _OTHERS}"/>\n'
        f'<text x="{x + 6:.1f}" y="{middle:g}" font-weight="{weight}">{number(value)}</text>\n'
    )
