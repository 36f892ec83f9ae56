"""A plot of growth as SVG: both axes logarithmic, a line a subject, its name at its end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 70, 150, 50, 50
COLOURS = ("#0b6e4f", "#c1440e", "#3a5a98", "#8a6d00", "#6b3fa0")


@dataclass(frozen=True)
class Series:
    name: str
    points: Sequence[tuple[float, float]]


def growth_svg(series: Sequence[Series], *, title: str, x_label: str, y_label: str) -> str:
    x = _Axis.over([x for one in series for x, _ in one.points], LEFT, WIDTH - RIGHT)
    y = _Axis.over([y for one in series for _, y in one.points], HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        ' font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _text(LEFT, 24, title, size=15),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label, anchor="middle"),
        _text(12, TOP - 12, y_label),
    ]
    for decade in x.decades:
        at = x.place(decade)
        parts.append(_line(at, TOP, at, HEIGHT - BOTTOM))
        parts.append(_text(at, HEIGHT - BOTTOM + 18, _short(decade), anchor="middle"))
    for decade in y.decades:
        at = y.place(decade)
        parts.append(_line(LEFT, at, WIDTH - RIGHT, at))
        parts.append(_text(LEFT - 8, at + 4, _short(decade), anchor="end"))
    for one, colour in zip(series, COLOURS, strict=False):
        places = [(x.place(a), y.place(b)) for a, b in one.points]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3.5" fill="{colour}"/>' for a, b in places]
        end_x, end_y = places[-1]
        label = f"{one.name}: {one.points[-1][1]:.3g}"
        parts.append(_text(end_x + 8, end_y + 4, label, colour=colour))
    return "\n".join([*parts, "</svg>", ""])


@dataclass(frozen=True)
class _Axis:
    low: int
    high: int
    start: float
    end: float

    @classmethod
    def over(cls, values: Sequence[float], start: float, end: float) -> "_Axis":
        low = math.floor(math.log10(min(values)))
        return cls(low, max(math.ceil(math.log10(max(values))), low + 1), start, end)

    @property
    def decades(self) -> list[float]:
        return [10.0**power for power in range(self.low, self.high + 1)]

    def place(self, value: float) -> float:
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)


def _short(value: float) -> str:
    for limit, suffix in ((1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:g}{suffix}"
    return f"{value:g}"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, colour: str = "#222"
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{colour}">{escape(text)}</text>'
    )


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="#ddd"/>'
