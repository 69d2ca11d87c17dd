"""Charts drawn as SVG on the server: nothing to download, both colour schemes, and a unit test can read them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from gui.parts import short


@dataclass(frozen=True)
class Mark:
    """A measured point with its interval, such as an evaluation."""

    x: float
    y: float
    low: float
    high: float
    text: str


@dataclass(frozen=True)
class Frame:
    """The part of the plane a chart shows."""

    left: float
    right: float
    bottom: float
    top: float

    def across(self, x: float) -> float:
        """Position of x from the left edge, 0 to 1."""
        return (x - self.left) / (self.right - self.left)

    def down(self, y: float) -> float:
        """Position of y from the top edge, 0 to 1."""
        return (self.top - y) / (self.top - self.bottom)


def smooth(values: Sequence[float], weight: float) -> list[float]:
    """Exponential moving average, corrected for its start: s_t = Σ wᵏ y_{t−k} / Σ wᵏ. NaN weighs nothing."""
    total, mass, out = 0.0, 0.0, []
    for value in values:
        if math.isfinite(value):
            total, mass = weight * total + value, weight * mass + 1
            out.append(total / mass)
        else:
            out.append(math.nan)
    return out


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers that span [low, high]: steps of 1, 2 or 5 times a power of ten."""
    step = (high - low) / max(1, about)
    power = 10 ** math.floor(math.log10(step))
    step = next(size * power for size in (1, 2, 5, 10) if size * power >= step * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(place * step, 12) for place in range(first, last + 1)]


def frame(x: Sequence[float], y: Sequence[float]) -> Frame:
    """The smallest frame with a little air above and below that holds all finite values."""
    xs, ys = [v for v in x if math.isfinite(v)], [v for v in y if math.isfinite(v)]
    left, right = min(xs), max(xs)
    bottom, top = min(ys), max(ys)
    air = 0.06 * (top - bottom) or max(abs(top) * 0.1, 0.5)
    return Frame(left, right if right > left else left + 1, bottom - air, top + air)


def chart(
    title: str, x: Sequence[float], y: Sequence[float], *, weight: float = 0.0, level: float | None = None,
    marks: Sequence[Mark] = (), x_name: str = "steps", elem_id: str = "", right: float | None = None,
) -> str:
    """One line over x: the raw values always, the smoothed ones on top, an optional level and measured points.

    `right` extends the x axis, so that a run's curve grows into its full length.
    """
    points = [(a, b) for a, b in zip(x, y, strict=True) if math.isfinite(a) and math.isfinite(b)]
    if not points:
        return _waiting(title, elem_id)
    xs, ys = [a for a, _ in points], [b for _, b in points]
    extra = [level] if level is not None else []
    space = frame([0.0, *xs, *(m.x for m in marks), *([right] if right else [])],
                  [*ys, *extra, *(v for m in marks for v in (m.low, m.high))])
    soft = smooth(ys, weight)
    body = "".join((
        _grid(space), _level(space, level), f'<path class="raw" d="{_path(space, xs, ys)}"/>',
        f'<path class="soft" d="{_path(space, xs, soft)}"/>' if weight > 0 else "",
    ))
    solo = "" if weight > 0 else " solo"
    hover = {"x": [round(space.across(a), 4) for a in xs],
             "text": [_tip(a, b, s, x_name, weight) for a, b, s in zip(xs, ys, soft, strict=True)]}
    last = f'<span class="plot-last">{short(soft[-1])}</span>'
    return (f'<figure class="plot{solo}" id="{escape(elem_id)}" data-points="{len(points)}" data-last="{ys[-1]:.6g}">'
            f"<figcaption>{escape(title)}{last}{_legend(weight, level, bool(marks))}</figcaption>"
            f'<div class="plot-frame"><div class="plot-y">{_y_labels(space)}</div>'
            f'<div class="plot-area" data-chart="{escape(json.dumps(hover))}">'
            f'<svg viewBox="0 0 1000 1000" preserveAspectRatio="none" role="img" aria-label="{escape(title)}">'
            f"{body}</svg>"
            f'{_marks(space, marks)}<div class="plot-tip" hidden><span></span></div></div>'
            f'<div class="plot-x">{_x_labels(space, x_name)}</div></div></figure>')


def _tip(x: float, raw: float, soft: float, x_name: str, weight: float) -> str:
    where = f"{x:,.0f} {x_name}"
    return f"{where} · {short(raw)}" + (f" · smoothed {short(soft)}" if weight > 0 else "")


def _waiting(title: str, elem_id: str) -> str:
    return (f'<figure class="plot" id="{escape(elem_id)}" data-points="0"><figcaption>{escape(title)}</figcaption>'
            '<div class="plot-waiting">No values yet. The curve appears with the first episodes.</div></figure>')


def _path(space: Frame, xs: Sequence[float], ys: Sequence[float]) -> str:
    pairs = (f"{space.across(a) * 1000:.1f} {space.down(b) * 1000:.1f}" for a, b in zip(xs, ys, strict=True))
    drawn = " L".join(pairs)
    return f"M{drawn}" + (" h0.01" if len(xs) == 1 else "")


def _grid(space: Frame) -> str:
    rows = (space.down(value) * 1000 for value in ticks(space.bottom, space.top))
    return "".join(f'<path class="grid" d="M0 {row:.1f}H1000"/>' for row in rows)


def _level(space: Frame, level: float | None) -> str:
    return "" if level is None else f'<path class="level" d="M0 {space.down(level) * 1000:.1f}H1000"/>'


def _y_labels(space: Frame) -> str:
    return "".join(f'<span style="top:{space.down(value):.2%}">{short(value)}</span>'
                   for value in ticks(space.bottom, space.top))


def _x_labels(space: Frame, x_name: str) -> str:
    marks = [value for value in ticks(space.left, space.right, 8) if space.across(value) <= 0.94]
    labels = "".join(f'<span style="left:{space.across(value):.2%}">{short(value)}</span>' for value in marks)
    return f'{labels}<em>{escape(x_name)}</em>'


def _marks(space: Frame, marks: Sequence[Mark]) -> str:
    drawn = ""
    for mark in marks:
        top, height = space.down(mark.high), space.down(mark.low) - space.down(mark.high)
        drawn += (f'<i class="plot-bar" style="left:{space.across(mark.x):.2%};top:{top:.2%};height:{height:.2%}"></i>'
                  f'<i class="plot-dot" style="left:{space.across(mark.x):.2%};top:{space.down(mark.y):.2%}" '
                  f'title="{escape(mark.text)}"></i>')
    return drawn


def _legend(weight: float, level: float | None, has_marks: bool) -> str:
    items = [("raw", "raw"), ("soft", "smoothed")] if weight > 0 else []
    items += [("level", f"solved at {short(level)}")] if level is not None else []
    items += [("eval", "evaluation")] if has_marks else []
    return "".join(f'<span class="key {kind}">{escape(text)}</span>' for kind, text in items)
