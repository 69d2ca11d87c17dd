"""The documentation is held to what the code does: tables, metrics, commands, tutorials, links."""

from __future__ import annotations

import ast
import contextlib
import json
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml
from config_tables import refreshed

import rlcore as rl
from copilot.__main__ import _parser as copilot_parser
from copilot.collection import collection
from copilot.corpus import load
from copilot.llms.choose import open_answerer
from copilot.models import address, offer
from copilot.serve import serving
from rlcore import catalog
from rlcore.__main__ import _parser
from rlcore.config import ConfigError, MissingExtra, settings
from rlcore.envs.make import origin_of

ROOT = Path(__file__).resolve().parents[1]
CORPUS = ROOT / "corpus"
DOCS, PAPERS, FAQ, TUTORIALS = (CORPUS / name for name in ("docs", "papers", "faq", "tutorials"))
PAGES = sorted(path for path in CORPUS.rglob("*.md") if path.name != "README.md")
ALGORITHMS = sorted(catalog.ALGORITHMS)

ALGORITHM_HEADINGS = ["Idea", "Equations", "Update, step by step", "Config", "Metrics", "Details that matter",
                      "Results", "When it fails", "Sources"]
PAPER_KEYS = {"title", "authors", "year", "arxiv", "venue", "aliases", "topics", "on_off_policy", "action_spaces",
              "key_hyperparameters"}
KINDS_OF_POLICY = {"on-policy", "off-policy", "offline", "model-based", "not applicable"}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


every_page = pytest.mark.parametrize("path", PAGES, ids=page_name)
every_page_and_readme = pytest.mark.parametrize("path", [*PAGES, ROOT / "README.md"], ids=page_name)
every_note = pytest.mark.parametrize("path", sorted(PAPERS.glob("*.md")), ids=page_name)
every_tutorial = pytest.mark.parametrize("path", sorted(TUTORIALS.glob("*.md")), ids=page_name)
every_algorithm = pytest.mark.parametrize("algo", ALGORITHMS)


def front_matter(path: Path) -> dict[str, Any]:
    text = path.read_text(encoding="utf-8")
    match = re.match(r"---\n(.*?)\n---\n", text, re.DOTALL)
    assert match, "does not begin with front matter between --- lines"
    meta = yaml.safe_load(match[1])
    assert isinstance(meta, dict), "front matter must be key: value lines"
    return meta


@cache
def fences(path: Path) -> tuple[tuple[str, int, str], ...]:
    """Every code fence of a page: its language, the line it begins on, its code."""
    found, open_at, language = [], 0, ""
    code: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            if open_at:
                found.append((language, open_at, "\n".join(code)))
                open_at = 0
            else:
                open_at, language, code = number, line.strip("` \t"), []
        elif open_at:
            code.append(line)
    assert not open_at, f"{page_name(path)}: the code fence of line {open_at} is never closed"
    return tuple(found)


