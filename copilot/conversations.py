"""Conversations on disk: one SQLite file, found by their words, safe for several processes at once.

A conversation is a list of turns; a turn is a question, its answer with sources, what its prompt took of a language
model's context window, and what the reader thought of it.
"""

from __future__ import annotations

import json
import sqlite3
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from copilot.assistant import Reply, Source
from copilot.llms.base import Use
from copilot.plan import Refusal, TrainingPlan
from copilot.words import content_words, spaced
from rlcore.config import ConfigError

FORMAT = 1
_WAIT_S = 10.0                     # how long one process waits for another's write
_TITLE = 60                        # characters of the first question that name a conversation
_EXCERPT = 12                      # words around a find
_BEGINNING = 4                     # characters of an id that may stand for it

Thumb = Literal["up", "down"]

_TABLES = """
CREATE TABLE conversations (id TEXT PRIMARY KEY, title TEXT NOT NULL, created REAL NOT NULL, changed REAL NOT NULL);
CREATE TABLE turns (
    id INTEGER PRIMARY KEY, conversation TEXT NOT NULL REFERENCES conversations ON DELETE CASCADE,
    asked REAL NOT NULL, question TEXT NOT NULL, answer TEXT NOT NULL, sources TEXT NOT NULL,
    abstained INTEGER NOT NULL, answerer TEXT NOT NULL, context TEXT, plan TEXT);
CREATE INDEX turns_of ON turns (conversation, id);
CREATE TABLE feedback (
    turn INTEGER PRIMARY KEY REFERENCES turns ON DELETE CASCADE,
    thumb TEXT NOT NULL CHECK (thumb IN ('up', 'down')), note TEXT NOT NULL, given REAL NOT NULL);
CREATE VIRTUAL TABLE words USING fts5 (question, answer, tokenize = 'porter unicode61');
CREATE TRIGGER forget AFTER DELETE ON turns BEGIN DELETE FROM words WHERE rowid = old.id; END;
"""
_TURN = "turns.id, question, answer, sources, abstained, answerer, asked, context, plan, thumb, note"


@dataclass(frozen=True)
class Feedback:
    """What a reader thought of an answer."""

    thumb: Thumb
    note: str = ""


@dataclass(frozen=True)
class Turn:
    """A question and its answer."""

    id: int
    question: str
    answer: str                    # Markdown with citations [1][2]
    sources: tuple[Source, ...]
    abstained: bool
    answerer: str                  # who wrote it, as `--llm` names it
    asked: float                   # unix time
    context: Use | None = None     # if a language model wrote it
    plan: TrainingPlan | Refusal | None = None     # what it came to, if it ordered a run
    feedback: Feedback | None = None


@dataclass(frozen=True)
class Conversation:
    """A conversation as a list shows it."""

    id: str
    title: str
    created: float                 # unix time
    changed: float
    turns: int
    excerpt: str = ""              # what was found in it, **so marked**


