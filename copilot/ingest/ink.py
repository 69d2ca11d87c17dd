"""What a page of a PDF shows of its text: `Ink` watches pypdf draw it and takes away what no reader sees.

Hidden is text that is drawn without ink (render modes 3 and 7), in the colour of what lies below it, too small to see,
or off the page. Where that cannot be told, as below pictures and patterns, text counts as seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

Colour = tuple[float, ...] | None  # red, green, blue in [0, 1]; None: cannot be told
Box = tuple[float, float, float, float]    # left, bottom, right, top in points
Matrix = Sequence[float]

BLACK, WHITE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
_SAME = 0.03                       # difference of two colours, per channel, that no eye tells
_TINY = 0.5                        # height in points that nobody reads
_WIDE = 0.6                        # width of a character as a share of its height, rather too much
_SCAN = 0.5                        # of a page, from which pictures make it a scan
_EVERYWHERE = (-1e9, -1e9, 1e9, 1e9)
_INLINE, _UNKNOWN = ((0.0, 0.0, 1.0, 1.0), True), (_EVERYWHERE, False)

_FILLS = {b"f", b"F", b"f*", b"B", b"B*", b"b", b"b*"}
_ENDS = {b"S", b"s", b"n"}
_INITIAL = {"/DeviceGray": 1, "/CalGray": 1, "/DeviceRGB": 3, "/CalRGB": 3, "/DeviceCMYK": 4}      # components


@dataclass(frozen=True)
class _State:
    """What q keeps and Q brings back."""

    fill: Colour = BLACK
    components: int = 1            # of the colour space; 0: cannot be told
    mode: int = 0
    size: float = 0.0
    font: str = ""


class Ink:
    """Visitors for `extract_text`. `hidden` and `unpainted` count the strings that were taken away.

    box         the part of the page that is shown
    bitmaps     names of fonts whose size says nothing about how large they are (Type 3)
    things      where pictures and forms draw before they are placed, by name, and which are pictures
    keep_layer  leave text without ink: on a scan it says what the picture shows
    """

    def __init__(self, box: Box, bitmaps: frozenset[str], things: Mapping[str, tuple[Box, bool]], *,
                 keep_layer: bool = False):
        self._box, self._bitmaps, self._things, self._keep_layer = box, bitmaps, things, keep_layer
        self._state, self._stack = _State(), list[_State]()
        self._forms: list[tuple[_State, list[_State]]] = []
        self._painted: list[tuple[Box, Colour]] = [(_EVERYWHERE, WHITE)]
        self._path: list[tuple[float, float]] = []
        self._run = 0              # characters since the line's beginning
        self.hidden = self.unpainted = 0
        self.pictures = 0.0        # area of the largest one, as a share of the page

    def before(self, operator: bytes, operands: Any, ctm: Matrix, line: Matrix) -> None:
        """See an operator that is about to be drawn, and empty its text if it is hidden."""
        try:
            self._see(operator, operands, ctm, line)
        except (TypeError, ValueError, IndexError, AttributeError):    # damage hides nothing
            return

    def after(self, operator: bytes, operands: Any, ctm: Matrix, line: Matrix) -> None:
        """See that a form has ended."""
        del operands, ctm, line
        if operator == b"Do" and self._forms:
            self._state, self._stack = self._forms.pop()

    def _see(self, operator: bytes, operands: Any, ctm: Matrix, line: Matrix) -> None:
        match operator:
            case b"q":
                self._stack.append(self._state)
            case b"Q":
                self._state = self._stack.pop() if self._stack else self._state
            case b"Tr":
                self._state = replace(self._state, mode=int(operands[0]))
            case b"Tf":
                self._state = replace(self._state, font=str(operands[0]), size=float(operands[1]))
            case b"g" | b"rg" | b"k" | b"cs" | b"sc" | b"scn":
                self._colour(operator, operands)
            case b"Do" | b"INLINE IMAGE":
                self._place(operator, operands, ctm)
            case b"BT" | b"Td" | b"TD" | b"Tm" | b"T*":
                self._run = 0
            case b"Tj" | b"TJ" | b"'" | b'"':
                self._text(operator, operands, ctm, line)
            case _:
                self._draw(operator, operands, ctm)

    def _colour(self, operator: bytes, operands: Any) -> None:
        if operator == b"cs":
            count = _INITIAL.get(str(operands[0]), 0)
            self._state = replace(self._state, fill=BLACK if count else None, components=count)
            return
        values = [float(value) for value in operands if isinstance(value, int | float)]
        named = {b"g": 1, b"rg": 3, b"k": 4}.get(operator)
        # Three or four numbers are red, green, blue or inks whatever their profile; one may be any ink.
        count = named or (len(values) if len(values) > 1 else self._state.components)
        self._state = replace(self._state, fill=_rgb(values) if len(values) == len(operands) == count else None,
                              components=count)

    def _draw(self, operator: bytes, operands: Any, ctm: Matrix) -> None:
        """Follow what is painted, as boxes."""
        if operator == b"re":
            x, y, width, height = map(float, operands)
            self._path += [_at(ctm, x + dx, y + dy) for dx in (0, width) for dy in (0, height)]
        elif operator in (b"m", b"l", b"c", b"v", b"y"):
            self._path += [_at(ctm, float(x), float(y)) for x, y in list(pairwise(operands))[::2]]
        elif operator == b"sh":
            self._painted.append((_EVERYWHERE, None))
        elif operator in _FILLS or operator in _ENDS:
            if operator in _FILLS and self._path and not self._forms:
                self._painted.append((_around(self._path), self._state.fill))
            self._path = []

    def _place(self, operator: bytes, operands: Any, ctm: Matrix) -> None:
        """A picture, or a form: a page within the page, in coordinates of its own."""
        name = str(operands[0]) if operator == b"Do" else ""
        (left, bottom, right, top), is_picture = self._things.get(name, _UNKNOWN) if name else _INLINE
        if not self._forms:
            where = _around([_at(ctm, x, y) for x in (left, right) for y in (bottom, top)])
            self._painted.append((where, None))
            if is_picture:
                self.pictures = max(self.pictures, _area(_common(where, self._box)) / (_area(self._box) or 1.0))
        if operator == b"Do":
            self._forms.append((self._state, self._stack))
            self._stack = []

    def _text(self, operator: bytes, operands: Any, ctm: Matrix, line: Matrix) -> None:
        said = operands[2] if operator == b'"' else operands[0]
        pieces = [piece for piece in said if isinstance(piece, str | bytes)] if operator == b"TJ" else [said]
        if operator in (b"'", b'"'):
            self._run = 0
        self._run += sum(map(len, pieces))
        unpainted = self._state.mode in (3, 7)
        if not any(piece.strip() for piece in pieces) or not (unpainted or self._unseen(ctm, line)):
            return
        if unpainted:
            self.unpainted += 1
            if self._keep_layer:
                return
        self.hidden += 1
        empty = type(said)()
        operands[2 if operator == b'"' else 0] = empty

    def _unseen(self, ctm: Matrix, line: Matrix) -> bool:
        """Whether text with ink is too small, off the page, or of the colour of its ground."""
        state = self._state
        whole = _times(line, ctm)
        height = abs(state.size) * (whole[2] ** 2 + whole[3] ** 2) ** 0.5
        if state.size == 0 or height == 0:
            return True
        if self._forms:                # its place and scale on the page cannot be told
            return False
        if height < _TINY and state.font not in self._bitmaps:
            return True
        length = state.size * _WIDE * self._run
        corners = [_at(whole, x, y) for x in (0, length) for y in (-state.size / 3, state.size)]
        if state.font not in self._bitmaps and not _meet(_around(corners), self._box):
            return True
        ground = self._ground(*_at(whole, state.size * 0.1, state.size * 0.25))
        return state.mode in (0, 4) and _alike(state.fill, ground)

    def _ground(self, x: float, y: float) -> Colour:
        """The colour that was painted last at a point."""
        return next(colour for (left, bottom, right, top), colour in reversed(self._painted)
                    if left <= x <= right and bottom <= y <= top)


def shown(page: Any) -> tuple[str, str]:
    """The text that a page shows, and all of its text where that is more.

    Text without ink over a picture of the whole page, or as the only text, is what a scan says, and is kept.
    """
    box = _box(page)
    bitmaps = frozenset(name for name, font in _resources(page, "/Font").items() if font.get("/Subtype") == "/Type3")
    things = {name: extent for name, thing in _resources(page, "/XObject").items() if (extent := _extent(thing))}
    ink = Ink(box, bitmaps, things)
    text = page.extract_text(visitor_operand_before=ink.before, visitor_operand_after=ink.after)
    if ink.unpainted and (ink.pictures >= _SCAN or not text.strip()):
        ink = Ink(box, bitmaps, things, keep_layer=True)
        text = page.extract_text(visitor_operand_before=ink.before, visitor_operand_after=ink.after)
    return text, page.extract_text() if ink.hidden else text


def _box(page: Any) -> Box:
    """What a viewer shows: the crop box within the media box."""
    boxes = [_around([(float(one.left), float(one.bottom)), (float(one.right), float(one.top))])
             for one in (page.mediabox, page.cropbox)]
    both = _common(*boxes)
    return both if _area(both) else boxes[0]


def _resources(page: Any, kind: str) -> dict[str, Any]:
    """The page's fonts or pictures and forms, by name; damaged ones are not among them."""
    found: dict[str, Any] = {}
    with suppress(KeyError, TypeError, AttributeError):
        for name in page["/Resources"][kind]:
            found[name] = page["/Resources"][kind][name]
    return found


