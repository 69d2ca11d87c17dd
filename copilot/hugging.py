"""Hugging Face's libraries, kept off the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rlcore.config import ConfigError


def offline() -> None:
    """Forbid them the network and progress bars. To be called before anything of theirs is imported: they look once."""
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library's gap


@contextmanager
def loading(folder: Path) -> Iterator[None]:
    """Turn what sentence-transformers says of a folder that it cannot load into one sentence.

    Raises:
        ConfigError: it could not be loaded.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"'{folder}' could not be loaded by sentence-transformers: {reason}") from None
