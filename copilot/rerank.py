"""An optional cross-encoder: it reads the question and a passage together, which orders passages better than vectors.

Nogueira & Cho 2019, arXiv:1901.04085.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from copilot.hugging import loading, offline
from rlcore.config import ConfigError


class Reranker(Protocol):
    """Judges passages one by one."""

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, the higher the better."""
        ...


class CrossEncoder:
    """A cross-encoder in a folder as sentence-transformers writes it; nothing is fetched.

    Raises:
        ConfigError: there is no such folder, or it holds no model with one score per pair.
    """

    def __init__(self, folder: Path):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"'{folder}' has no config.json. Give the folder of a cross-encoder.")
        offline()
        from sentence_transformers import CrossEncoder as Library

        with loading(folder):
            self._model: Any = Library(str(folder), device="cpu", local_files_only=True, trust_remote_code=False)
        if self._model.num_labels != 1:
            raise ConfigError(f"'{folder}' gives {self._model.num_labels} scores for a pair. One for search gives one.")

    def scores(self, question: str, texts: Sequence[str]) -> list[float]:
        """How well each text answers the question, the higher the better."""
        pairs = [(question, text) for text in texts]
        return [float(score) for score in self._model.predict(pairs, show_progress_bar=False)]
