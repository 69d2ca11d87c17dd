"""Speed and learning, ours beside peers. `python -m benchmarks speed` and `python -m benchmarks learning`."""
