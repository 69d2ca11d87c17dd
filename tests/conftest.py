"""What all tests share."""

import os

import pytest

# Before torch is imported anywhere: one thread, so that tests on shared cores neither fight nor differ in their sums.
os.environ["OMP_NUM_THREADS"] = "1"

# Warnings are errors (pyproject.toml); these come from others' compiled code, once, while it is imported.
# Raised as an error inside Box2D's module initialisation the first one crashes the interpreter.
_NOT_OURS = (
    "ignore:builtin type (SwigPyPacked|SwigPyObject|swigvarlink) has no __module__ attribute:DeprecationWarning",
)


def pytest_configure(config: pytest.Config) -> None:
    for line in _NOT_OURS:
        config.addinivalue_line("filterwarnings", line)
