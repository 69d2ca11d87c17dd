"""A language model in a local folder, through transformers, in this process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from copilot.hugging import offline
from copilot.llms.turns import ModelAnswerer, Turn
from rlcore.config import ConfigError, check_ranges, setting

_CONTEXT = 4096                    # tokens, where the model's config does not say
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "tekken.json", "spiece.model",
               "vocab.json", "vocab.txt")
_NEEDS = "Give a folder with config.json, a tokenizer and .safetensors files."


@dataclass(frozen=True, kw_only=True)
class FolderSettings:
    """How a model in a folder is run."""

    n_ctx: int = setting(4096, "context window, at most the model's own", low=512, unit="tokens")
    max_tokens: int = setting(500, "longest answer", low=16, unit="tokens")
    source_tokens: int = setting(1800, "longest prompt; a CPU reads some 70 tokens a second", low=128, unit="tokens")
    temperature: float = setting(0.2, "randomness of the wording", low=0.0, high=2.0)
    device: str = setting("cpu", "torch device, such as cpu or cuda")

    def __post_init__(self) -> None:
        check_ranges(self)


class Stopped(Exception):
    """Ends a forward pass whose result nobody waits for."""


class FolderAnswerer(ModelAnswerer):
    """Lets a model in a transformers folder write the answers.

    Only safetensors are read and no code of the folder is run.

    Raises:
        ConfigError: the folder holds no causal language model with safetensors and a tokenizer.
    """

    def __init__(self, folder: Path | str, settings: FolderSettings | None = None):
        self.path, self.settings = Path(folder), settings or FolderSettings()
        self._model, self._tokenizer = _load(self.path, self.settings.device)
        own = getattr(self._model.config.get_text_config(), "max_position_embeddings", None) or _CONTEXT
        super().__init__(min(own, self.settings.n_ctx), self.settings.max_tokens, self.settings.source_tokens)
        self._leave = threading.Event()        # whoever has the model should let go of it
        _ask_between_layers(self._model, self._leave)

    def count(self, text: str) -> int:
        """Tokens of a text, by the model's own tokenizer."""
        return len(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _speak(self, text: str, turn: Turn) -> Generator[str]:
        from transformers import TextIteratorStreamer

        self._leave.clear()
        turn.on_stop(self._leave.set)
        streamer = TextIteratorStreamer(self._tokenizer, skip_prompt=True, skip_special_tokens=True)
        failed: queue.SimpleQueue[Exception] = queue.SimpleQueue()
        worker = threading.Thread(target=self._write, args=(text, streamer, failed), daemon=True)
        worker.start()
        try:
            yield from filter(None, streamer)
        finally:
            self._leave.set()
            worker.join()                      # one generation at a time
        if not failed.empty():
            raise failed.get()

    def _write(self, text: str, streamer: Any, failed: queue.SimpleQueue[Exception]) -> None:
        """Generate into the streamer, until the answer ends or nobody reads on."""
        sampling = {"do_sample": True, "temperature": self.settings.temperature} if self.settings.temperature else {
            "do_sample": False}
        try:
            with _no_gradients():
                self._model.generate(**self._inputs(text), streamer=streamer, max_new_tokens=self.settings.max_tokens,
                                     pad_token_id=self._tokenizer.pad_token_id or self._tokenizer.eos_token_id,
                                     **sampling)
        except Stopped:
            streamer.end()
        except Exception as error:             # raised again where the answer is read
            failed.put(error)
            streamer.end()

    def _inputs(self, text: str) -> Any:
        """The prompt in the model's chat template, or as it is where there is none."""
        if self._tokenizer.chat_template:
            inputs = self._tokenizer.apply_chat_template([{"role": "user", "content": text}], return_tensors="pt",
                                                         add_generation_prompt=True, return_dict=True)
        else:
            inputs = self._tokenizer(text, return_tensors="pt")
        return inputs.to(self._model.device)


def _no_gradients() -> Any:
    import torch

    return torch.inference_mode()


def _ask_between_layers(model: Any, leave: threading.Event) -> None:
    """Have each layer ask first: a long prompt is one forward pass, and a stop must not wait for its end."""
    import torch

    def ask(*_: Any) -> None:
        if leave.is_set():
            raise Stopped

    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList):
            for layer in module:
                layer.register_forward_pre_hook(ask)


def _load(folder: Path, device: str) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise ConfigError(f"'{folder}' has no config.json. Give the folder of a transformers language model.")
    if not any((folder / name).is_file() for name in _TOKENIZERS):
        raise ConfigError(f"'{folder}' has no tokenizer. {_NEEDS}")
    offline()
    from transformers import AutoModelForCausalLM, AutoTokenizer

    safe = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), **safe)
        model: Any = AutoModelForCausalLM.from_pretrained(str(folder), use_safetensors=True, dtype="auto", **safe)
        return model.to(device).eval(), tokenizer
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(" .:")
        raise ConfigError(f"'{folder}' could not be loaded as a language model: {reason}. {_NEEDS}") from None
