"""Bars of counted numbers as inline SVG, written by hand: no script, no font, nothing from elsewhere."""

import html
import math
from collections.abc import Callable, Sequence

__all__ = ["bar", "histogram"]

_WIDTH, _HEIGHT, _LEFT, _BELOW = 640, 130, 26, 18
_KEPT, _DROPPED, _CURVE = "#4878a8", "#c8643c", "#b08a00"
_DOUBLING = 4  # bins between a number above 1 and its double, and
_UNIT = 40  # from 0 to 1: those of genus/data/pipeline/tally.py
_TICKS = 8

Bins = Sequence[Sequence[float]]  # left edge, documents, those of them that went on


def bar(share: float, words: str) -> str:
    """A bar of a share from 0 to 1, of at most 160 pixels."""
    return (
        f'<svg width="{160 * share:.1f}" height="12" role="img" aria-label="{html.escape(words)}">'
        f'<rect width="100%" height="12" fill="{_KEPT}"/></svg>'
    )


def histogram(bins: Bins, title: str, curve: Callable[[float], float] | None = None) -> str:
    """Documents by a number, those that went on below those that were dropped. `curve`: from the number to the chance to be
    kept, drawn from 0 at the foot to 1 at the top, with dots for the shares that were."""
    unit = bins[-1][0] <= 1
    place = (lambda value: value * _UNIT) if unit else (lambda value: math.log2(max(value, 1)) * _DOUBLING)
    first, last = (0, _UNIT) if unit else (math.floor(place(bins[0][0]) + 0.5), math.floor(place(bins[-1][0]) + 0.5))
    wide = (_WIDTH - 2 * _LEFT) / (last - first + 1)
    most = max(count for _, count, _ in bins)
    drawn = []
    for left, count, kept in bins:
        x = _LEFT + (math.floor(place(left) + 0.5) - first) * wide
        whole, low = (_HEIGHT * number / most for number in (count, kept))
        drawn.append(f"<g><title>{_number(left)}: {count:,.0f} documents, {count - kept:,.0f} dropped</title>")
        drawn.append(_box(x, _HEIGHT - low, wide, low, _KEPT))
        drawn.append(f"{_box(x, _HEIGHT - whole, wide, whole - low, _DROPPED)}</g>")
        if curve:
            dot = _HEIGHT * (1 - kept / count)
            drawn.append(f'<circle cx="{x + wide / 2:.1f}" cy="{dot:.1f}" r="2.5" fill="{_CURVE}"/>')
    if curve:
        points = " ".join(f"{_LEFT + wide * (n + 0.5):.1f},{_HEIGHT * (1 - curve(n / _UNIT)):.1f}" for n in range(_UNIT + 1))
        drawn.append(f'<polyline points="{points}" fill="none" stroke="{_CURVE}" stroke-width="1.5"/>')
    step = _UNIT // _TICKS if unit else _DOUBLING * max(1, -((first - last) // (_TICKS * _DOUBLING)))
    for n in range(-(-first // _DOUBLING) * _DOUBLING, last + 1, step):
        value = n / _UNIT if unit else 2 ** (n / _DOUBLING)
        at = f'x="{_LEFT + (n - first) * wide:.1f}" y="{_HEIGHT + 14}"'
        drawn.append(f'<text {at} font-size="11" text-anchor="middle" fill="currentColor">{_number(value)}</text>')
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT + _BELOW}" role="img" aria-label="{html.escape(title)}">'
        f'<line x1="{_LEFT}" x2="{_WIDTH - _LEFT}" y1="{_HEIGHT}" y2="{_HEIGHT}" stroke="currentColor" opacity=".4"/>'
        f"{''.join(drawn)}</svg>"
    )


def _box(x: float, y: float, wide: float, high: float, colour: str) -> str:
    if high <= 0:
        return ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(wide - 0.7, 0.5):.1f}" height="{high:.1f}" fill="{colour}"/>'


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 10 else f"{value:.3g}"
