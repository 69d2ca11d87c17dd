"""Answers about the user's own runs, with citations to their files: settings, comparisons, and what `diagnose` found.

A question that names a run and asks for something else, such as what a term means, is answered from the corpus.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from copilot.answer import BuiltinAnswerer
from copilot.assistant import Assistant, Reply, Source, where_to
from copilot.chunk import Chunk, blocks, sentences
from copilot.cite import renumbered
from copilot.corpus import Document
from copilot.diagnose import Diagnosis, Evidence, Finding, Record, diagnose, number, read, shown
from copilot.lexicon import COUNTS, NOT_IN_A_PLAN, SETTINGS, pattern
from copilot.llms.base import Draft, History, Use
from copilot.llms.turns import drafts
from copilot.request import Mention, algorithms, base, blank, environments, mentions_in
from copilot.retrieve import Passage
from copilot.words import content_words, has_chinese, stem, stems
from rlcore.config import ConfigError
from rlcore.runs import RUNS, Run, list_runs

_QUOTED = 45                       # words of the corpus on each finding
_SHARED = 0.6                      # of the words looked up, those that a passage must have
_SHOWN = 5                         # findings told in full
_COLUMNS = 4                       # runs of a comparison
_NOT_COMPARED = ("algo", "env", "env_steps", "config", "versions", "format")   # of a run; they have rows of their own

# What may follow `training` where one training is meant: `the latest training recipe` is none.
_ONE = (r"training\b(?=\W*$|\s*[^\w\s]|\s+(?:runs?|sessions?|jobs?|on|in|with|of|using|for|was|is|has|had|did|does|so|"
        r"that|which|and|or|to|from|at|not|never|today|yesterday|again|go(?:es)?|went|look\w*|stay\w*|get|got|fail\w*|"
        r"stop\w*|do|start\w*|end|improv\w*|learn\w*|converg\w*|(?!speed\b|seed\b)\w+ed)\b)")
_ONE_ZH = (r"训练(?=$|\W|[a-zⓡ怎为是停失没不了跑崩卡到还什和跟与收发出好差一得用会又很比]|有(?!哪)|"
           r"[上中里]?的?(?:结果|效果|表现|回报|奖励|曲线|情况))")
# A run in words, where ⓡ stands for folders' names, Ⓐ for algorithms and Ⓔ for environments: `my last Ⓐ run on Ⓔ`.
_PHRASE = re.compile(
    r"\b(?:the|my|our|this|that)\s+(?:(?:very|most|last|latest|newest|recent|two|2|three|3|training|on|and|Ⓐ+|Ⓔ+)\s+)*"
    rf"(?:runs?\b|{_ONE})(?:\s+(?:on|in|with|of|using|for)\s+(?:the\s+)?(?:Ⓐ+|Ⓔ+))*|"
    rf"[我的最近新上一两三次这那在和与里中刚才ⒶⒺ\s]+(?:{_ONE_ZH}|运行)", re.IGNORECASE)
_PHRASED = re.compile(r"\bruns?\b|\btraining\b|训练|运行", re.IGNORECASE)
_RUN = re.compile(r"\bruns?\b", re.IGNORECASE)
_VERB = re.compile(r"\b(?:should|must|would|will|can|could|does|do)\s+$", re.IGNORECASE)
_TRAINING_RUNS = re.compile(r"[^?.!]*\btraining\b[^?.!]*\brun\s*(?:$|[?.!]|for\b|until\b)", re.IGNORECASE)
_LATEST = re.compile(r"last|latest|newest|recent|最近|最新|上一?次|刚才", re.IGNORECASE)
_OWN_ZH = re.compile(r"我的|[这那]次|Ⓔ\s*[上里中]?的\s*Ⓐ|[上里中]的\s*(?:训练|运行)")
_SEVERAL = re.compile(r"two|2|three|3|[两三]次", re.IGNORECASE)
_THAT = re.compile(r"\b(?:this|that|the|same) run\b|\bdid it\b|[这那]次(?:训练|运行)?", re.IGNORECASE)

_NOT_ASKED = ("algo", "env", "config", "versions", "format")    # of a run; no settings
_METRICS = ("entropy", "熵")       # names of settings that metrics have as well

_SENTENCE = re.compile(r"(?<=[.?!;])\s+|(?<=[。？！；])|\n")
_VALUE = re.compile(r"\b(?:what|which|how|tell|show|list|give|compare|differ\w*)\b|多少|什么|哪|几|多大|多高|比较|对比",
                    re.IGNORECASE)
_COUNTED = re.compile(r"\bhow many\b|多少|几", re.IGNORECASE)
_ALL = re.compile(r"\b(?:settings|hyper-?parameters|config(?:uration)?|parameters)\b|参数|设置|配置", re.IGNORECASE)
_GENERAL = re.compile(
    r"^\W*(?:(?:so|and|but|also|in ⓡ+)\W+)*(?:what(?:'s| is| are| does| do)\b|explain\b|define\b|how (?:do|can|does|"
    r"to)\b|can i\b)|什么是|是什么|什么意思|怎么(?![了样回办])|如何", re.IGNORECASE)
_HOW_TO = re.compile(r"\b(?:do|can) (?:i|we|you|one)\b|\bhow to\b|\bmeans?\b|怎么|如何|意思", re.IGNORECASE)
# Who says such things wants to know how the run went, whatever else is named.
_JUDGES = re.compile(
    r"\b(?:why|should|too|wrong|bad\w*|better|best|worse|improv\w*|chang\w*|tun(?:e|ing)|stop\w*|stuck|fail\w*|fix\w*|"
    r"collaps\w*|diverg\w*|explod\w*|unstable|learn\w*|converg\w*|plateau\w*|problems?|issues?|help|next|try|solved?|"
    r"faster|higher|lower|good|enough|happen\w*|reach\w*|going|doing)\b|为什么|为何|应该|太|更|改|调|停|问题|失败|崩|不",
    re.IGNORECASE)
_REFERS = re.compile(r"\b(?:it|its|this|that|did)\b|[它这那]", re.IGNORECASE)
_LEANS = re.compile(   # a sentence that begins so answers a question of its own, or rests on the one before
    r"(?:Yes|No|Both|Neither|It|Its|This|That|These|Those|They|Their|Such|But|However|Then|So|Therefore|Otherwise|Instead|"
    r"Here|There|Also)\b")


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


@dataclass(frozen=True)
class Named:
    """A question about runs."""

    question: str
    runs: tuple[Path, ...]         # that it speaks of, in its order
    text: str                      # the question with ⓡ in the place of each


def named_runs(question: str, root: Path = RUNS) -> Named:
    """The runs that a question speaks of: by their folders' names, as the latest, or by algorithm and environment."""
    runs = list_runs(root) if root.is_dir() else []
    found: list[tuple[Mention, list[Run]]] = []
    text = question
    for run in sorted(runs, key=lambda run: -len(run.id)):
        ids = [Mention(run.id, *match.span(), match.group())
               for match in re.finditer(rf"(?<![\w.-]){re.escape(run.id)}(?![\w-])", text)]
        found += [(one, [run]) for one in ids]
        text = blank(text, ids, "ⓡ")
    for match, meant in _in_words(text, runs):
        found.append((Mention("", *match.span(), match.group()), meant))
        text = blank(text, [found[-1][0]], "ⓡ")
    found.sort(key=lambda one: one[0].start)
    return Named(question, tuple(dict.fromkeys(run.path for _, some in found for run in some)), text)


