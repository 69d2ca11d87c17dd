"""A compiled step is the readable one: same numbers, vectors and optimisers; and is refused where it cannot be."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces

import rlcore as rl
from rlcore import catalog, training
from rlcore.fast import graph
from rlcore.finetune import freeze
from rlcore.runs import read_spec, write_spec
from tests.rlcore.algos.stand_ins import rollout

ACTORS = ("sac", "td3", "ddpg", "tqc", "redq", "modsac")
VALUES = ("dqn", "qrdqn", "iqn", "sac_discrete")
OBS, ACTIONS, CHOICES = spaces.Box(-1, 1, (3,)), spaces.Box(-2, 2, (2,)), spaces.Discrete(3)
SMALL = {"hidden": (16, 16), "batch_size": 32, "capacity": 1_000, "num_envs": 2, "learning_rate": 1e-3}


def follow(traced, _inputs):
    """No compiler: the graph's operations one by one."""
    return traced


def agents(algo: str, **changes):
    """Two equal agents with equal memories."""
    pair = []
    for _ in range(2):
        torch.manual_seed(0)
        config = catalog.config_class(algo)(**SMALL | changes)
        agent = catalog.agent_class(algo)(OBS, CHOICES if algo in VALUES else ACTIONS, config, seed=0)
        torch.manual_seed(1)
        action = torch.randint(3, (40, 2)) if algo in VALUES else torch.rand(40, 2, 2) * 2 - 1
        agent.remember(rollout(torch.randn(41, 2, 3), action))
        pair.append(agent)
    return pair


def updated(agent, times: int):
    metrics = []
    for seed in range(times):
        torch.manual_seed(seed)
        metrics.append({name: float(value) for name, value in agent.update().items()})
    return metrics


def assert_equal(plain, compiled, rtol):
    for name, vector in vars(plain).items():
        if isinstance(vector, torch.nn.Parameter):
            torch.testing.assert_close(getattr(compiled, name), vector, rtol=rtol, atol=rtol)
    for name, optimizer in vars(plain).items():
        if isinstance(optimizer, torch.optim.Adam):
            other = getattr(compiled, name).state_dict()["state"][0]
            for key, value in optimizer.state_dict()["state"][0].items():
                torch.testing.assert_close(other[key], value, rtol=rtol, atol=rtol)


OPTIONS = {"prioritized": True, "max_grad_norm": 0.1, "normalize_obs": True}


@pytest.mark.parametrize(("algo", "changes"), [
    *((algo, {}) for algo in (*ACTORS, *VALUES)), *((algo, OPTIONS) for algo in ACTORS),
    ("dqn", OPTIONS | {"dueling": True, "double": True}), ("dqn", {"atoms": 11, "learning_rate_steps": 1_000}),
    ("qrdqn", {"n_step": 3}), *((algo, OPTIONS) for algo in ("qrdqn", "iqn", "sac_discrete"))])
def test_the_graph_learns_what_the_readable_step_learns(algo, changes):
    plain, compiled = agents(algo, **changes)
    vector = plain.critic_params if hasattr(plain, "critic_params") else plain.params
    before = vector.detach().clone()
    assert graph.obstacle(compiled) is None
    graph.compile_steps(compiled, follow)
    for expected, found in zip(updated(plain, 6), updated(compiled, 6), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)
    assert not torch.equal(before, vector)
    assert_equal(plain, compiled, rtol=2e-3)


def test_vectors_stay_where_networks_and_checkpoints_look_for_them():
    plain, compiled = agents("sac")
    graph.compile_steps(compiled, follow)
    weight, address = compiled.actor[0].weight, compiled.actor_params.data_ptr()
    before = weight.detach().clone()
    updated(compiled, 2)
    assert compiled.actor_params.data_ptr() == address and not torch.equal(weight, before)
    saved = compiled.state_dict()
    plain.load_state_dict(saved)
    assert_equal(plain, compiled, rtol=0)


def test_a_loaded_state_is_what_the_graph_goes_on_from():
    plain, compiled = agents("td3")
    updated(plain, 3)
    graph.compile_steps(compiled, follow)
    updated(compiled, 1)
    compiled.load_state_dict(plain.state_dict())
    for agent in (plain, compiled):
        agent.rng = np.random.default_rng(5)
    updated(plain, 2), updated(compiled, 2)
    assert_equal(plain, compiled, rtol=1e-3)


def test_wide_products_are_rounded_only_if_asked_for():
    def shift(precision):
        plain, compiled = agents("sac", hidden=(128, 128))[0], agents("sac", hidden=(128, 128), precision=precision)[0]
        graph.compile_steps(compiled, follow)
        return abs(updated(plain, 1)[0]["loss/value"] - updated(compiled, 1)[0]["loss/value"])

    assert shift("float32") < 1e-6 < shift("bfloat16") < 0.1


