"""The cost of a create as a stacked bar with its steps below, as SVG for light and dark pages. Pure."""

from collections.abc import Mapping
from html import escape
from typing import Final

WIDTH, LEFT, BAR, LINE = 880, 20, 44, 26
# Told apart in either scheme and by those who see few colours: hues in turns of light and dark.
COLOURS: Final = (
    *("#1d4ed8", "#8fb4ff", "#08734f", "#5fd6a4", "#b45309", "#fbbf24", "#9d174d", "#f0689f"),
    *("#6d28d9", "#b9a2ff", "#64748b"),
)
STYLE: Final = """<style>
text { font: 14px system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif; fill: #16213a }
.small { font-size: 12.5px; fill: #4f5b72 } .us { text-anchor: end } .floor { fill: #c4cede }
.no { font-size: 12px; font-weight: 700; fill: #fff; text-anchor: middle }
.no { paint-order: stroke; stroke: #16213a; stroke-width: 2.5 }
@media (prefers-color-scheme: dark) {
  text { fill: #e6ebf4 } .small { fill: #a7b2c6 } .floor { fill: #3a4866 } .no { fill: #fff }
}
</style>"""


def drawn(steps_us: Mapping[str, float], pass_through_us: float) -> str:
    """The picture, of microseconds by step; `pass_through_us` is a bar beside, on the same scale."""
    steps = {step: us for step, us in steps_us.items() if us > 0}
    total = sum(steps.values())
    scale = (WIDTH - 2 * LEFT) / max(total, pass_through_us)
    parts = [_text(LEFT, 26, f"One create by Dargah, durable: {total:,.0f} µs of CPU")]
    at = float(LEFT)
    for number, (colour, us) in enumerate(zip(COLOURS, steps.values(), strict=False), start=1):
        width = us * scale
        parts.append(f'<rect x="{at:.1f}" y="38" width="{width:.1f}" height="{BAR}" fill="{colour}"/>')
        if width >= 16:
            parts.append(_text(at + width / 2, 65, str(number), "no"))
        at += width
    parts.append(_text(LEFT, 112, f"A pass-through, which stores nothing: {pass_through_us:,.0f} µs"))
    parts.append(f'<rect class="floor" x="{LEFT}" y="122" width="{pass_through_us * scale:.1f}" height="16"/>')
    for number, (colour, (step, us)) in enumerate(zip(COLOURS, steps.items(), strict=False), start=1):
        y = 172 + (number - 1) * LINE
        parts.append(f'<rect x="{LEFT}" y="{y - 14}" width="22" height="18" rx="3" fill="{colour}"/>')
        parts.append(_text(LEFT + 11, y, str(number), "no"))
        parts.append(_text(LEFT + 34, y, step))
        parts.append(_text(WIDTH - LEFT - 90, y, f"{us:,.0f} µs", "us"))
        parts.append(_text(WIDTH - LEFT, y, f"{us / total:.0%}", "us small"))
    height = 172 + len(steps) * LINE
    described = "; ".join(f"{step}: {us:.0f} µs" for step, us in steps.items())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' role="img" aria-labelledby="t d">\n<title id="t">The CPU time of one create, by step</title>\n'
        f'<desc id="d">{escape(described)}</desc>\n{STYLE}\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    styled = f' class="{kind}"' if kind else ""
    return f'<text{styled} x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'
