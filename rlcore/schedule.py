"""How a setting changes over a run."""

from typing import Literal

Decay = Literal["constant", "linear"]


def scheduled(start: float, decay: Decay, progress: float) -> float:
    """The value after a share `progress` of the run: constant, or falling to zero."""
    return start if decay == "constant" else start * max(0.0, 1 - progress)


def linear(start: float, end: float, progress: float) -> float:
    """From start to end as progress goes from 0 to 1, then end."""
    return start + (end - start) * min(1.0, progress)
