"""What the tests of the copilot share."""

from __future__ import annotations

import sys


def pytest_unconfigure() -> None:
    """Close the two files that llama_cpp opens when it is imported and leaves open (llama-cpp-python 0.3)."""
    if opened := sys.modules.get("llama_cpp._utils"):
        opened.outnull_file.close()
        opened.errnull_file.close()
