"""The chart of a day: what was paid, hour by hour, beside the days before. Axes, units and a legend; no script."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from proxy.console.daily_totals import Day, Days
from proxy.console.language import Pair, Words
from proxy.kernel.frozen import dataclass
from proxy.kernel.money import RIALS_PER_TOMAN

WIDTH, HEIGHT, GAP = 720, 160, 4
_LEAST: Final = 2
EARLIER: Final[dict[int, tuple[str, Pair]]] = {
    1: ("yesterday", ("دیروز", "Yesterday")),
    7: ("week", ("همین روز هفتهٔ پیش", "The same day last week")),
}
_UNITS: Final = (
    (10**9, ("میلیارد تومان", "billion toman")),
    (10**6, ("میلیون تومان", "million toman")),
    (10**3, ("هزار تومان", "thousand toman")),
    (1, ("تومان", "toman")),
)


@dataclass(frozen=True, slots=True)
class Chart:
    """`levels` are the labels of the vertical axis, the highest first, in `unit`."""

    drawing: Markup
    levels: Sequence[str]
    unit: str


def chart_of(words: Words, days: Days) -> Chart:
    today = days.today.hours_rials
    earlier = {back: day.hours_rials for back, day in sorted(days.before.items())}
    top = _top(max([*today, *(rials for hours in earlier.values() for rials in hours)]) // RIALS_PER_TOMAN)
    size, unit = next((size, unit) for size, unit in _UNITS if top >= size)
    labels = [_label(words, hour, days.today) for hour in range(len(today))]
    title = words.t("مبلغ پرداخت‌شدهٔ امروز، ساعت به ساعت", "Paid today, hour by hour")
    drawn = [
        *_bars(today, labels, top * RIALS_PER_TOMAN),
        *(_line(hours, top * RIALS_PER_TOMAN, *EARLIER[back], words) for back, hours in earlier.items()),
    ]
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">')
    drawing = head.format(WIDTH, HEIGHT, title) + _grid() + Markup("").join(drawn) + Markup("</svg>")
    return Chart(drawing, [words.digits(_short(top * part / 2 / size)) for part in (2, 1, 0)], words.pair(unit))


def _top(most: int) -> int:
    """The next round number: 1, 2 or 5 with zeros, so that its half is one, too. At least 2."""
    power = 1
    while power * 10 <= most:
        power *= 10
    return next(step * power for step in (2, 4, 6, 10, 20) if step * power >= most)


def _short(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0")


def _label(words: Words, hour: int, day: Day) -> str:
    toman, count = words.toman(day.hours_rials[hour]), words.number(day.hours_paid[hour])
    return words.t(
        f"ساعت {words.digits(hour)}: {toman} تومان، {count} پرداخت", f"{hour}:00: {toman} toman, {count} paid"
    )


def _grid() -> Markup:
    lines = [
        Markup('<line class="grid" x1="0" x2="{}" y1="{}" y2="{}" vector-effect="non-scaling-stroke"/>').format(
            WIDTH, y, y
        )
        for y in (0, HEIGHT // 2, HEIGHT)
    ]
    return Markup("").join(lines)


def _bars(values: Sequence[int], labels: Sequence[str], top: int) -> list[Markup]:
    """One for each hour, with its label as a tooltip."""
    step = WIDTH / len(values)
    return [
        Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>').format(
            "bar" if value else "bar none",
            index * step + GAP / 2,
            HEIGHT - _tall(value, top),
            step - GAP,
            _tall(value, top),
            label,
        )
        for index, (value, label) in enumerate(zip(values, labels, strict=True))
    ]


def _line(values: Sequence[int], top: int, name: str, label: Pair, words: Words) -> Markup:
    """A day before: a step for each hour, at the height that its bar would have."""
    step = WIDTH / len(values)
    heights = [HEIGHT - value / top * HEIGHT for value in values]
    points = [f"0,{heights[0]:.1f}"]
    for hour, (before, after) in enumerate(pairwise(heights), 1):
        points += [f"{hour * step:.1f},{before:.1f}", f"{hour * step:.1f},{after:.1f}"]
    points.append(f"{WIDTH},{heights[-1]:.1f}")
    drawn = Markup('<polyline class="{}" points="{}" vector-effect="non-scaling-stroke"><title>{}</title></polyline>')
    return drawn.format(f"line {name}", " ".join(points), words.pair(label))


def _tall(value: int, top: int) -> float:
    """Something is seen to be more than nothing."""
    return _LEAST if value == 0 else max(2 * _LEAST, value / top * HEIGHT)
