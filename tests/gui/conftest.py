"""What the tests of the pages share."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

# Building a Gradio app leaves event loops behind that nobody closes (gradio 6.31). They are collected while the test
# that made them still runs, where the warnings about them are switched off.
GRADIO_LEAKS = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "builds_gradio" in getattr(item, "fixturenames", ()):
            item.add_marker(GRADIO_LEAKS)


@pytest.fixture
def builds_gradio() -> Iterator[None]:
    yield
    gc.collect()
