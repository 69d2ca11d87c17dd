"""Answers about the user's own runs: what `diagnose` found, with citations to the run's files and to the corpus."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from copilot.answer import BuiltinAnswerer
from copilot.assistant import Assistant, Reply, Source
from copilot.chunk import Chunk, blocks, sentences
from copilot.cite import renumbered
from copilot.corpus import Document
from copilot.diagnose import Diagnosis, Evidence, Finding, diagnose
from copilot.llms.base import Draft, History, Use
from copilot.llms.turns import drafts
from copilot.retrieve import Passage
from copilot.words import content_words, has_chinese, stem, stems
from rlcore.config import ConfigError
from rlcore.runs import RUNS, list_runs

_QUOTED = 45                       # words of the corpus on each finding
_SHARED = 0.6                      # of the words looked up, those that a passage must have
_SHOWN = 5                         # findings told in full
_LATEST = re.compile(r"\b(?:my|the) (?:last|latest|newest|most recent) (?:run|training)\b|"
                     r"最近的?(?:一次)?(?:训练|运行)", re.IGNORECASE)


@dataclass
class Sources:
    """The passages that an answer cites; each has its number from the first time it is cited."""

    passages: list[Passage] = field(default_factory=list)

    def cite(self, passage: Passage) -> str:
        """The mark of a passage."""
        known = [one.chunk.id for one in self.passages]
        if passage.chunk.id not in known:
            self.passages.append(passage)
            known.append(passage.chunk.id)
        return f"[{known.index(passage.chunk.id) + 1}]"


def named_run(question: str, root: Path = RUNS) -> Path | None:
    """The run that a question speaks of: by the name of its folder, or as the latest one."""
    runs = list_runs(root) if root.is_dir() else []
    for run in sorted(runs, key=lambda run: -len(run.id)):
        if re.search(rf"(?<![\w.-]){re.escape(run.id)}(?![\w-])", question):
            return run.path
    return runs[0].path if runs and _LATEST.search(question) else None


def find_run(text: str, root: Path = RUNS) -> Path:
    """The run folder that a path or a name among the runs means.

    Raises:
        ConfigError: there is none.
    """
    for path in (Path(text), root / text):
        if (path / "status.json").exists():
            return path
    known = ", ".join(run.id for run in list_runs(root)[:5]) if root.is_dir() else ""
    raise ConfigError(f"'{text}' is no run folder." + (f" The latest are: {known}." if known else ""))


def ask(assistant: Assistant, question: str, history: History = (), root: Path = RUNS) -> Generator[Reply]:
    """The reply to any question: about the run that it names, or else from the corpus."""
    run = named_run(question, root)
    yield from explain(assistant, run, question, history) if run else assistant.ask(question, history)


def explain(assistant: Assistant, folder: Path, question: str = "", history: History = ()) -> Iterator[Reply]:
    """The reply to a question about one run as it grows; the last one is done.

    Raises:
        ConfigError: the folder is no run.
    """
    stops = assistant.stops
    diagnosis = diagnose(folder)
    sources = Sources()
    text = _composed(assistant, diagnosis, sources)
    if has_chinese(question):
        text = f"> 语料库是英文的。以下根据运行文件得出。\n\n{text}"
    if isinstance(assistant.answerer, BuiltinAnswerer) or assistant.stops != stops:
        yield _reply(text, sources.passages, done=True)
        return
    told = question or "Why did this run stop improving, and what should I change?"
    found = replace(assistant.find(told), question=told, passages=(_told(diagnosis, text), *sources.passages))
    draft = Draft("")
    for draft in drafts(assistant.answerer, found, history) if assistant.stops == stops else ():
        yield _reply(draft.text, found.passages, done=False)
    yield (_reply(draft.text, found.passages, done=True, context=draft.use) if draft.text else
           _reply(text, sources.passages, done=True))


def _composed(assistant: Assistant, diagnosis: Diagnosis, sources: Sources) -> str:
    """The whole answer in Markdown."""
    run = diagnosis.run
    marks = "".join(sources.cite(_passage(diagnosis, one)) for one in diagnosis.evidence)
    parts = [f"**Run `{run.id}`.** {diagnosis.summary} {diagnosis.progress} {marks}".rstrip()]
    if not diagnosis.findings:
        parts.append("Its curves and settings show none of the usual faults. If it should do better, compare several "
                     "seeds before you change anything.")
    for finding in diagnosis.findings[:_SHOWN]:
        parts.append(_section(assistant, diagnosis, finding, sources))
    if rest := diagnosis.findings[_SHOWN:]:
        parts.append("**Also:** " + " · ".join(
            f"{one.name} {sources.cite(_passage(diagnosis, one.evidence[0]))}" for one in rest))
    return "\n\n".join(parts)


def _section(assistant: Assistant, diagnosis: Diagnosis, finding: Finding, sources: Sources) -> str:
    """One finding: what was seen, what to do, and what the corpus says about it."""
    marks = "".join(sources.cite(_passage(diagnosis, one)) for one in finding.evidence)
    lines = [f"**{finding.name}.** {finding.says} {marks}", f"*Try:* {finding.advice}"]
    best = next((one for one in assistant.find(finding.ask).passages if _is_about(one, finding.ask)), None)
    if best and (said := _opening(best.chunk.text)):
        lines.append(f"{said} {sources.cite(best)}")
    return "\n\n".join(lines)


def _is_about(passage: Passage, ask: str) -> bool:
    """Whether a passage has most of the words that were looked up."""
    asked = {stem(word) for word in content_words(ask)}
    return len(asked & stems(passage.text)) >= _SHARED * len(asked)


def _opening(text: str) -> str:
    """How a passage begins: pages answer first and explain later."""
    said: list[str] = []
    for block in blocks(text):
        for sentence in sentences(text[block.start:block.end]) if block.kind == "paragraph" else ():
            if said and len(" ".join([*said, sentence]).split()) > _QUOTED:
                return " ".join(said)
            said.append(" ".join(sentence.split()))
        if said:
            break
    return " ".join(said)


def _passage(diagnosis: Diagnosis, evidence: Evidence) -> Passage:
    """A piece of the run's files as the citation machinery takes it."""
    path = (diagnosis.run.path / evidence.file).as_posix()
    page = Document(path, f"Run {diagnosis.run.id}", "", {})
    return Passage(Chunk(f"{path}#{evidence.where}", path, (evidence.file, evidence.where), evidence.text, 0, 0), page,
                   1.0)


def _told(diagnosis: Diagnosis, text: str) -> Passage:
    """The diagnosis itself, for a language model to start from."""
    path = diagnosis.run.path.as_posix()
    plain = re.sub(r"\s?\[\d+\]", "", text)
    return Passage(Chunk(f"{path}#diagnosis", path, ("diagnosis",), plain, 0, 0),
                   Document(path, f"Run {diagnosis.run.id}", "", {}), 1.0)


def _reply(text: str, passages: Sequence[Passage], *, done: bool, context: Use | None = None) -> Reply:
    """A reply whose citations are numbered as they appear."""
    text, order = renumbered(text, len(passages))
    sources = tuple(_source(place, passages[number - 1]) for place, number in enumerate(order, start=1))
    return Reply(text, sources, abstained=False, done=done, context=context)


def _source(place: int, passage: Passage) -> Source:
    page, chunk = passage.page, passage.chunk
    return Source(place, page.title, " › ".join(chunk.heading_path), page.path, chunk.text, round(passage.score, 3),
                  page.url)
