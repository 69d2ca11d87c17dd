"""What README.md shows and counts; its commands are checked with those of the corpus."""

import re
import tomllib
from pathlib import Path

import pytest

from rlcore import catalog

ROOT = Path(__file__).resolve().parents[1]
README = ROOT / "README.md"
TEXT = README.read_text(encoding="utf-8")


def test_its_links_folders_targets_and_optional_parts_exist() -> None:
    paths = re.findall(r"\]\(([^)\s]+)\)|^\| `([^`]+)` \|", TEXT, re.MULTILINE)
    assert [path for path in map("".join, paths) if not (ROOT / path).exists()] == []
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert set(re.findall(r"\bmake ([a-z]+)", TEXT)) <= set(targets)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(",".join(re.findall(r"rl-copilot\[([\w,]+)\]", TEXT)).split(",")) <= set(extras)


def test_it_counts_as_the_catalogue_does() -> None:
    listed = re.search(r"\*\*(\d+) algorithms\*\*, one readable file each: ([^.]+)\.", TEXT)
    assert listed is not None
    assert int(listed[1]) == len(catalog.ALGORITHMS)
    assert set(re.split(r",\s+", listed[2])) == {one.title for one in catalog.ALGORITHMS.values()}
    games = sum(place.family == "Atari" for place in catalog.ENVIRONMENTS.values())
    assert f"{len(catalog.ENVIRONMENTS)} of them, {games} Atari games among them" in TEXT


def test_its_python_runs_if_only_for_a_few_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RLCORE_RUN_DIR", raising=False)
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    assert "100_000" in code
    exec(compile(code.replace("100_000", "1_024"), str(README), "exec"), {})
    assert (tmp_path / "episode.mp4").stat().st_size > 0
