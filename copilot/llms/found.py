"""The answerers that can be chosen on this machine without typing: the built-in one, model files, Ollama's models."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from copilot.llms.server import OLLAMA, is_loopback
from copilot.models import MODELS, models, readable

_PROBE_S = 1.0                     # a server on this machine answers at once, or it is not there


@dataclass(frozen=True)
class Choice:
    """One answerer."""

    spec: str                      # as `open_answerer` takes it
    title: str


def choices(folder: Path = MODELS, ollama: str = OLLAMA) -> list[Choice]:
    """What can be chosen: the built-in answerer, whole models in the folder, and what Ollama serves here."""
    here = [Choice(model.spec, f"{title(model.spec)} · {readable(model.size)}") for model in models(folder)
            if model.complete and model.kind in ("gguf", "transformers")]
    served = [Choice(spec, title(spec)) for spec in (f"ollama:{name}" for name in ollama_models(ollama))]
    return [Choice("builtin", title("builtin")), *here, *served]


def title(spec: str) -> str:
    """An answerer's line as people read it: `smol.gguf`, `qwen3:4b · Ollama`."""
    kind, _, rest = spec.partition(":")
    what = rest.partition("?")[0]
    match kind:
        case "builtin":
            return "Built-in answerer"
        case "gguf":
            return Path(what).name
        case "transformers":
            return f"{Path(what).name} · transformers"
        case "ollama":
            return f"{what.partition('@')[0]} · Ollama"
        case "openai":
            address, _, model = what.partition("#")
            return " · ".join(filter(None, (model, urlsplit(address).netloc or address.partition("/")[0])))
        case _:
            return f"{what.rpartition(':')[2]} · LangChain"


def ollama_models(address: str = OLLAMA) -> list[str]:
    """The names of the models that an Ollama server on this machine has; none if no server answers."""
    parts = urlsplit(address)
    if not is_loopback(parts.hostname or ""):
        return []
    with closing(http.client.HTTPConnection(parts.hostname or "", parts.port or 80, timeout=_PROBE_S)) as connection:
        try:
            connection.request("GET", "/api/tags")
            listed = json.loads(connection.getresponse().read())["models"]
            return sorted(str(entry["name"]) for entry in listed)
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
            return []                  # whoever listens there, it is no Ollama
