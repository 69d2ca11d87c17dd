"""python -m benchmarks speed|learning [--only TEXT] [--repeats N]: prints one Markdown table."""

from __future__ import annotations

import argparse
import sys

from benchmarks import learning, speed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", choices=("speed", "learning"))
    parser.add_argument("--only", default="", help="only tasks whose name contains this")
    parser.add_argument("--repeats", type=int, default=3, help="repeats per task, or seeds")
    options = parser.parse_args()
    measure = {"speed": speed.run, "learning": learning.run}[options.what]
    for line in measure(options.repeats, options.only):
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