class Conversations:
    """All conversations in one file.

    Raises:
        ConfigError: the file is no such database, or was made by a later version.
    """

    def __init__(self, path: Path):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self._writing() as sql:       # two processes may begin at once
                version = sql.execute("PRAGMA user_version").fetchone()[0]
                if version == 0:
                    for statement in _statements(_TABLES):
                        sql.execute(statement)
                    sql.execute(f"PRAGMA user_version = {FORMAT}")
                for column in ("context", "plan") if version == FORMAT else ():
                    if column not in _columns(sql):
                        sql.execute(f"ALTER TABLE turns ADD COLUMN {column} TEXT")     # who has none goes on to read it
        except sqlite3.DatabaseError as error:
            raise ConfigError(f"'{path}' holds no conversations ({error}). Move it away; a new one is made.") from None
        if version > FORMAT:
            raise ConfigError(f"'{path}' has format {version}; this program reads up to {FORMAT}. Update it.")

    def create(self, title: str = "") -> str:
        """A new empty conversation; its id."""
        key, now = uuid.uuid4().hex, time.time()
        with self._writing() as sql:
            sql.execute("INSERT INTO conversations VALUES (?, ?, ?, ?)", (key, _title(title), now, now))
        return key

    def add(self, conversation: str, question: str, reply: Reply, answerer: str = "builtin") -> int:
        """Append a finished turn; its id. The first question names a conversation that has no title."""
        now = time.time()
        sources = json.dumps([asdict(source) for source in reply.sources], ensure_ascii=False)
        context, plan = (json.dumps(asdict(one)) if one else None for one in (reply.context, reply.plan))
        with self._writing() as sql:
            title = self._title_of(sql, conversation)
            turn = sql.execute(
                "INSERT INTO turns (conversation, asked, question, answer, sources, abstained, answerer, context, "
                "plan) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (conversation, now, question, reply.text, sources, reply.abstained, answerer, context, plan)).lastrowid
            sql.execute("INSERT INTO words (rowid, question, answer) VALUES (?, ?, ?)",
                        (turn, spaced(question), spaced(reply.text)))
            sql.execute("UPDATE conversations SET changed = ?, title = ? WHERE id = ?",
                        (now, title or _title(question), conversation))
        assert turn is not None
        return turn

    def turns(self, conversation: str) -> list[Turn]:
        """The turns of a conversation, oldest first."""
        with self._reading() as sql:
            self._title_of(sql, conversation)
            rows = sql.execute(
                f"SELECT {_TURN} FROM turns "
                "LEFT JOIN feedback ON feedback.turn = turns.id WHERE conversation = ? ORDER BY turns.id",
                (conversation,)).fetchall()
        return [_turn(row) for row in rows]

    def history(self, conversation: str) -> list[tuple[str, str]]:
        """The turns as `Assistant.ask` takes them."""
        return [(turn.question, turn.answer) for turn in self.turns(conversation)]

    def recent(self, limit: int = 100) -> list[Conversation]:
        """The conversations, the one that changed last first."""
        with self._reading() as sql:
            rows = sql.execute(
                "SELECT c.id, title, created, changed, count(turns.id) FROM conversations AS c "
                "LEFT JOIN turns ON turns.conversation = c.id GROUP BY c.id ORDER BY changed DESC LIMIT ?",
                (limit,)).fetchall()
        return [Conversation(*row) for row in rows]

    def named(self, name: str) -> Conversation | None:
        """The conversation with this id or title, or whose id begins so; None if there is none.

        Raises:
            ConfigError: there are several, or it is no name.
        """
        known, title = self.recent(-1), _title(name).casefold()
        if not title:
            raise ConfigError("A conversation is named by its title or its id, not by nothing.")
        found = [one for one in known if one.id == name] or [
            one for one in known if one.title.casefold() == title] or [
            one for one in known if len(name) >= _BEGINNING and one.id.startswith(name)]
        if len(found) > 1:
            raise ConfigError(f"'{name}' names {len(found)} conversations. Give an id: "
                              f"{', '.join(one.id for one in found)}.")
        return found[0] if found else None

    def search(self, text: str, limit: int = 20) -> list[Conversation]:
        """The conversations that speak of this, best first, with the place: every word in one turn, or in the title."""
        words = content_words(text) or text.split()
        if not words:
            return self.recent(limit)
        expression = " AND ".join('"' + spaced(word).replace('"', '""').strip() + '"' for word in words)
        with self._reading() as sql:
            rows = sql.execute(
                "SELECT conversation, snippet(words, -1, '**', '**', '…', ?) FROM words "
                "JOIN turns ON turns.id = words.rowid WHERE words MATCH ? ORDER BY rank LIMIT ?",
                (_EXCERPT, expression, 10 * limit)).fetchall()
        excerpts: dict[str, str] = {}
        for key, excerpt in rows:
            excerpts.setdefault(key, " ".join(excerpt.split()))
        listed = {one.id: one for one in self.recent(-1)}
        for key, one in listed.items():
            if all(word.lower() in one.title.lower() for word in words):
                excerpts.setdefault(key, "")
        found = [listed[key] for key in excerpts if key in listed][:limit]
        return [Conversation(one.id, one.title, one.created, one.changed, one.turns, excerpts[one.id])
                for one in found]

    def rename(self, conversation: str, title: str) -> None:
        """Give a conversation another title."""
        with self._writing() as sql:
            self._title_of(sql, conversation)
            sql.execute("UPDATE conversations SET title = ? WHERE id = ?", (_title(title), conversation))

    def delete(self, conversation: str) -> None:
        """Remove a conversation with its turns and their feedback; nothing of it stays on disk."""
        with self._writing() as sql:
            self._title_of(sql, conversation)
            sql.execute("DELETE FROM conversations WHERE id = ?", (conversation,))
            sql.execute("INSERT INTO words (words) VALUES ('optimize')")   # until then it keeps deleted words
        with self._reading() as sql:
            sql.execute("PRAGMA wal_checkpoint(TRUNCATE)")     # the log of writes had it too

    def rate(self, turn: int, thumb: Thumb | None, note: str = "") -> None:
        """Keep what a reader thought of an answer; None takes it back."""
        with self._writing() as sql:
            if sql.execute("SELECT 1 FROM turns WHERE id = ?", (turn,)).fetchone() is None:
                raise ConfigError(f"There is no turn {turn} to rate. It may have been deleted.")
            if thumb is None:
                sql.execute("DELETE FROM feedback WHERE turn = ?", (turn,))
            else:
                sql.execute("INSERT OR REPLACE INTO feedback VALUES (?, ?, ?, ?)", (turn, thumb, note, time.time()))

    def rated(self) -> Iterator[tuple[str, Turn]]:
        """Every rated turn with its conversation, oldest first: what to learn from."""
        with self._reading() as sql:
            rows = sql.execute(
                f"SELECT conversation, {_TURN} FROM turns "
                "JOIN feedback ON feedback.turn = turns.id ORDER BY turns.id").fetchall()
        yield from ((row[0], _turn(row[1:])) for row in rows)

    def export(self, conversation: str) -> str:
        """A conversation in Markdown, each answer with its numbered sources."""
        with self._reading() as sql:
            title = self._title_of(sql, conversation)
        parts = [f"# {title or 'Untitled'}"]
        for turn in self.turns(conversation):
            when = time.strftime("%Y-%m-%d %H:%M", time.localtime(turn.asked))
            facts = " · ".join([when, turn.answerer, *([str(turn.context)] if turn.context else [])])
            parts += [f"## {' '.join(turn.question.split())}", f"*{facts}*", turn.answer]
            if turn.sources:
                parts.append(listed(turn.sources))
            if turn.feedback:
                note = f": {turn.feedback.note}" if turn.feedback.note else ""
                parts.append(f"*Rated {turn.feedback.thumb}{note}*")
        return "\n\n".join(parts) + "\n"

    @staticmethod
    def _title_of(sql: sqlite3.Connection, conversation: str) -> str:
        row = sql.execute("SELECT title FROM conversations WHERE id = ?", (conversation,)).fetchone()
        if row is None:
            raise ConfigError(f"There is no conversation '{conversation}'. It may have been deleted.")
        return str(row[0])

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=_WAIT_S, isolation_level=None)) as sql:
            sql.execute("PRAGMA foreign_keys = ON")
            yield sql

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; other processes wait their turn."""
        with self._reading() as sql:
            sql.execute("PRAGMA journal_mode = WAL")       # readers go on while somebody writes
            sql.execute("PRAGMA secure_delete = ON")       # deleted words are overwritten, not only unlinked
            sql.execute("BEGIN IMMEDIATE")
            try:
                yield sql
            except BaseException:
                sql.execute("ROLLBACK")
                raise
            sql.execute("COMMIT")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script one by one: `executescript` would commit in the middle of our transaction."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _columns(sql: sqlite3.Connection) -> set[str]:
    """What is kept of a turn."""
    return {row[1] for row in sql.execute("PRAGMA table_info(turns)")}


def _title(text: str) -> str:
    """A text as a title: one line, not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[:_TITLE].rsplit(" ", 1)[0] + " …"


def _turn(row: Sequence[Any]) -> Turn:
    key, question, answer, sources, abstained, answerer, asked, context, plan, thumb, note = row
    return Turn(key, question, answer, tuple(Source(**source) for source in json.loads(sources)), bool(abstained),
                answerer, asked, Use(**json.loads(context)) if context else None, _plan(plan),
                Feedback(thumb, note) if thumb else None)


def _plan(kept: str | None) -> TrainingPlan | Refusal | None:
    """A plan as it was kept; None if there was none, or if it cannot be run any more."""
    if kept is None:
        return None
    held = json.loads(kept)
    try:
        return Refusal(**held) if "reason" in held else TrainingPlan(**held | {"notes": tuple(held["notes"])})
    except (ConfigError, TypeError):
        return None


def listed(sources: Sequence[Source]) -> str:
    """The sources of an answer as a numbered list in Markdown."""
    lines = []
    for source in sources:
        where = f"{source.title} › {source.heading}" if source.heading else source.title
        lines.append(f"{source.number}. {where} (`{source.path}`)" + (f" <{source.url}>" if source.url else ""))
    return "\n".join(lines)
