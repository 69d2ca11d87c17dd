"""The array types that cross from environments to agents."""

from typing import Any

import numpy.typing as npt

Array = npt.NDArray[Any]