def _in_words(text: str, runs: Sequence[Run]) -> Iterator[tuple[re.Match[str], list[Run]]]:
    """Where a text speaks of runs without their names, and the newest that it can mean; none may fit."""
    if not _PHRASED.search(text):
        return
    named, places = algorithms(text), environments(text)
    marked = blank(blank(text, named, "Ⓐ"), places, "Ⓔ")
    for match in _PHRASE.finditer(marked):
        said = match.group()
        algos, envs = ([one.key for one in some if match.start() <= one.start < match.end()]
                       for some in (named, places))
        latest = bool(_LATEST.search(said))
        if not (latest or (_OWN_ZH if has_chinese(said) else _RUN).search(said)):     # `my training` may be any
            continue
        if _VERB.search(marked[:match.start()]) and _TRAINING_RUNS.match(said + marked[match.end():]):
            continue                   # how long should the training run?
        fit = [run for run in runs if (not algos or run.config.get("algo") in algos) and
               (not envs or {str(run.config.get("env")), base(str(run.config.get("env")))} & {*envs})]
        if count := _SEVERAL.search(said):
            fit = fit[:3 if count.group().lower() in ("three", "3", "三次") else 2][::-1]
        elif algos or envs:
            kinds = [[run.config.get(key) for key, some in (("algo", algos), ("env", envs)) if len(some) > 1]
                     for run in fit]
            fit = [run for place, run in enumerate(fit) if kinds[place] not in kinds[:place]]
            fit.sort(key=lambda run: [*algos, run.config.get("algo")].index(run.config.get("algo")))
        else:
            fit = fit[:1] if latest else []
        if fit:
            yield match, fit


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
    """The reply to any question: about the runs that it names, or else from the corpus."""
    asked = named_runs(question, root)
    if not asked.runs and history and _THAT.search(question):
        asked = Named(question, named_runs(history[-1][0], root).runs, _THAT.sub("ⓡ", question))
    yield from _about(assistant, asked, history)


