"""Any chat model that follows LangChain's interface, by the name of its class."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import Any

from copilot.llms.base import estimate
from copilot.llms.turns import ModelAnswerer, Turn
from rlcore.config import ConfigError, MissingExtra, check_ranges, setting

_NAME = "Name a chat model as module:Class, such as langchain_ollama:ChatOllama"


@dataclass(frozen=True, kw_only=True)
class LangChainSettings:
    """How a chat model is run. A class that has `max_tokens` or `temperature` among its fields is told them."""

    context: int = setting(4096, "the model's context window", low=512, unit="tokens")
    max_tokens: int = setting(500, "longest answer", low=16, unit="tokens")
    source_tokens: int = setting(1800, "longest prompt", low=128, unit="tokens")
    temperature: float = setting(0.2, "randomness of the wording", low=0.0, high=2.0)

    def __post_init__(self) -> None:
        check_ranges(self)


class LangChainAnswerer(ModelAnswerer):
    """Lets a LangChain chat model write the answers. What it contacts is up to its class.

    name        module:Class of a `BaseChatModel`
    arguments   for the class, beside what the settings say

    Raises:
        MissingExtra: langchain-core is not installed.
        ConfigError: there is no such class, it is no chat model, or it refuses its arguments.
    """

    def __init__(self, name: str, arguments: Mapping[str, Any], settings: LangChainSettings | None = None):
        self.name, self.settings = name, settings or LangChainSettings()
        self._model = _make(name, arguments, self.settings)
        super().__init__(self.settings.context, self.settings.max_tokens, self.settings.source_tokens)

    def count(self, text: str) -> int:
        """Tokens of a text, rather too many: LangChain's own count would download a tokenizer."""
        return estimate(text)

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        from langchain_core.messages import HumanMessage
        from langsmith import tracing_context

        del turn                           # between two words `Turns` looks by itself
        with tracing_context(enabled=False):   # an environment variable must not send questions to a tracing service
            for chunk in self._model.stream([HumanMessage(text)]):
                yield _text(chunk.content)


def _text(content: Any) -> str:
    """A message's text: models give a string, or a list of blocks of which some are text."""
    if isinstance(content, str):
        return content
    return "".join(block if isinstance(block, str) else str(block.get("text", "")) for block in content)


def _make(name: str, arguments: Mapping[str, Any], settings: LangChainSettings) -> Any:
    try:
        from langchain_core.language_models import BaseChatModel
    except ImportError:
        raise MissingExtra("Answering with a LangChain chat model", "langchain") from None
    module, _, kind = name.partition(":")
    if not (module and kind):
        raise ConfigError(f"'{name}' names no class. {_NAME}.")
    try:
        found = getattr(importlib.import_module(module), kind)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"There is no '{name}' ({error}). {_NAME}, and install its package.") from None
    if not (isinstance(found, type) and issubclass(found, BaseChatModel)):
        raise ConfigError(f"'{name}' is no LangChain chat model. Name a subclass of BaseChatModel as module:Class.")
    told: dict[str, Any] = {key: getattr(settings, key) for key in ("max_tokens", "temperature")
                            if key in found.model_fields}
    told |= arguments
    try:
        return found(**told)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{name} refuses its arguments {told}: {error}") from None
