"""Who writes the answers, in one line of text: `builtin`, `gguf:PATH`, `ollama:MODEL`, …"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from copilot.answer import BuiltinAnswerer
from copilot.llms.base import Answerer
from copilot.llms.folder import FolderAnswerer, FolderSettings
from copilot.llms.gguf import GGUFAnswerer, GGUFSettings
from copilot.llms.langchain import LangChainAnswerer, LangChainSettings
from copilot.llms.server import OLLAMA, OllamaAnswerer, OpenAIAnswerer, ServerSettings
from rlcore.config import ConfigError, build, nearest, settings

# Kind → how it is written.
KINDS = {
    "builtin": "builtin",
    "gguf": "gguf:MODEL.gguf",
    "ollama": "ollama:MODEL[@http://127.0.0.1:11434]",
    "openai": "openai:http://127.0.0.1:8080/v1[#MODEL]",
    "transformers": "transformers:FOLDER",
    "langchain": 'langchain:module:Class[?{"argument": "value"}]',
}


def open_answerer(text: str) -> Answerer:
    """The answerer that a line of text names, with settings behind a `?`: `gguf:m.gguf?n_ctx=8192&n_threads=4`.

    The settings may also be one JSON object; what `LangChainSettings` lacks are arguments of the LangChain class.

    Raises:
        ConfigError: there is no such kind, setting, file, model or server.
        MissingExtra: an optional part is not installed.
    """
    kind, _, rest = text.strip().partition(":")
    if text.strip().endswith(".gguf") and kind not in KINDS:
        kind, rest = "gguf", text.strip()
    if kind not in KINDS:
        raise ConfigError(f"'{text}' names no answerer{nearest(kind, KINDS) or '.'} "
                          f"Known: {' · '.join(KINDS.values())}.")
    if (kind == "builtin") == bool(rest):
        raise ConfigError(f"'{text}' names no answerer. Write it as {KINDS[kind]}.")
    what, options = _split(rest)
    return _open(kind, what, options)


def _open(kind: str, what: str, options: Mapping[str, Any]) -> Answerer:
    match kind:
        case "gguf":
            return GGUFAnswerer(Path(what).expanduser(), build(GGUFSettings, options))
        case "ollama":
            model, _, address = what.partition("@")
            return OllamaAnswerer(model, address or OLLAMA, build(ServerSettings, options))
        case "openai":
            address, _, model = what.partition("#")
            return OpenAIAnswerer(address, model, build(ServerSettings, options))
        case "transformers":
            return FolderAnswerer(Path(what).expanduser(), build(FolderSettings, options))
        case "langchain":
            own = {one.name: options[one.name] for one in settings(LangChainSettings) if one.name in options}
            arguments = {name: value for name, value in options.items() if name not in own}
            return LangChainAnswerer(what, arguments, build(LangChainSettings, own))
        case _:
            return BuiltinAnswerer()


def _split(rest: str) -> tuple[str, dict[str, Any]]:
    """What is named, and its settings."""
    what, _, tail = rest.partition("?")
    if not tail.startswith("{"):
        pairs = [pair.partition("=") for pair in tail.split("&") if pair]
        return what, {name: value for name, _, value in pairs}
    try:
        return what, dict(json.loads(tail))
    except ValueError as error:
        raise ConfigError(f"The settings {tail} are no JSON object: {error}.") from None
