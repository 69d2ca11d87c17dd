"""The process that has a GGUF model: `python -m copilot.llms.gguf_process MODEL SETTINGS`, started by `gguf.py`.

In comes {"generate": n, "prompt": text}, {"stop": n} or {"count": text}, a line each; out goes {"ready": true} or
{"failed": why}, then {"number": n, "piece": text} and at last {"number": n}, or {"counted": tokens}. It ends when
nobody can ask any more.
"""

from __future__ import annotations

import ctypes
import json
import os
import queue
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

Settings = Mapping[str, Any]


class Host:
    """Owns the model; generates on the thread that calls `serve`, listens on another."""

    def __init__(self, model: Any, settings: Settings, out: IO[str]):
        self._model, self._settings, self._out = model, settings, out
        self._abort = _abort_flag(model)
        self._asked: queue.SimpleQueue[tuple[int, str]] = queue.SimpleQueue()
        self._changing, self._writing = threading.Lock(), threading.Lock()
        self._current, self._stopped = 0, 0        # numbers of generations, which only grow

    def serve(self) -> None:
        """Generate what is asked for, one after the other."""
        threading.Thread(target=self._listen, daemon=True).start()
        self._say({"ready": True})
        while True:
            self._generate(*self._asked.get())

    def _listen(self) -> None:
        for line in sys.stdin:
            message = json.loads(line)
            if "generate" in message:
                self._asked.put((message["generate"], message["prompt"]))
            elif "stop" in message:
                self._stop(message["stop"])
            else:
                self._say({"counted": len(self._model.tokenize(message["count"].encode(), add_bos=False))})
        os._exit(0)                        # whoever asked is gone; a generation that goes on would be for nobody

    def _stop(self, number: int) -> None:
        with self._changing:
            self._stopped = max(self._stopped, number)
            if self._current == number:
                self._abort[0] = b"!"

    def _generate(self, number: int, text: str) -> None:
        with self._changing:
            self._current = number
            self._abort[0] = b"!" if self._stopped >= number else b"\0"
        try:
            for piece in self._spoken(text) if self._stopped < number else ():
                if self._stopped >= number:
                    break
                self._say({"number": number, "piece": piece})
            self._say({"number": number})
        except Exception as error:         # an aborted decode is no failure
            self._say({"number": number} if self._stopped >= number else
                      {"number": number, "failed": f"{type(error).__name__}: {error}"})
        finally:
            with self._changing:
                self._current = 0
            if self._stopped >= number:
                self._model.reset()        # half a prompt may be in its memory
                self._model._ctx.kv_cache_clear()

    def _spoken(self, text: str) -> Iterator[str]:
        """The model's words, with its chat template (rendered in a sandbox by llama-cpp-python)."""
        messages = [{"role": "user", "content": text}]      # not every template knows a system role
        limits = {name: self._settings[name] for name in ("max_tokens", "temperature")}
        for event in self._model.create_chat_completion(messages, stream=True, **limits):
            if piece := event["choices"][0]["delta"].get("content"):
                yield piece

    def _say(self, message: Mapping[str, Any]) -> None:
        with self._writing:
            self._out.write(json.dumps(message) + "\n")
            self._out.flush()


def main(path: str, settings: Settings) -> None:
    """Load the model and serve it, or say why not."""
    # llama.cpp prints where it likes: what is meant for the other process gets an outlet of its own.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        try:
            host = Host(_load(path, settings), settings, out)
        except Exception as error:
            out.write(json.dumps({"failed": f"it is damaged, no text model, or too new ({error})."}) + "\n")
            return
        host.serve()


def _load(path: str, settings: Settings) -> Any:
    import llama_cpp

    if b"AMX_INT8 = 1" in llama_cpp.llama_print_system_info():
        _leave_weights_as_they_are(llama_cpp.llama_cpp)
    threads = settings["n_threads"] or os.cpu_count() or 1
    model = llama_cpp.Llama(path, n_ctx=settings["n_ctx"], n_gpu_layers=settings["n_gpu_layers"], n_threads=threads,
                            n_threads_batch=threads, verbose=False)
    if template := settings["chat_template"]:
        _speak_by(model, template)
    return model


def _leave_weights_as_they_are(library: Any) -> None:
    """Load quantised weights without llama.cpp's repacking for AMX, whose matrix product dies of a segmentation fault
    on some machines that have it (its issue 20824). `Llama` has no argument for that; this process is ours to change.
    """
    defaults = library.llama_model_default_params

    def without_repacking() -> Any:
        params = defaults()
        params.use_extra_bufts = False
        return params

    library.llama_model_default_params = without_repacking


def _speak_by(model: Any, template: str) -> None:
    """Use another chat template than the model's own: a Jinja file, or one that llama-cpp-python knows by name."""
    from llama_cpp import llama_chat_format

    file = Path(template)
    if file.is_file():
        last, first = model.token_eos(), model.token_bos()
        ends, begins = (model._model.token_get_text(token) if token >= 0 else "" for token in (last, first))
        model.chat_handler = llama_chat_format.Jinja2ChatFormatter(
            file.read_text(encoding="utf-8"), ends, begins, stop_token_ids=[last]).to_chat_handler()
    else:
        llama_chat_format.get_chat_completion_handler(template)     # raises what says that nobody knows it
        model.chat_format = template
        model.chat_handler = None


def _abort_flag(model: Any) -> Any:
    """A buffer of two bytes: while the first is not zero, llama.cpp aborts what it computes.

    It asks after every operation of the network. A Python callback would need the interpreter's lock each time and
    slow the model down whenever other Python threads work, so it asks C's `strlen`: of an empty string 0, false.
    """
    import llama_cpp

    library = ctypes.cdll.msvcrt if sys.platform == "win32" else ctypes.CDLL(None)
    flag = ctypes.create_string_buffer(2)
    callback = ctypes.cast(library.strlen, llama_cpp.ggml_abort_callback)
    llama_cpp.llama_set_abort_callback(model.ctx, callback, ctypes.cast(flag, ctypes.c_void_p))
    return flag


if __name__ == "__main__":
    main(sys.argv[1], json.loads(sys.argv[2]))
