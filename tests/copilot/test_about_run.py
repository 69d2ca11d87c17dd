"""Questions about runs: which run is meant, and whether a setting, a comparison, a diagnosis or the corpus is asked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from copilot.about_run import ask, explain, named_runs
from copilot.assistant import Assistant, Reply
from copilot.cite import marks
from tests.copilot.fakes import PAGES, WordEmbedder, write_corpus
from tests.copilot.test_diagnose import FLAT, NEVER, RISING, write_run

_NEWEST_LAST = [("ppo-old", "ppo", "CartPole-v1"), ("ppo-cart", "ppo", "CartPole-v1"),
                ("ppo-swing", "ppo", "Pendulum-v1"), ("dqn-car", "dqn", "MountainCar-v0"),
                ("sac-a", "sac", "Pendulum-v1")]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    for age, (name, algo, env) in enumerate(_NEWEST_LAST):
        config = {"learning_rate": 0.05, "hidden": [32]} if name == "ppo-old" else {}
        curves = NEVER if algo == "dqn" else {"episode__return_100": RISING if name == "ppo-cart" else FLAT}
        os.utime(write_run(root, name, algo, env, config=config, **curves) / "config.yaml", (age, age))
    return root


@pytest.fixture(scope="module")
def assistant(tmp_path_factory) -> Assistant:
    root = tmp_path_factory.mktemp("asking")
    pages = PAGES | {"faq/runs.md": """---
title: "FAQ: runs"
---
## How do I resume a run?

Resume a run with the resume command and its folder.

## Should I clip gradients, and at what norm?

