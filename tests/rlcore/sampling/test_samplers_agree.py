"""Samplers differ in when they wait: rollouts are the same bits. A worker that fails says so and can be replaced."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import psutil
import pytest
import torch

from rlcore.data.rollout import Rollout
from rlcore.envs.make import make_env
from rlcore.processes import WorkerError
from rlcore.sampling.collect import Collector, Sampler
from rlcore.sampling.workers import Recipe, Workers
from tests.rlcore.fakes import Counting, breaking, cartpoles, slow

SPACES = [cartpoles(0, 1).single_observation_space, cartpoles(0, 1).single_action_space]
RECIPE = Recipe(cartpoles, Counting, num_envs=4, horizon=12, seed=3, random_steps=48)


def serial() -> Collector:
    return Collector(cartpoles(0, 4), Counting(*SPACES), 12, seed=3, random_steps=48)


def in_processes(num_groups: int) -> Collector:
    env = make_env("CartPole-v1", 4, seed=4, backend="process", num_workers=2)
    return Collector(env, Counting(*SPACES), 12, seed=3, random_steps=48, num_groups=num_groups)


def workers(num: int = 2, **options: Any) -> Workers:
    return Workers(RECIPE, Counting(*SPACES), SPACES[0], num, **options)


SAMPLERS: dict[str, Callable[[], Sampler]] = {
    "batched": partial(in_processes, 1), "alternating": partial(in_processes, 2),
    "parallel": workers, "three uneven workers": partial(workers, 3),
}


@pytest.fixture
def opened() -> Iterator[Callable[[Sampler], Sampler]]:
    samplers: list[Sampler] = []
    yield lambda sampler: samplers.append(sampler) or sampler
    for sampler in samplers:
        sampler.close()


def columns(rollout: Rollout) -> dict[str, bytes]:
    return {name: getattr(rollout, name).numpy().tobytes() for name in (
        "obs", "action", "reward", "terminated", "truncated", "valid", "start", "memory", "last_obs")}


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_gives_the_serial_samplers_bits(name: str, opened: Callable[[Sampler], Sampler]):
    one, other = serial(), opened(SAMPLERS[name]())
    for step in range(0, 48 * 8, 48):
        assert columns(one.collect(step)) == columns(other.collect(step))
    assert one.take_episodes() == other.take_episodes() != []  # in one order: the mean of the last 100 depends on it


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_restored_sampler_gives_the_unbroken_ones_bits(name: str, opened: Callable[[Sampler], Sampler]):
    old, new = opened(SAMPLERS[name]()), opened(SAMPLERS[name]())
    for step in range(0, 48 * 3, 48):
        old.collect(step)
    assert new.load_state_dict(old.state_dict(), fresh_seed=0)
    for step in range(48 * 3, 48 * 6, 48):
        assert columns(old.collect(step)) == columns(new.collect(step))


def test_workers_act_by_the_learners_weights_as_they_are_when_a_rollout_begins(opened: Callable[[Sampler], Sampler]):
    sampler = opened(workers())
    sampler.collect(0)
    with torch.no_grad():
        sampler.policy.acting.bias.fill_(0.0)  # the coin never shows 1 any more
    assert sampler.collect(48).action.sum() == 0


def test_ahead_a_rollout_comes_of_the_weights_before_the_last_update_and_says_how_likely_its_actions_were(
        opened: Callable[[Sampler], Sampler]):
    recipe = Recipe(cartpoles, Counting, num_envs=4, horizon=12, seed=3, log_prob=True)
    sampler = opened(Workers(recipe, Counting(*SPACES), SPACES[0], 2, ahead=True))
    seen = []
    for step, bias in ((0, 0.25), (48, 0.0), (96, 1.0), (144, 1.0)):
        rollout = sampler.collect(step)
        seen.append((float(rollout.action.float().mean()), float(rollout.extra["log_prob"].exp().mean())))
        with torch.no_grad():
            sampler.policy.acting.bias.fill_(bias)
    # made by: 0.5 (fresh), 0.5 (asked for before the first update), 0.25, 0.0
    assert [round(likely, 6) for _, likely in seen] == [0.5, 0.5, 0.25, 0.0]
    assert 0.3 < seen[0][0] < 0.7
    assert seen[2][0] < 0.45
    assert seen[3][0] == 0


def test_ahead_is_the_same_in_every_run_and_survives_a_restore(opened: Callable[[Sampler], Sampler]):
    one, other = opened(workers(ahead=True)), opened(workers(ahead=True))
    for step in range(0, 48 * 3, 48):
        rows = columns(one.collect(step))
        time.sleep(0.05)  # the workers finish in one run, and not in the other
        assert rows == columns(other.collect(step))
    third = opened(workers(ahead=True))
    assert third.load_state_dict(one.state_dict(), fresh_seed=0)
    for step in range(48 * 3, 48 * 6, 48):
        assert columns(other.collect(step)) == columns(third.collect(step))


def test_an_environment_that_raises_shows_its_traceback_and_whose_it_is(opened: Callable[[Sampler], Sampler]):
    recipe = Recipe(breaking, Counting, num_envs=4, horizon=12, seed=3)
    sampler = opened(Workers(recipe, Counting(*SPACES), SPACES[0], 2))
    with pytest.raises(WorkerError, match="the pole is missing") as error:
        sampler.collect(0)
    assert error.value.rows == (2, 3)
    first, second, *_ = str(error.value).splitlines()
    assert first.endswith("raised ValueError: the pole is missing")  # the cause before all advice
    assert "`python -m rlcore resume RUN` goes on from a run's last checkpoint" in second
    assert "Traceback" in str(error.value)


def test_a_killed_worker_is_noticed_at_once_and_its_replacement_begins_new_episodes(
        opened: Callable[[Sampler], Sampler]):
    sampler = opened(workers())
    sampler.collect(0)
    sampler.workers[1].task.kill()
    began = time.monotonic()
    with pytest.raises(WorkerError, match="died"):
        sampler.collect(48)
    assert time.monotonic() - began < 2
    assert sampler.restart() == [range(2, 4)]
    rollout = sampler.collect(48)
    assert rollout.start[0].tolist() == [False, False, True, True]


def test_a_worker_that_hangs_is_given_up_within_the_stated_time(opened: Callable[[Sampler], Sampler]):
    sampler = opened(workers(timeout_s=1.0))
    sampler.collect(0)
    os.kill(sampler.workers[0].task.pid, signal.SIGSTOP)
    began = time.monotonic()
    with pytest.raises(WorkerError, match="have not answered for 1 s"):
        sampler.collect(48)
    assert time.monotonic() - began < 3
    sampler.restart()
    assert sampler.collect(48).start[0].tolist() == [True, True, False, False]


def test_a_worker_that_steps_slowly_is_not_given_up_however_long_its_rollout(opened: Callable[[Sampler], Sampler]):
    recipe = Recipe(partial(slow, step_s=0.25), Counting, num_envs=1, horizon=12, seed=3)
    sampler = opened(Workers(recipe, Counting(*SPACES), SPACES[0], 1, timeout_s=1.5))
    began = time.monotonic()
    sampler.collect(0)
    assert time.monotonic() - began > 1.5


def test_closing_leaves_no_process_and_no_shared_memory():
    sampler = workers()
    pids, name = [worker.task.pid for worker in sampler.workers], sampler.shared.memory.name
    sampler.close()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not os.path.exists(f"/dev/shm/{name}")


def test_what_cannot_be_sent_to_a_process_is_refused_in_a_sentence():
    recipe = Recipe(lambda first, count: cartpoles(first, count), Counting, num_envs=4, horizon=2, seed=0)
    with pytest.raises(ValueError, match="cannot be sent to a worker process"):
        Workers(recipe, Counting(*SPACES), SPACES[0], 2)