def explain(assistant: Assistant, folder: Path, question: str = "", history: History = ()) -> Iterator[Reply]:
    """The reply to a question about one run as it grows; the last one is done.

    Raises:
        ConfigError: the folder is no run.
    """
    yield from _about(assistant, Named(question, (folder,), question.replace(folder.name, "ⓡ")), history)


def _about(assistant: Assistant, asked: Named, history: History) -> Iterator[Reply]:
    """The reply to what is asked about runs: settings, a comparison or a diagnosis, or what the corpus has on it."""
    sources = Sources()
    if asked.runs and (where := where_to(asked.question, asked.runs[0].as_posix())):
        yield _reply(where, (), done=True)
        return
    if not asked.runs or (general := _general(assistant, asked.text)):
        yield from assistant.ask(general if asked.runs else asked.question, history)
        return
    records = [read(folder) for folder in asked.runs]
    if told := "\n\n".join(filter(None, (_settings(record, asked.text, sources) for record in records))):
        yield _reply(_introduced(asked.question, told), sources.passages, done=True)
    elif len(records) > 1:
        told = _compared(records[:_COLUMNS], sources)
        yield _reply(_introduced(asked.question, told), sources.passages, done=True)
    else:
        yield from _diagnosed(assistant, asked.runs[0], asked.question, history)


def _introduced(question: str, text: str) -> str:
    return f"> 语料库是英文的。以下根据运行文件得出。\n\n{text}" if has_chinese(question) else text


def _general(assistant: Assistant, text: str) -> str:
    """The question that a text asks of the corpus, if it only mentions its run: what a term means, how one does it."""
    for sentence in _SENTENCE.split(text):
        if not _GENERAL.search(sentence) or _JUDGES.search(sentence):
            continue
        runs = re.findall("ⓡ+", sentence)
        if (_HOW_TO.search(sentence) and len(runs) == 1 and not _ALL.search(sentence)) or (
                not runs and not _REFERS.search(sentence) and assistant.retriever.named(sentence)):
            return re.sub("ⓡ+", "a run", sentence).strip()
    return ""


def _settings(record: Record, text: str, sources: Sources) -> str:
    """The settings of a run that a text asks for, each with the usual value; empty if it asks for none."""
    own = {**record.run.config, **record.config}
    spoken = COUNTS if _COUNTED.search(text) else {}
    names = [(name, pattern(" | ".join(filter(None, (name.replace("_", " "), SETTINGS.get(name), spoken.get(name))))))
             for name in sorted((own.keys() | SETTINGS.keys()) - {*_NOT_ASKED, *NOT_IN_A_PLAN},
                                key=lambda name: (name not in own, -len(name)))]
    said = [one for one in mentions_in(text, names) if one.text.lower() not in _METRICS]
    if not _VALUE.search(text) or _JUDGES.search(blank(text, said)):
        return ""
    asked = list(dict.fromkeys(one.key for one in said)) or (list(record.config) if _ALL.search(text) else [])
    known = [name for name in asked if name in own]
    if not asked:
        return ""
    lines = [f"- `{name}`: {shown(own[name])}{_beside(record, name)}" for name in known]
    lines += [f"- `{name}`: no setting of this run" for name in asked if name not in own]
    mark = sources.cite(_passage(record.run, record.setting(*(known or record.config))))
    return "\n".join([f"**Run `{record.run.id}`**, {record.title}:", "", *lines]) + f" {mark}"


def _beside(record: Record, name: str) -> str:
    """What a setting is where nobody changes it."""
    if name not in record.usual:
        return ""
    return f" (usual: {shown(record.changed[name])})" if name in record.changed else " (as usual)"


