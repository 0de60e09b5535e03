"""Small charts as SVG, drawn on the server. Shapes have classes and attributes, and no style of their own."""

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

WIDTH, HEIGHT, GAP = 720, 120, 4
_LEAST: Final = 2


def bars(values: Sequence[int], labels: Sequence[str], title: str) -> Markup:
    """One bar for each value; `labels` are what each says when it is pointed at, `title` what is read out."""
    most, step = max(*values, 1), WIDTH / len(values)
    drawn = [
        Markup(
            '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"><title>{}</title></rect>'
        ).format(
            "bar" if value else "bar none",
            index * step + GAP / 2,
            HEIGHT - _tall(value, most),
            step - GAP,
            _tall(value, most),
            label,
        )
        for index, (value, label) in enumerate(zip(values, labels, strict=True))
    ]
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}" preserveAspectRatio="none">')
    return head.format(WIDTH, HEIGHT, title) + Markup("").join(drawn) + Markup("</svg>")


def _tall(value: int, most: int) -> float:
    """Something is seen to be more than nothing."""
    return _LEAST if value == 0 else max(2 * _LEAST, value / most * HEIGHT)
