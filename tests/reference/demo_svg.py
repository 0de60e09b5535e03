"""`make demo-svg`: a real run of `dargah demo` as docs/images/demo.svg, a terminal whose lines come as they came.

Each line's width is said in the file (`textLength`), so that it looks the same whatever fonts its reader has.
"""

import re
import subprocess
import sys
import unicodedata
from dataclasses import dataclass
from html import escape
from pathlib import Path

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "demo.svg"
COLUMNS = 112
CHAR_WIDTH, LINE_HEIGHT, MARGIN, BAR = 7.8, 20, 18, 36
# A step took milliseconds; a reader needs longer, and about as long for each.
STEP_SECONDS = 0.9
STEP = re.compile(r"\s*(\d+)\. (.*?)\s+\((\d+) ms\)$")
_BUTTONS = ((22, "#e5675b"), (40, "#e3b23c"), (58, "#57b26a"))
_STYLE = """
text { font: 13px ui-monospace, 'DejaVu Sans Mono', Consolas, monospace; white-space: pre; fill: #1f2a44 }
.back { fill: #f6f8fc; stroke: #d5dcea } .bar { fill: #e8edf6 } .step { font-weight: 700 } .time { fill: #667089 }
.sent { fill: #1d4ed8 } .came { fill: #08734f } .end { fill: #08734f; font-weight: 700 }
g.part { animation: come .3s both } @keyframes come { from { opacity: 0 } }
@media (prefers-reduced-motion: reduce) { g.part { animation: none } }
@media (prefers-color-scheme: dark) {
  text { fill: #dfe6f3 } .back { fill: #0f1729; stroke: #2c3850 } .bar { fill: #1a2540 } .time { fill: #93a0b8 }
  .sent { fill: #8fb4ff } .came, .end { fill: #5fd6a4 }
}
"""


@dataclass(frozen=True)
class Line:
    text: str
    kind: str


def run() -> str:
    """What `dargah demo` says. Raises CalledProcessError when it fails."""
    command = [sys.executable, "-m", "proxy", "demo"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def titles(text: str) -> list[str]:
    """The steps' titles."""
    return [found[2] for line in text.splitlines() if (found := STEP.match(line))]


def render(text: str) -> str:
    """The picture of what a run said."""
    parts = _parts(["$ dargah demo", *text.rstrip().splitlines()])
    height = MARGIN + BAR + LINE_HEIGHT * sum(map(len, parts)) + MARGIN
    width = round(2 * MARGIN + COLUMNS * CHAR_WIDTH)
    drawn, at = [], MARGIN + BAR
    for number, part in enumerate(parts):
        drawn.append(f'<g class="part" style="animation-delay:{number * STEP_SECONDS:.1f}s">')
        for line in part:
            drawn.append(_line(line, at))
            at += LINE_HEIGHT
        drawn.append("</g>")
    title = f"A run of dargah demo: {len(titles(text))} steps from the order to the verified webhook"
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-labelledby="t"><title id="t">{title}</title><style>{_STYLE}</style>'
    )
    window = (
        f'<rect class="back" x=".5" y=".5" width="{width - 1}" height="{height - 1}" rx="10"/>'
        f'<path class="bar" d="M1 36V11A10 10 0 0 1 11 1H{width - 11}A10 10 0 0 1 {width - 1} 11V36z"/>'
        + "".join(f'<circle cx="{x}" cy="18" r="5.5" fill="{colour}"/>' for x, colour in _BUTTONS)
    )
    return "\n".join([head + window, *drawn, "</svg>\n"])


def _parts(lines: list[str]) -> list[list[Line]]:
    """The command, then each step with its lines, then the end."""
    parts: list[list[Line]] = []
    for line in lines:
        shown = _kind_of(line)
        if shown.kind in {"command", "step", "end"} or not parts:
            parts.append([])
        parts[-1].append(shown)
    return parts


def _kind_of(line: str) -> Line:
    text = line.rstrip()
    if len(text) > COLUMNS:
        text = text[: COLUMNS - 1] + "…"
    bare = text.strip()
    if text.startswith("$"):
        return Line(text, "command")
    if STEP.match(line):
        return Line(text, "step")
    if bare.startswith("The amount"):
        return Line(text, "end")
    return Line(text, "came" if bare.startswith("←") else "sent" if bare.startswith(("$", "POST", "GET")) else "told")


def _line(line: Line, at: int) -> str:
    text = line.text
    indent = len(text) - len(text.lstrip())
    text = text.lstrip()
    if not text:
        return ""
    # What is written from right to left joins its letters: its width is the font's to say.
    joined = any(unicodedata.bidirectional(char) in {"R", "AL"} for char in text)
    width = "" if joined else f' textLength="{len(text) * CHAR_WIDTH:.1f}" lengthAdjust="spacingAndGlyphs"'
    x = MARGIN + indent * CHAR_WIDTH
    return f'<text class="{line.kind}" x="{x:.1f}" y="{at + 14}"{width}>{escape(text)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(render(run()), "utf-8")
