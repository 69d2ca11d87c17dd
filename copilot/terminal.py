"""Questions in a terminal, one or a whole conversation of them; and the conversations that are kept."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from copilot.about_run import ask, explain, find_run
from copilot.assistant import Assistant, Reply, Source
from copilot.conversations import Conversation, Conversations
from copilot.stream import settled
from rlcore.config import ConfigError, MissingExtra, nearest

KEPT = Path("conversations.sqlite")
_SHORT_ID = 8                      # characters of an id in lists


def add_ask(parser: argparse.ArgumentParser) -> None:
    """What `ask` takes."""
    parser.add_argument("question", nargs="*", help="without one: several, as you type them, or one from a pipe")
    parser.add_argument("--run", metavar="FOLDER", help="ask about this run; a run of runs/ may also be named in the "
                                                        "question")
    parser.add_argument("--conversation", metavar="NAME", help="go on with this conversation, by title or id, and keep "
                                                               "the answer in it; begins one if there is none")
    _add_kept(parser)


def add_conversations(parser: argparse.ArgumentParser) -> None:
    """The actions of `conversations`."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    kept = argparse.ArgumentParser(add_help=False)
    _add_kept(kept)
    named = argparse.ArgumentParser(add_help=False, parents=[kept])
    named.add_argument("name", help="title, id, or the beginning of an id")
    actions.add_parser("list", parents=[kept], help="all of them, the one that changed last first")
    search = actions.add_parser("search", parents=[kept], help="those that speak of these words")
    search.add_argument("words", nargs="+")
    actions.add_parser("show", parents=[named], help="its questions, answers and sources")
    rename = actions.add_parser("rename", parents=[named], help="give it another title")
    rename.add_argument("title")
    delete = actions.add_parser("delete", parents=[named], help="remove it for good, after asking")
    delete.add_argument("--yes", action="store_true", help="do not ask")
    export = actions.add_parser("export", parents=[named], help="print it as Markdown, or write it to a file")
    export.add_argument("--to", type=Path, metavar="FILE", help="a new file")


def _add_kept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--conversations", type=Path, default=KEPT, metavar="FILE",
                        help=f"SQLite file that keeps conversations ({KEPT})")


def answer(options: argparse.Namespace, opened: Callable[[], Assistant]) -> None:
    """Answer the question, or as many as are asked."""
    run = find_run(options.run) if options.run else None
    store = Conversations(options.conversations) if options.conversation else None
    found = store.named(options.conversation) if store else None
    question = " ".join(options.question)
    if not options.question and not sys.stdin.isatty():
        question = sys.stdin.read().strip()
        if not question:
            raise ConfigError('ask needs a question: rl-copilot ask "Why does PPO clip the ratio?"')
    history = store.history(found.id) if store and found else []
    assistant = opened()
    assistant.has_page = False
    talk = _Talk(assistant, options.llm.strip(), run, store, options.conversation or "", found.id if found else "",
                 history)
    if options.question or question:       # an empty one in quotes is told what can be asked
        talk.say(question)
    else:
        _several(talk)


def agrees(question: str) -> bool:
    """Whether somebody is there and says yes."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        return False


def conversations(options: argparse.Namespace) -> None:
    """List, search, show, rename, delete or export what is kept."""
    if not options.conversations.is_file():
        raise ConfigError(f"'{options.conversations}' does not exist. Begin a conversation with: "
                          'rl-copilot ask --conversation NAME "QUESTION", or name the file with --conversations.')
    store = Conversations(options.conversations)
    if options.action in ("list", "search"):
        listed = store.recent(-1) if options.action == "list" else store.search(" ".join(options.words))
        print("\n".join(map(_line, listed)) or "None.")
        return
    one = _known(store, options.name)
    match options.action:
        case "show":
            for turn in store.turns(one.id):
                print(f"> {turn.question}\n\n{turn.answer}")
                _list(turn.sources)
                print()
        case "rename":
            store.rename(one.id, options.title)
        case "delete":
            if not options.yes and not agrees(f"Delete '{one.title}' with {_questions(one)} for good? [y/N] "):
                raise ConfigError("Nothing was deleted. Answer y, or give --yes.")
            store.delete(one.id)
        case "export":
            _export(store.export(one.id), options.to)


@dataclass
class _Talk:
    """A conversation in the terminal: who answers, what was said, and where it is kept, if it is."""

    assistant: Assistant
    answerer: str                  # as `--llm` names it
    run: Path | None               # what all questions are about
    store: Conversations | None
    title: str
    kept: str                      # its id there; empty if it is new
    history: list[tuple[str, str]]

    def say(self, question: str) -> None:
        """Print the answer as it grows and its sources, and remember it."""
        reply = self._written(explain(self.assistant, self.run, question, self.history) if self.run else
                              ask(self.assistant, question, self.history))
        if reply is None:
            return
        self.history.append((question, reply.text))
        if self.store:
            self.kept = self.kept or self.store.create(self.title)
            self.store.add(self.kept, question, reply, self.answerer)

    def _written(self, replies: Iterator[Reply]) -> Reply | None:
        """The answer, or what there was of it when Ctrl-C stopped it."""
        shown = None
        try:
            for piece, reply in settled(replies):
                print(piece, end="", flush=True)
                shown = reply
        except KeyboardInterrupt:
            self.assistant.stop()
        print()
        _list(shown.sources if shown else ())
        if shown and shown.context:
            print(shown.context, file=sys.stderr)
        return shown


def _several(talk: _Talk) -> None:
    """One question after the other, until an empty line, Ctrl-D or Ctrl-C."""
    with suppress(ImportError):            # Windows has none
        import readline  # noqa: F401  # arrow keys
    print("Ask; Ctrl-C stops an answer, an empty line or Ctrl-D ends.", file=sys.stderr)
    while question := _typed():
        try:
            talk.say(question)
        except (ConfigError, MissingExtra) as error:       # the next one may fare better
            print(f"{error}", file=sys.stderr)


def _typed() -> str:
    """The next question; empty if there is none."""
    try:
        return input("> ").strip()
    except (EOFError, KeyboardInterrupt):
        print()
        return ""


def _list(sources: Sequence[Source]) -> None:
    for source in sources:
        print(f"[{source.number}] {source.path} · {source.heading} {source.url}".rstrip())


def _known(store: Conversations, name: str) -> Conversation:
    one = store.named(name)
    if one is None:
        raise ConfigError(f"There is no conversation '{name}'"
                          f"{nearest(name, [other.title for other in store.recent(-1)]) or '.'} "
                          "See: rl-copilot conversations list")
    return one


def _line(one: Conversation) -> str:
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(one.changed))
    excerpt = f"\n          {one.excerpt}" if one.excerpt else ""
    return f"{one.id[:_SHORT_ID]}  {when}  {one.title or 'Untitled'}  ({_questions(one)}){excerpt}"


def _questions(one: Conversation) -> str:
    return f"{one.turns} question{'' if one.turns == 1 else 's'}"


def _export(text: str, to: Path | None) -> None:
    if to is None:
        print(text, end="")
        return
    try:
        with to.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise ConfigError(f"'{to}' cannot be written ({error.strerror}). Name a new file in a folder that exists.",
                          ) from None