Yes: clip gradients always, at one norm. Common norms to clip gradients at are 0.5 and 10.
"""}
    return Assistant.open(write_corpus(root / "corpus", pages), root / "index", embedder=WordEmbedder())


def asked(assistant: Assistant, question: str, root: Path, history: tuple = ()) -> Reply:
    *_, reply = ask(assistant, question, history, root)
    assert reply.done and sorted(marks(reply.text)) == [source.number for source in reply.sources]
    return reply


@pytest.mark.parametrize(("question", "names"), [
    ("why did ppo-cart stop improving?", ["ppo-cart"]), ("is ppo-cart-22 there?", []), ("what is PPO?", []),
    ("What happened in my last run?", ["sac-a"]), ("why is my latest training so bad", ["sac-a"]),
    ("最近一次训练为什么停了", ["sac-a"]), ("Why did the PPO run on CartPole stop improving?", ["ppo-cart"]),
    ("what is wrong with my DQN run", ["dqn-car"]), ("what happened in the last SAC run", ["sac-a"]),
    ("why is the Pendulum run so bad", ["sac-a"]), ("my last PPO run", ["ppo-swing"]),
    ("我的 DQN 训练为什么不提高", ["dqn-car"]), ("CartPole 上的 PPO 训练为什么停了", ["ppo-cart"]),
    ("最近的 PPO 训练", ["ppo-swing"]), ("compare sac-a and ppo-old", ["sac-a", "ppo-old"]),
    ("compare the PPO and SAC runs on Pendulum", ["ppo-swing", "sac-a"]),
    ("my SAC run and my PPO run on CartPole", ["sac-a", "ppo-cart"]),
    ("compare my last two runs", ["dqn-car", "sac-a"]), ("最近两次训练有什么区别", ["dqn-car", "sac-a"]),
    ("why did my TD3 run fail?", []), ("How do I train PPO on CartPole?", []), ("用 PPO 在 CartPole 上训练", []),
    ("why is my PPO training on CartPole unstable?", []), ("what is in the run folder?", []),
    ("What is the latest training recipe for DPO?", []), ("Why is the loss higher in the last training epochs?", []),
    ("my latest training crashed", ["sac-a"]), ("explain my last training run", ["sac-a"]),
    ("最近的训练方法有哪些", []), ("最新的训练技巧是什么", []), ("最近的训练有哪些趋势", []),
    ("上次训练的奖励为什么低", ["sac-a"]), ("最近训练不收敛怎么办", ["sac-a"]),
    ("How long should the PPO training on CartPole run?", []), ("Should I stop the PPO training run?", ["ppo-swing"]),
    ("does my PPO training run on CartPole fail", ["ppo-cart"]),
])
def test_a_question_names_its_runs(root, question, names):
    assert [run.name for run in named_runs(question, root).runs] == names


@pytest.mark.parametrize(("question", "said"), [
    ("what learning rate did ppo-old use?", "- `learning_rate`: 0.05 (usual: 0.001) [1]"),
    ("ppo-old 用了多大的学习率？", "- `learning_rate`: 0.05 (usual: 0.001) [1]"),
    ("how many environments did the last SAC run use?", "- `num_envs`: 1 (as usual) [1]"),
    ("which hidden sizes and which seed did ppo-old have?", "- `hidden`: 32 (usual: 64, 64)"),
    ("what clip range did dqn-car use?", "- `clip`: no setting of this run [1]"),
    ("which settings did ppo-old use?", "- `epochs`: 4"),
])
def test_a_setting_is_told_from_the_runs_config(assistant, root, question, said):
    reply = asked(assistant, question, root)
    assert said in reply.text and "*Try:*" not in reply.text
    assert [Path(source.path).name for source in reply.sources] == ["config.yaml"]


def test_a_setting_that_is_judged_is_a_matter_for_the_diagnosis(assistant, root):
    for question in ("Was the learning rate of ppo-old too high?", "which learning rate should I try in ppo-old?"):
        assert "**Settings differ" in asked(assistant, question, root).text


@pytest.mark.parametrize("question", ["compare ppo-old and ppo-cart", "ppo-old 和 ppo-cart 有什么区别？",
                                      "Why is ppo-old worse than ppo-cart?"])
def test_two_runs_are_compared_in_a_table_that_cites_both(assistant, root, question):
    reply = asked(assistant, question, root)
    for row in ("|  | `ppo-old` | `ppo-cart` |", "| algorithm | PPO | PPO |", "| env steps | 100,000 | 100,000 |",
                "| `learning_rate` | 0.05 | 0.0003 |", "| mean return | 20 | 455 |"):
        assert row in reply.text
    assert "| `gamma`" not in reply.text and "several seeds" in reply.text
    assert {Path(source.path).parent.name for source in reply.sources} == {"ppo-old", "ppo-cart"}
    assert "cannot be compared" in asked(assistant, "compare ppo-old and sac-a", root).text


@pytest.mark.parametrize(("question", "page"), [
    ("What is a value function? I saw it in ppo-old.", "glossary.md"),
    ("I read about it in ppo-old. What is a value function?", "glossary.md"),
    ("How do I resume ppo-old?", "faq/runs.md"),
    ("What does the clip of the ratio in ppo-old mean?", "papers/ppo.md"),
])
def test_a_question_that_only_mentions_a_run_goes_to_the_corpus(assistant, root, question, page):
    reply = asked(assistant, question, root)
    assert "ppo-old" not in reply.text and reply.sources[0].path == page


@pytest.mark.parametrize("question", [
    "what is wrong with ppo-old?", "How can I improve ppo-old?", "ppo-old 怎么了？", "explain ppo-old",
    "ppo-old finished. What should I change?", "what was the entropy of ppo-old?"])
def test_a_question_on_how_it_went_is_answered_by_the_diagnosis(assistant, root, question):
    assert "**Run `ppo-old`.**" in asked(assistant, question, root).text


@pytest.mark.parametrize(("question", "said"), [
    ("Resume ppo-old", "`python -m rlcore resume {}`"), ("can you evaluate my last run?", "`python -m rlcore evaluate"),
    ("stop the last run", "Ctrl-C"), ("删除最近一次训练", "delete its folder `{}`")])
def test_what_is_to_be_done_to_a_run_is_answered_by_where_to_do_it(assistant, root, question, said):
    (run,) = named_runs(question, root).runs
    reply = asked(assistant, question, root)
    assert said.format(run.as_posix()) in reply.text and "*Try:*" not in reply.text
    assert "a run" in asked(assistant, "How do I resume ppo-old?", root).text


def test_a_follow_up_may_call_it_this_run(assistant, root):
    history = (("why did ppo-old stop improving?", "It stopped."),)
    assert "`learning_rate`: 0.05" in asked(assistant, "and what learning rate did it use?", root, history).text
    assert "`seed`: 0" in asked(assistant, "which seed has this run?", root, history).text
    assert "Run `" not in asked(assistant, "What is a value function?", root, history).text


def test_a_run_that_is_given_by_its_folder_is_asked_in_the_same_way(assistant, root):
    *_, reply = explain(assistant, root / "ppo-old", "which learning rate did it use?")
    assert "- `learning_rate`: 0.05" in reply.text
    *_, reply = explain(assistant, root / "ppo-old")
    assert "**Settings differ" in reply.text


def test_a_quotation_stands_on_its_own(assistant, tmp_path):
    folder = write_run(tmp_path, episode__return_100=FLAT, loss__grad_norm=[1.0] * 29 + [4e4])
    *_, reply = explain(assistant, folder, "why?")
    assert "Common norms to clip gradients at are 0.5 and 10. [" in reply.text and "Yes" not in reply.text