def test_pixels_and_frozen_parameters_are_not_compiled():
    pixels = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    agent = catalog.agent_class("sac")(pixels, ACTIONS, catalog.config_class("sac")(capacity=100), seed=0)
    assert "plain layers" in graph.obstacle(agent)
    held, free = agents("sac")
    freeze(held, ["actor.0"])
    assert "frozen" in graph.obstacle(held) and graph.obstacle(free) is None


def test_what_cannot_be_compiled_is_refused_in_a_sentence(tmp_path: Path):
    with pytest.raises(rl.ConfigError, match=r"this algorithm's updates cannot be compiled\. Leave it out"):
        rl.train("ppo", "CartPole-v1", env_steps=10, compiled=True, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_short_runs_are_not_compiled(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(graph, "compile_steps", lambda _agent: pytest.fail("compiled"))
    rl.train("sac", "Pendulum-v1", {"learning_starts": 100, "hidden": (8, 8)}, env_steps=300,
             run_dir=tmp_path, progress=False)


TINY = {"hidden": (8, 8), "learning_starts": 100, "batch_size": 8}


@pytest.fixture
def _no_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)


@pytest.mark.usefixtures("_no_compiler")
def test_a_compiled_run_is_refused_in_a_sentence_where_no_compiler_is(tmp_path: Path, monkeypatch):
    with pytest.raises(rl.ConfigError, match=r"this machine lacks the C\+\+ compiler g\+\+\. Install it, or use "
                                             r"compiled=False"):
        rl.train("sac", "Pendulum-v1", TINY, env_steps=200, compiled=True, run_dir=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.setenv("CXX", "/opt/none/clang++")  # torch would look for this one only
    with pytest.raises(rl.ConfigError, match=r"lacks the C\+\+ compiler /opt/none/clang\+\+\."):
        rl.train("sac", "Pendulum-v1", TINY, env_steps=200, compiled=True, run_dir=tmp_path / "run")


@pytest.mark.usefixtures("_no_compiler")
def test_a_long_run_is_not_compiled_by_itself_where_no_compiler_is(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(training, "WORTH_COMPILING", 1)
    rl.train("sac", "Pendulum-v1", TINY, env_steps=200, run_dir=tmp_path / "run", progress=False)
    assert not read_spec(tmp_path / "run").compiled


@pytest.mark.usefixtures("_no_compiler")
def test_a_compiled_run_goes_on_readable_with_a_warning_where_no_compiler_is(tmp_path: Path, caplog):
    whole = rl.train("sac", "Pendulum-v1", TINY, env_steps=300, run_dir=tmp_path / "whole", progress=False)
    rl.train("sac", "Pendulum-v1", TINY, env_steps=200, run_dir=tmp_path / "moved", progress=False)
    write_spec(tmp_path / "moved", replace(read_spec(tmp_path / "moved"), compiled=True))  # as its own machine could
    with caplog.at_level("WARNING", "rlcore"):
        moved = rl.resume(tmp_path / "moved", env_steps=300, progress=False)
    assert "lacks the C++ compiler g++, so the compiled run goes on with the readable step" in caplog.text
    assert torch.equal(whole.critic_params, moved.critic_params)
    assert read_spec(tmp_path / "moved").compiled  # back on a machine with a compiler it is compiled again


def test_python_without_its_headers_cannot_compile_either(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("CXX", sys.executable)  # any program that exists
    assert graph.missing_tool("cpu") is None
    monkeypatch.setattr(graph.sysconfig, "get_path", lambda _name: str(tmp_path))
    assert "header files" in graph.missing_tool("cpu")
    assert graph.missing_tool("cuda") is None


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # torch's own import
@pytest.mark.skipif(graph.missing_tool("cpu") is not None, reason="no C++ compiler")
def test_a_compiled_run_learns_and_resumes_to_the_same_bits(tmp_path: Path):
    settings = {"hidden": (32, 32), "learning_starts": 100, "batch_size": 32}

    def trained(name: str, env_steps: int, compiled: bool):
        return rl.train("td3", "Pendulum-v1", settings, env_steps=env_steps, compiled=compiled,
                        run_dir=tmp_path / name, progress=False)

    whole, _, plain = trained("whole", 300, True), trained("broken", 201, True), trained("plain", 300, False)
    broken = rl.resume(tmp_path / "broken", env_steps=300, progress=False)
    assert torch.equal(whole.actor_params, broken.actor_params)
    assert torch.equal(whole.critic_params, broken.critic_params)
    torch.testing.assert_close(whole.critic_params, plain.critic_params, rtol=1e-2, atol=1e-2)
