"""What the browser tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from driving import ROOT, Window, chromium, window


@pytest.fixture(scope="session")
def executable() -> str:
    found = chromium()
    if found is None:
        reason = "Chromium is not installed (Debian: apt-get install chromium)."
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def index() -> Path:
    """The index that the app itself uses, or that COPILOT_INDEX names; the first app that needs it builds it."""
    return Path(os.environ.get("COPILOT_INDEX") or ROOT / ".index")


@pytest.fixture
def shown(executable: str) -> Iterator[Window]:
    with window(executable) as opened:
        yield opened