@cache
def prose(path: Path) -> str:
    """A page without front matter and code fences."""
    text = re.sub(r"\A---\n.*?\n---\n", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.sub(r"^ *```.*?^ *```[^\n]*$", "", text, flags=re.DOTALL | re.MULTILINE)


def commands(path: Path) -> list[str]:
    """Whole lines of a page's shell fences, and what stands between backticks."""
    shell = [code for language, _, code in fences(path) if language in ("bash", "sh", "console")]
    return [line for code in shell for line in code.splitlines()] + re.findall(r"`([^`]*)`", prose(path))


def headings(path: Path, level: int) -> list[str]:
    return re.findall(rf"^{'#' * level} +(.+?) *$", prose(path), re.MULTILINE)


def section(path: Path, heading: str) -> str:
    """What stands under a ## heading, its ### sections included."""
    match = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", prose(path), re.DOTALL | re.MULTILINE)
    assert match, f"{page_name(path)} has no section '{heading}'"
    return match[1]


# --- every page

@every_page
def test_a_page_has_front_matter_with_a_title_and_topics(path: Path) -> None:
    meta = front_matter(path)
    assert isinstance(meta.get("title"), str) and meta["title"].strip()
    if path.parent in (DOCS, TUTORIALS):
        assert meta["topics"] and all(isinstance(topic, str) for topic in meta["topics"])


@every_page
def test_fences_and_equations_are_closed(path: Path) -> None:
    fences(path)
    outside_code = re.sub(r"`[^`\n]*`", "", prose(path))
    assert outside_code.count("$$") % 2 == 0


@every_page
def test_a_heading_occurs_once_on_a_page_and_has_text_below_it(path: Path) -> None:
    titles = re.findall(r"^#{1,6} +(.+?) *$", prose(path), re.MULTILINE)
    assert titles, "no heading"
    assert [title for title, count in Counter(titles).items() if count > 1] == []
    assert not re.search(r"^#{1,6} [^\n]+\n+(?=\Z)", prose(path), re.MULTILINE), "ends with a heading"


@every_page
def test_relative_links_lead_to_files_and_headings(path: Path) -> None:
    text = re.sub(r"`[^`\n]*`", "", prose(path))
    targets = re.findall(r"\[[^\]]*\]\(([^)\s]+)\)", text)
    assert [target for target in targets if not re.match(r"[a-z]+:", target) and not leads(path, target)] == []


def leads(path: Path, target: str) -> bool:
    """Whether a link on a page leads to a file that is there, and behind # to one of its headings."""
    name, _, anchor = target.partition("#")
    page = path.parent / name if name else path
    return page.exists() and (not anchor or anchor in {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ +(.+?) *$", prose(page), re.MULTILINE)})


def test_a_link_to_a_heading_that_does_not_exist_leads_nowhere() -> None:
    page = DOCS / "getting-started.md"
    assert leads(page, "errors.md#a-loss-or-metric-is-null-or-nan") and leads(page, "#getting-started")
    assert not leads(page, "errors.md#no-such-heading") and not leads(page, "errrors.md")


def is_arxiv(number: str) -> bool:
    """Whether arXiv may have a paper of this number: five digits from 2015 on, four before; words before April 2007."""
    if old := re.fullmatch(r"[a-z-]+(?:\.[A-Z]{2})?/(\d{2})(0[1-9]|1[0-2])\d{3}", number):
        return old[1] > "90" or old[1] < "08"
    new = re.fullmatch(r"(\d{2})(0[1-9]|1[0-2])\.(\d{4,5})(?:v\d+)?", number)
    return new is not None and "07" <= new[1] < "40" and len(new[3]) == (5 if new[1] >= "15" else 4)


@every_page
def test_arxiv_numbers_can_be_those_of_papers(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"arxiv(?:\.org/[a-z]+/|: ?| )((?:[a-z-]+(?:\.[A-Z]{2})?/)?\d[\dv.]*\d)", text, re.IGNORECASE)
    named += [number for number in [str(front_matter(path).get("arxiv", ""))] if number]
    assert [number for number in named if not is_arxiv(number) and not re.fullmatch(r"(?:19|20)\d\d", number)] == []


def test_what_is_no_arxiv_number_is_told() -> None:
    assert all(map(is_arxiv, ("1707.06347", "1312.5602", "1412.6980v9", "cs/9905014", "cond-mat.SF/0601001")))
    assert not any(map(is_arxiv, ("1713.06347", "9999.99999", "1707.6347", "1312.56021", "cs/9999999", "17070.6347")))


@every_page
def test_python_on_a_page_compiles_and_names_only_what_rlcore_has(path: Path) -> None:
    for language, line, code in fences(path):
        if language == "python":
            compile(code, f"{page_name(path)}:{line}", "exec")
            if "import rlcore as rl" in code:
                assert set(re.findall(r"(?<![\w.])rl\.(\w+)", code)) <= set(rl.__all__)


@every_page_and_readme
def test_commands_of_the_copilot_on_a_page_are_commands_that_exist(path: Path) -> None:
    for line in commands(path):
        match = re.search(r"(?:\brl-copilot|python -m copilot) (\S.*)", " ".join(line.split(" #")[0].split()))
        if match and not re.search(r"…|\.\.\.|<|--help|\|", match[1]):
            words = shlex.split(match[1])
            try:       # a command's name alone says nothing of what it needs
                copilot_parser().parse_args([*words, *["--help"] * all(map(str.isalpha, words))])
            except SystemExit as left:
                assert not left.code, f"{line!r} is no command of the copilot"


@every_page_and_readme
def test_commands_on_a_page_are_commands_that_exist(path: Path) -> None:
    """Those with PLACEHOLDERS are none."""
    for line in commands(path):
        match = re.search(r"python -m rlcore (.+)", " ".join(line.split("#")[0].split()))
        if not match or " " not in match[1] or re.search(r"\b[A-Z]{3,}\b(?!-)|…|\.\.\.|<|--help|\|", match[1]):
            continue
        arguments = shlex.split(match[1])
        try:
            options = _parser(arguments).parse_args(arguments)
        except ConfigError as error:
            pytest.fail(f"{line!r}: {error}")
        # another file's class cannot be looked up here
        if getattr(options, "env", None) and options.env not in catalog.ENVIRONMENTS and ".py:" not in options.env:
            with contextlib.suppress(MissingExtra):
                origin_of(options.env, {})


def test_no_paragraph_stands_on_two_pages() -> None:
    homes: dict[str, set[str]] = defaultdict(set)
    for path in PAGES:
        for paragraph in re.split(r"\n\s*\n", prose(path)):
            words = " ".join(paragraph.split())
            if len(words) > 200:
                homes[words].add(page_name(path))
    assert {words[:80]: sorted(pages) for words, pages in homes.items() if len(pages) > 1} == {}


# --- papers, FAQ, glossary

@every_note
def test_a_paper_note_says_what_a_reader_filters_by(path: Path) -> None:
    meta = front_matter(path)
    assert meta.keys() >= PAPER_KEYS
    assert isinstance(meta["arxiv"], str)
    assert isinstance(meta["year"], int) and 1950 <= meta["year"] <= 2100
    assert meta["on_off_policy"] in KINDS_OF_POLICY
    assert set(meta["action_spaces"]) <= {"discrete", "continuous"}
    assert meta["authors"] and isinstance(meta["key_hyperparameters"], dict)


# Platforms, theorems and frameworks, of which the paper names no settings that a reader would start from.
WITHOUT_SETTINGS = {
    "d4rl", "dyna", "envpool", "gymnasium", "implementation-matters", "max-ent-irl", "mujoco",
    "natural-policy-gradient", "options", "pettingzoo", "policy-gradient-theorem", "psro", "q-learning",
    "reward-shaping", "smac", "td-lambda", "time-limits"}


@every_note
def test_a_paper_note_has_mathematics_an_algorithm_and_settings(path: Path) -> None:
    assert "$$" in prose(path)
    assert re.search(r"^1\. .+\n(?:(?:\d+\. | +).+\n)*2\. ", prose(path), re.MULTILINE), "no list of steps"
    assert bool(front_matter(path)["key_hyperparameters"]) == (path.stem not in WITHOUT_SETTINGS)


@every_note
@pytest.mark.parametrize("said", [
    r"When (?:to|should|is|do|does)\b|.*\bwhen not\b", r".*(?:reproduc|transfers|\bh[eo]lds?\b|proven|weakness)",
    r".*(?:pitfall|mistake)", r".*\brlcore$", "Sources"], ids=["when", "reproduces", "pitfalls", "rlcore", "sources"])
def test_a_paper_note_has_a_section_on(path: Path, said: str) -> None:
    titles = headings(path, 2)
    assert any(re.match(said, title, re.IGNORECASE) for title in titles), titles


@every_note
def test_a_paper_note_names_its_own_paper_among_its_sources(path: Path) -> None:
    last = headings(path, 2)[-1]
    assert last.startswith("Sources") and front_matter(path)["arxiv"] in section(path, last)


LISTINGS = [(FAQ / name, line, code) for name in ("algorithms-in-code.md", "building-blocks-in-code.md")
            for language, line, code in fences(FAQ / name) if language == "python"]
LENGTHS = {"EPISODES": 20, "STEPS": 1_200, "UPDATES": 3, "ROUNDS": 2, "EPOCHS": 10}    # at most, in the test


@pytest.mark.parametrize(("path", "line", "code"), LISTINGS,
                         ids=[f"{page_name(path)}:{line}" for path, line, _ in LISTINGS])
def test_a_listing_runs_by_itself_if_only_for_a_few_rounds(
        path: Path, line: int, code: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    short = re.sub(r"^([A-Z]+) = ([\d_]+)$", lambda length: f"{length[1]} = "
                   f"{min(int(length[2]), LENGTHS.get(length[1], int(length[2])))}", code, flags=re.MULTILINE)
    script = tmp_path / path.with_suffix(".py").name
    script.write_text("\n" * line + short, encoding="utf-8")       # line numbers in a traceback are those of the page
    runpy.run_path(str(script), run_name="__main__")


def test_there_is_enough_of_everything() -> None:
    assert len(list(PAPERS.glob("*.md"))) >= 120
    assert sum(len(headings(path, 2)) for path in FAQ.glob("*.md")) >= 150
    assert len(list(TUTORIALS.glob("*.md"))) >= 25


def test_the_glossary_has_hundreds_of_terms_each_with_its_chinese_name() -> None:
    text = prose(CORPUS / "glossary.md")
    terms = re.split(r"^### +", text, flags=re.MULTILINE)[1:]
    assert len(terms) >= 300
    assert [term.splitlines()[0] for term in terms if not CHINESE.search(term)] == []


# --- the pages follow the catalogue and the code

@every_algorithm
def test_every_algorithm_has_a_page_with_the_fixed_headings(algo: str) -> None:
    assert headings(DOCS / f"{algo}.md", 2) == ALGORITHM_HEADINGS


@every_algorithm
def test_the_tables_of_settings_and_presets_are_those_of_the_code(algo: str) -> None:
    text = (DOCS / f"{algo}.md").read_text(encoding="utf-8")
    assert f"<!-- config:{algo} -->" in text and f"<!-- presets:{algo} -->" in text
    assert refreshed(text) == text, "out of date: run `python -m tests.config_tables`"


@every_algorithm
def test_settings_named_beside_the_table_exist(algo: str) -> None:
    """Words in backticks on an algorithm's page that look like a setting, in `--name value` or `name: value`."""
    text = prose(DOCS / f"{algo}.md")
    known = {item.name for item in settings(catalog.config_class(algo))} | {"env", "target_return", "device"}
    assert set(re.findall(r"--(\w+)", text)) <= known
    assert set(re.findall(r"`(\w+): [^`]+`", text)) <= known


def told(name: str) -> str:
    """The section on an environment and its row of a table with the head; of one of many all of their page."""
    named = re.compile(rf"(?<![\w/-]){re.escape(name)}(?![\w-])")
    for path in sorted((DOCS / "environments").glob("*.md")):
        own = [section(path, title) for title in headings(path, 2) if named.search(title)]
        tables = re.findall(r"(?:^\|.*\n)+", prose(path), re.MULTILINE)
        rows = [f"{table.splitlines()[0]}\n{row}" for table in tables for row in table.splitlines()
                if named.search(row.split("|")[1])]
        if own or rows:
            return "\n".join([*own, *rows] if own and "\n### " in own[0] else [prose(path), *rows])
    return ""


@pytest.mark.parametrize("name", catalog.ENVIRONMENTS)
def test_every_environment_has_its_spaces_reward_a_good_return_and_gotchas(name: str) -> None:
    text, score = told(name), catalog.ENVIRONMENTS[name].solved_at
    assert re.search("observation|states", text) and re.search("actions?|motors", text)
    assert re.search("reward|pays|costs", text) and "gotchas" in text
    good = r"[Gg]ood (?:return|agent)|[Bb]est (?:mean )?(?:return|policy|play)|counts as solved"
    assert re.search(good if score is None else rf"(?<![\d.,]){score:,g}(?![\d,])".replace("-", "−"), text)


@pytest.mark.parametrize("path", sorted((DOCS / "environments").glob("*.md")), ids=page_name)
def test_the_tables_of_environments_are_those_of_the_catalogue(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert refreshed(text) == text, "out of date: run `python -m tests.config_tables`"


# --- errors

SIM = """import gymnasium
import numpy as np


class Arm(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Box(-1, 1, (2,)), gymnasium.spaces.MultiBinary(3)
    steps = 0

    def reset(self, *, seed=None, options=None):
        return np.zeros(2, np.float32), {}

    def step(self, action):
        self.steps += 1
        return np.zeros(2, np.float32), float("nan") if self.steps == 40 else 0.0, False, False, {}
"""


def without_envpool() -> None:
    with patch.dict(sys.modules, envpool=None):
        rl.make_env("CartPole-v1", backend="envpool")


MISTAKES: dict[str, Callable[[], object]] = {
    "unknown algorithm": lambda: catalog.algorithm("poo"),
    "unknown environment": lambda: rl.make_env("CartPol-v1"),
    "unknown setting": lambda: catalog.config_for("ppo", "", {"learning_rte": 0.1}),
    "out of range": lambda: catalog.config_for("ppo", "", {"gamma": 1.5}),
    "wrong type by hand": lambda: rl.PPOConfig(epochs="3"),  # type: ignore[arg-type]
    "wrong type": lambda: catalog.config_for("ppo", "", {"epochs": "many"}),
    "a seed below zero": lambda: rl.train("ppo", "CartPole-v1", seed=-3),
    "unknown sampler": lambda: rl.train("ppo", "CartPole-v1", sampler="serail"),
    "minibatches": lambda: catalog.config_for("ppo", "", {"num_minibatches": 5}),
    "dqn with continuous actions": lambda: rl.train("dqn", "Pendulum-v1", env_steps=10),
    "dqn with switches": lambda: rl.train("dqn", "sim.py:Arm", env_steps=10),
    "sac with discrete actions": lambda: rl.train("sac", "CartPole-v1", env_steps=10),
    "an optional part that is not installed": without_envpool,
    "an engine that the sampler cannot use": lambda: rl.train("ppo", "CartPole-v1", sampler="parallel",
                                                              backend="native"),
    "an engine that lacks the environment": lambda: rl.make_env("rlcore/BitFlip-v0", backend="native"),
    "an algorithm that cannot lag behind": lambda: rl.train("a2c", "CartPole-v1", sampler="async"),
    "patience without evaluations": lambda: rl.train("ppo", "CartPole-v1", env_steps=10, patience=3),
    "hindsight without goals": lambda: rl.train("dqn", "CartPole-v1", rl.DQNConfig(), env_steps=10, hindsight=0.8),
    "hindsight without replay": lambda: rl.train("ppo", "CartPole-v1", env_steps=10, hindsight=0.8),
    "masks that are not given": lambda: rl.make_env("Acrobot-v1", action_mask=True).reset(),
    "unknown answerer": lambda: open_answerer("olama:qwen3"),
    "no model": lambda: open_answerer("models/model.gguf"),
    "a web page for a model": lambda: open_answerer("page.gguf"),
    "a folder without a model": lambda: open_answerer("transformers:models/qwen3"),
    "a server elsewhere": lambda: open_answerer("ollama:qwen3@http://192.168.1.20:11434"),
    "to serve other machines": lambda: serving(None, "0.0.0.0"),  # type: ignore[arg-type]
    "no corpus": lambda: load(Path("corpus")),
    "no collection": lambda: collection(Path(".index"), "lab"),
    "a collection's name": lambda: collection(Path(".index"), "my lab", new=True),
    "no file on the hub": lambda: address("hf:model.gguf"),
    "an address without encryption": lambda: address("http://example.com/model.gguf"),
    "no checksum": lambda: offer("https://example.com/model.gguf", "12ab"),
}


def first_run() -> None:
    rl.train("ppo", "CartPole-v1", env_steps=1_024, run_dir="runs/first", seed=1, progress=False)


def without_settings() -> None:
    spec = Path("runs/first/config.yaml")
    spec.write_text(re.sub(r"^(?:env|seed): .*\n", "", spec.read_text(), flags=re.MULTILINE))
    rl.resume("runs/first")


def without_a_file() -> None:
    next(Path("runs/first").glob("checkpoints/*/agent.safetensors")).unlink()
    rl.resume("runs/first")


MISTAKES_WITH_A_RUN: dict[str, Callable[[], object]] = {
    "a folder that holds a run": first_run,
    "a run without settings": without_settings,
    "a run without a file": without_a_file,
    "the start from another network": lambda: rl.train("ppo", "CartPole-v1", rl.PPOConfig(hidden=(8, 8)),
                                                       env_steps=10, start_from="runs/first"),
    "the start from another algorithm": lambda: rl.train("dqn", "CartPole-v1", env_steps=10, start_from="runs/first"),
    "a reward that is NaN": lambda: rl.train("ppo", "sim.py:Arm", rl.PPOConfig(num_envs=1), env_steps=200,
                                             progress=False),
}


def message(mistake: Callable[[], object]) -> str:
    with pytest.raises((ConfigError, MissingExtra, rl.ShapeError)) as caught:
        mistake()
    return str(caught.value)


def test_the_errors_page_quotes_messages_as_they_are_and_no_others(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)      # of sim.py
    Path("sim.py").write_text(SIM, encoding="utf-8")
    Path("page.gguf").write_text("<!DOCTYPE html>", encoding="utf-8")
    there = sorted(tmp_path.rglob("*"))
    messages = set()
    for name, mistake in MISTAKES.items():
        messages.add(message(mistake))
        assert sorted(tmp_path.rglob("*")) == there, f"{name} is refused only after something was written"
    first_run()
    shutil.copytree("runs/first", "kept")
    for mistake in MISTAKES_WITH_A_RUN.values():
        messages.add(message(mistake))
        shutil.copytree("kept", "runs/first", dirs_exist_ok=True)
    quoted = [code for language, _, code in fences(DOCS / "errors.md") if language == "text"]
    assert {line for code in quoted for line in code.splitlines()} == messages


# --- metrics

@pytest.fixture(scope="module")
def emitted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """The keys that each algorithm writes in a run of a few hundred steps."""
    small = {"num_envs": 2, "horizon": 32, "hidden": (16, 16), "batch_size": 16, "learning_starts": 100}
    keys = {}
    for name, entry in catalog.ALGORITHMS.items():
        env = "CartPole-v1" if "discrete" in entry.acts else "Pendulum-v1"
        if entry.needs_cost:
            env = "rlcore/CartPoleBounds-v0"
        known = {item.name for item in settings(catalog.config_class(name))}
        config = catalog.config_for(name, "", {key: value for key, value in small.items() if key in known})
        folder = tmp_path_factory.mktemp(name) / "run"
        rl.train(name, env, config, env_steps=480, seed=1, run_dir=folder, progress=False)
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        keys[name] = {key for row in rows for key in row}
    return keys


def test_the_metrics_page_explains_what_agents_emit_and_nothing_else(emitted: dict[str, set[str]]) -> None:
    explained = {key for title in headings(DOCS / "metrics.md", 2) for key in re.findall(r"^`([\w/]+)`", title)}
    assert explained == set().union(*emitted.values())


@every_algorithm
def test_an_algorithms_page_lists_the_metrics_it_emits(algo: str, emitted: dict[str, set[str]]) -> None:
    own = {key for key in emitted[algo] if key.startswith(("loss/", "policy/", "value/"))}
    first = section(DOCS / f"{algo}.md", "Metrics").split("###")[0]
    assert set(re.findall(r"`((?:loss|policy|value)/\w+)`", first)) == own


# --- tutorials

def script_of(path: Path) -> str:
    """All Python fences in one namespace; line numbers in a traceback are those of the page."""
    lines: list[str] = []
    for language, line, code in fences(path):
        if language == "python":
            lines += [""] * (line - len(lines)) + code.splitlines()
    assert any(lines), "no Python"
    return "\n".join(lines) + "\n"


@every_tutorial
def test_what_worker_processes_import_of_a_tutorial_does_nothing(path: Path) -> None:
    """Workers import the script: a file written outside the guard would be empty while another worker reads it."""
    if "\nif __name__ ==" in (code := script_of(path)):
        done = [node.lineno for node in ast.parse(code).body if isinstance(node, ast.Expr | ast.For | ast.With)]
        assert not done, f"{path.name} does something outside of its guard in lines {done}"


@every_tutorial
def test_a_tutorials_python_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    script = tmp_path / f"{path.stem}.py"
    script.write_text(script_of(path), encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if name != "RLCORE_RUN_DIR"}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run([sys.executable, str(script)], cwd=tmp_path, env=environment, capture_output=True, text=True,
                          timeout=1_200, check=False)  # a busy machine takes minutes to import torch
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_tutorials_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name.split("-")[0]) for path in sorted(TUTORIALS.glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
