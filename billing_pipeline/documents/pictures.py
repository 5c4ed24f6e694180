"""The pictures of an invoice, as inline SVG drawn from whole numbers; words and amounts stay outside them, in HTML."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from markupsafe import Markup

from billing_pipeline.rules.rounding import round_half_away

_ACCENT, _TRACK, _INK, _PALE = "#3b34a9", "#ebebf2", "#15172b", "#c9cad8"

_SHARE_BAR = Markup(
    '<svg class="bar" viewBox="0 0 1000 16" preserveAspectRatio="none" role="img"><title>{title}</title>'
    '<rect width="1000" height="16" fill="{track}"/><rect width="{filled}" height="16" fill="{accent}"/></svg>'
)
_WATERFALL = Markup(
    '<svg class="steps" viewBox="0 0 1000 {height}" preserveAspectRatio="none" role="img"><title>{title}</title>'
    '{bars}<rect y="{zero}" width="1000" height="4" fill="{pale}"/></svg>'
)
_DAYS = Markup(
    '<svg class="days" viewBox="0 0 {width} {height}" preserveAspectRatio="none" role="img"><title>{title}</title>'
    '{bars}<rect y="{zero}" width="{width}" height="8" fill="{pale}"/></svg>'
)
_CODE = Markup(
    '<svg class="code" viewBox="0 0 {side} {side}" shape-rendering="crispEdges" role="img"><title>{title}</title>'
    '<rect width="{side}" height="{side}" rx="2" fill="#fff"/><path fill="#000" d="{path}"/></svg>'
)
#: Light modules around a code, without which readers do not find it.
_QUIET = 4
_BAR = Markup('<rect x="{x}" y="{y}" width="{width}" height="{height}" fill="{fill}"/>')
_HEIGHT, _BAR_WIDTH = 1000, 96
_DAY_WIDTH, _DAY_GAP = 20, 7
#: Of the services of a bar, from the bottom; `.key` in the stylesheets has the same. Each is told from the ones beside
#: it by its lightness, too, and from white paper by three to one at least.
_SERVICES = (_ACCENT, "#7f8be8", "#0b5c57", "#1f9e8f", "#8a4a06", "#8a8c9b")


class Step(NamedTuple):
    """One bar of a waterfall, from one level to another, in minor units."""

    start_cents: int
    end_cents: int
    is_balance: bool = False
    is_accented: bool = False


def share_bar(part: int, whole: int, title: str, place: int = 0) -> Markup:
    """What part of the whole a service is; nothing is filled for a part below zero. Its colour is that of its place."""
    filled = max(8, round_half_away(1000 * part, whole)) if part > 0 else 0
    return _SHARE_BAR.format(title=title, filled=filled, track=_TRACK, accent=_SERVICES[place])


def daily_bars(costs_cents: Sequence[tuple[int, Sequence[int]]], title: str) -> Markup:
    """Bars of days, the highest as high as the picture, in which services stand on top of each other.

    Args:
        costs_cents: the place of each service among all, which is its colour, and what each day cost; none below zero.
        title: what a reader is told who cannot see it.
    """
    highest = max(sum(day) for day in zip(*(cents for _, cents in costs_cents), strict=True))
    reached = [0] * len(costs_cents[0][1])
    bars = []
    for place, cents in costs_cents:
        for day, cost in enumerate(cents):
            bottom = round_half_away(_HEIGHT * reached[day], highest)
            reached[day] += cost
            height = round_half_away(_HEIGHT * reached[day], highest) - bottom
            if height:
                x, y = day * (_DAY_WIDTH + _DAY_GAP), _HEIGHT - bottom - height
                bars.append(_BAR.format(x=x, y=y, width=_DAY_WIDTH, height=height, fill=_SERVICES[place]))
    width = len(reached) * (_DAY_WIDTH + _DAY_GAP) - _DAY_GAP
    return _DAYS.format(
        title=title, width=width, height=_HEIGHT + 8, bars=Markup().join(bars), zero=_HEIGHT, pale=_PALE
    )


def payment_code(modules: Sequence[Sequence[bool]], title: str) -> Markup:
    """A QR code: each row's neighbouring dark modules are one rectangle."""
    path = "".join(
        f"M{left + _QUIET} {top + _QUIET}h{right - left}v1h{left - right}z"
        for top, row in enumerate(modules)
        for left, right in _dark_runs(row)
    )
    return _CODE.format(side=len(modules) + 2 * _QUIET, title=title, path=path)


def _dark_runs(row: Sequence[bool]) -> Iterator[tuple[int, int]]:
    place = 0
    for is_dark, run in groupby(row):
        end = place + len(list(run))
        if is_dark:
            yield place, end
        place = end


def waterfall(steps: Sequence[Step], title: str) -> Markup:
    """How a balance rose and fell, each bar where the one before ended; empty where every level is zero."""
    levels = [level for step in steps for level in (step.start_cents, step.end_cents)]
    highest, lowest = max(0, *levels), min(0, *levels)
    if highest == lowest:
        return Markup()

    def position(level: int) -> int:
        return round_half_away(_HEIGHT * (highest - level), highest - lowest)

    spacing = 1000 // len(steps)
    bars = [
        _BAR.format(
            x=place * spacing + (spacing - _BAR_WIDTH) // 2,
            y=position(max(step.start_cents, step.end_cents)),
            width=_BAR_WIDTH,
            height=abs(position(step.start_cents) - position(step.end_cents)),
            fill=_INK if step.is_balance else _ACCENT if step.is_accented else _PALE,
        )
        for place, step in enumerate(steps)
    ]
    return _WATERFALL.format(title=title, height=_HEIGHT + 4, bars=Markup().join(bars), zero=position(0), pale=_PALE)
