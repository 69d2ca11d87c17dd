"""python -m benchmarks speed|costs|learning|long|retrieval [--only TEXT] [--repeats N]: prints one Markdown table."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator

from benchmarks import costs, learning, retrieval, speed


def main() -> None:
    """Measure and print."""
    measures: dict[str, Callable[[int, str], Iterator[str]]] = {
        "speed": speed.run, "costs": costs.run, "learning": learning.run, "long": learning.run_long,
        "retrieval": retrieval.run}
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=tuple(measures))
    parser.add_argument("--only", default="", help="only tasks whose name contains this")
    parser.add_argument("--repeats", type=int, default=3, help="repeats per task, or seeds")
    options = parser.parse_args()
    for line in measures[options.what](options.repeats, options.only):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