def _extent(thing: Any) -> tuple[Box, bool] | None:
    """Where a picture or a form draws before it is placed, and whether it is a picture."""
    with suppress(KeyError, TypeError, AttributeError, ValueError):
        if thing["/Subtype"] == "/Image":
            return (0.0, 0.0, 1.0, 1.0), True
        left, bottom, right, top = map(float, thing["/BBox"])
        matrix = [float(value) for value in thing.get("/Matrix", (1, 0, 0, 1, 0, 0))]
        return _around([_at(matrix, x, y) for x in (left, right) for y in (bottom, top)]), False
    return None


def _rgb(values: Sequence[float]) -> Colour:
    if len(values) == 1:
        return (values[0],) * 3
    if len(values) == 4:
        return tuple((1 - ink) * (1 - values[3]) for ink in values[:3])
    return tuple(values)


def _alike(one: Colour, other: Colour) -> bool:
    return one is not None and other is not None and all(
        abs(a - b) < _SAME for a, b in zip(one, other, strict=True))


def _times(one: Matrix, other: Matrix) -> tuple[float, ...]:
    a, b, c, d, e, f = one
    g, h, i, j, k, m = other
    return a * g + b * i, a * h + b * j, c * g + d * i, c * h + d * j, e * g + f * i + k, e * h + f * j + m


def _at(matrix: Matrix, x: float, y: float) -> tuple[float, float]:
    a, b, c, d, e, f = matrix
    return a * x + c * y + e, b * x + d * y + f


def _around(points: Sequence[tuple[float, float]]) -> Box:
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _common(one: Box, other: Box) -> Box:
    return max(one[0], other[0]), max(one[1], other[1]), min(one[2], other[2]), min(one[3], other[3])


def _meet(one: Box, other: Box) -> bool:
    left, bottom, right, top = _common(one, other)
    return left < right and bottom < top


def _area(box: Box) -> float:
    return max(0.0, box[2] - box[0]) * max(0.0, box[3] - box[1])