def _compared(records: Sequence[Record], sources: Sources) -> str:
    """A table of runs: what they are, the settings that differ, and how they went."""
    judged = [diagnose(record.run.path) for record in records]
    every = [{**{name: value for name, value in record.run.config.items() if name not in _NOT_COMPARED},
              **record.config} for record in records]
    differing = [name for name, value in every[0].items()
                 if all(name in own for own in every) and any(own[name] != value for own in every)]
    last = [record.returns.values[-1:] for record in records]
    rows = [
        ["", *(f"`{record.run.id}`" for record in records)], ["---"] * (len(records) + 1),
        ["algorithm", *(record.algo.title if record.algo else str(record.run.config.get("algo"))
                        for record in records)],
        ["environment", *(str(record.run.config.get("env")) for record in records)],
        ["env steps", *(f"{record.steps:,}" for record in records)],
        *([f"`{name}`", *(shown(own[name]) for own in every)] for name in differing),
        ["mean return", *(number(values[0]) if values else "–" for values in last)],
        ["first finding", *(one.findings[0].name if one.findings else "none" for one in judged)],
    ]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    told = []
    for record, one in zip(records, judged, strict=True):
        evidence = (*one.evidence, record.setting("algo", "env", "env_steps", *differing))
        marks = "".join(sources.cite(_passage(record.run, piece)) for piece in evidence)
        told.append(f"- **`{record.run.id}`** {one.progress} {marks}")
    alike = len({record.run.config.get("env") for record in records}) == 1
    told.append("\nOne run each says little: repeat both with several seeds before you conclude anything." if alike else
                "\nTheir environments differ, so their returns cannot be compared.")
    return f"{table}\n\n" + "\n".join(told)


def _diagnosed(assistant: Assistant, folder: Path, question: str, history: History) -> Iterator[Reply]:
    """What was found in a run's files, in a language model's words if there is one."""
    stops = assistant.stops
    diagnosis = diagnose(folder)
    sources = Sources()
    text = _introduced(question, _composed(assistant, diagnosis, sources))
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
    marks = "".join(sources.cite(_passage(diagnosis.run, one)) for one in diagnosis.evidence)
    parts = [f"**Run `{run.id}`.** {diagnosis.summary} {diagnosis.progress} {marks}".rstrip()]
    if not diagnosis.findings:
        parts.append("Its curves and settings show none of the usual faults. If it should do better, compare several "
                     "seeds before you change anything.")
    for finding in diagnosis.findings[:_SHOWN]:
        parts.append(_section(assistant, diagnosis, finding, sources))
    if rest := diagnosis.findings[_SHOWN:]:
        parts.append("**Also:** " + " · ".join(
            f"{one.name} {sources.cite(_passage(diagnosis.run, one.evidence[0]))}" for one in rest))
    return "\n\n".join(parts)


def _section(assistant: Assistant, diagnosis: Diagnosis, finding: Finding, sources: Sources) -> str:
    """One finding: what was seen, what to do, and what the corpus says about it."""
    marks = "".join(sources.cite(_passage(diagnosis.run, one)) for one in finding.evidence)
    lines = [f"**{finding.name}.** {finding.says} {marks}", f"*Try:* {finding.advice}"]
    best = next((one for one in assistant.find(finding.ask).passages if _is_about(one, finding.ask)), None)
    quoted = {one.chunk.id for one in sources.passages}
    if best and best.chunk.id not in quoted and (said := _opening(best.chunk.text)):
        lines.append(f"{said} {sources.cite(best)}")
    return "\n\n".join(lines)


def _is_about(passage: Passage, ask: str) -> bool:
    """Whether a passage has most of the words that were looked up."""
    asked = {stem(word) for word in content_words(ask)}
    return len(asked & stems(passage.text)) >= _SHARED * len(asked)


def _opening(text: str) -> str:
    """The first statements of a passage that stand on their own: pages answer first and explain later."""
    said: list[str] = []
    for block in blocks(text):
        for sentence in sentences(text[block.start:block.end]) if block.kind == "paragraph" else ():
            if said and len(" ".join([*said, sentence]).split()) > _QUOTED:
                return " ".join(said)
            if said or not _LEANS.match(sentence):
                said.append(" ".join(sentence.split()))
        if said:
            break
    return " ".join(said)


def _passage(run: Run, evidence: Evidence) -> Passage:
    """A piece of a run's files as the citation machinery takes it."""
    path = (run.path / evidence.file).as_posix()
    page = Document(path, f"Run {run.id}", "", {})
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
