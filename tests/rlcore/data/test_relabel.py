"""Hindsight: which goals stand in, what they pay, and a task that cannot be learned without them."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from torch import Tensor

import rlcore as rl
from rlcore import catalog
from rlcore.config import ConfigError, ShapeError
from rlcore.data.relabel import Hindsight
from rlcore.data.replay import Ring, Transitions
from rlcore.data.rollout import Rollout
from rlcore.envs.bitflip import BitFlip

RNG = np.random.default_rng


@pytest.fixture(autouse=True, params=[True, False], ids=["numpy", "torch"])
def _whoever_picks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU rows are seen by NumPy, elsewhere by torch alone: both must do the same."""
    monkeypatch.setattr(Ring, "on_cpu", request.param)


def steps(first: int, count: int, ends: tuple[int, ...] = (), num_envs: int = 1) -> Rollout:
    """Steps numbered from `first`, in which the number is what is achieved and −1 is what was wanted.

    After `ends` the clock ends an episode; each is followed by a dummy row. Another environment's numbers are higher
    by 1000.
    """
    number = (torch.arange(first, first + count + 1)[:, None] + 1000 * torch.arange(num_envs)).float()

    def parts(rows: Tensor) -> dict[str, Tensor]:
        return {"observation": rows[..., None], "achieved_goal": rows[..., None],
                "desired_goal": torch.full_like(rows, -1)[..., None]}

    t = torch.arange(first, first + count)[:, None].expand(count, num_envs)
    cut, dummy, start = (torch.isin(t - later, torch.tensor(ends, dtype=torch.long)) for later in (0, 1, 2))
    no = torch.zeros_like(cut)
    return Rollout(parts(number[:-1]), no.long(), torch.full((count, num_envs), -1.0), no, cut, ~dummy,
                   start | (t == 0), torch.zeros(count, num_envs, 0), parts(number[-1]), {})


def reached(achieved: np.ndarray, desired: np.ndarray) -> np.ndarray:
    return (achieved == desired).all(-1) - 1.0


def picked(view: Hindsight, index: torch.Tensor) -> Transitions:
    view.ring.relabel = view
    return view.ring.transitions(index, 0.9)


def goals(view: Hindsight, flat: int, count: int = 300) -> set[float]:
    found = picked(view, torch.full((count,), flat))
    assert isinstance(found.obs, dict) and isinstance(found.next_obs, dict)
    assert torch.equal(found.obs["desired_goal"], found.next_obs["desired_goal"])
    return set(found.obs["desired_goal"].flatten().tolist())


def test_goals_are_what_the_episode_achieved_later():
    ring = Ring(capacity=30, num_envs=1)
    view = Hindsight(ring, reached, share=1.0, rng=RNG(0))
    ring.add(steps(0, 12, ends=(3, 8)))
    # steps 0–3 achieve 1–4; 4 is a dummy row; 5–8 achieve 6–9; 9 is a dummy row; 10 and 11 go on
    assert goals(view, 0) == {1, 2, 3, 4}
    assert goals(view, 3) == {4}
    assert goals(view, 5) == {6, 7, 8, 9}
    assert goals(view, 10) == {11, 12}
    assert goals(view, 11) == {12}


@pytest.mark.parametrize("block", [1, 2, 3, 7])
def test_goals_come_from_the_same_episode_of_the_same_environment_whenever_it_is_asked(block: int):
    ring, ends = Ring(capacity=34, num_envs=2), tuple(range(6, 400, 8))  # episodes of seven steps and a dummy row
    view = Hindsight(ring, reached, share=1.0, rng=RNG(0))
    for first in range(0, 20 * block, block):
        ring.add(steps(first, block, ends, num_envs=2))
        if first % 3 == 0:
            found = picked(view, ring.pick(200, RNG(first)))
            assert isinstance(found.obs, dict)
            at, goal = found.obs["achieved_goal"].flatten(), found.obs["desired_goal"].flatten()
            real = found.weight > 0
            assert (goal > at)[real].all()
            assert (at // 1000 == goal // 1000).all()
            assert ((at % 1000) // 8 == (goal % 1000) // 8)[real].all()
            assert (goal % 1000 <= first + block).all()


def test_all_later_steps_are_equally_likely():
    ring = Ring(capacity=30, num_envs=1)
    ring.add(steps(0, 6, ends=(3,)))
    found = picked(Hindsight(ring, reached, share=1.0, rng=RNG(0)), torch.zeros(40_000, dtype=torch.long))
    assert isinstance(found.obs, dict)
    counts = torch.bincount(found.obs["desired_goal"].flatten().long(), minlength=5)[1:]
    assert (counts - 10_000).abs().max() < 400


def test_a_share_of_the_steps_is_relabelled_and_paid_for_what_it_reached():
    ring = Ring(capacity=30, num_envs=1)
    ring.add(steps(0, 6, ends=(3,)))
    found = picked(Hindsight(ring, reached, share=0.8, rng=RNG(0)), torch.full((10_000,), 2))
    assert isinstance(found.obs, dict)
    goal = found.obs["desired_goal"].flatten()
    # a fifth keep −1; of the others half want what step 2 achieves itself, and are paid 0 for it
    assert [(goal == wanted).float().mean().item() for wanted in (-1, 3, 4)] == pytest.approx([0.2, 0.4, 0.4], abs=0.02)
    assert torch.equal(found.reward == 0, goal == 3)
    assert found.discount.unique().tolist() == pytest.approx([0.9])


def test_a_break_ends_an_episode():
    ring = Ring(capacity=30, num_envs=1)
    view = Hindsight(ring, reached, share=1.0, rng=RNG(0))
    ring.add(steps(0, 4))
    assert goals(view, 1) == {2, 3, 4}
    fresh = steps(20, 3)
    fresh.start[0] = True
    ring.add(fresh)
    assert goals(view, 1) == {2, 3}  # where step 3 led was overwritten
    assert goals(view, 4) == {21, 22, 23}


def test_a_restored_ring_is_looked_at_anew():
    one, other = Ring(capacity=30, num_envs=1), Ring(capacity=30, num_envs=1)
    view = Hindsight(other, reached, share=1.0, rng=RNG(0))
    other.add(steps(0, 9))
    assert goals(view, 0) == {1, 2, 3, 4, 5, 6, 7, 8, 9}
    one.add(steps(0, 12, ends=(3, 8)))
    other.load_state_dict(one.state_dict())
    assert goals(view, 0) == {1, 2, 3, 4}


def test_what_it_cannot_relabel_is_refused():
    ring = Ring(capacity=30, num_envs=1)
    ring.add(steps(0, 4))
    with pytest.raises(ConfigError, match=r"share=1.5 must be between 0 and 1"):
        Hindsight(ring, reached, share=1.5, rng=RNG(0))
    bare, block = Ring(capacity=30, num_envs=1), steps(0, 4)
    assert isinstance(block.obs, dict) and isinstance(block.last_obs, dict)
    bare.add(Rollout(**{**vars(block), "obs": block.obs["observation"], "last_obs": block.last_obs["observation"]}))
    with pytest.raises(ShapeError, match="observation, achieved_goal, desired_goal"):
        picked(Hindsight(bare, reached, share=0.5, rng=RNG(0)), torch.tensor([0]))


def test_one_reward_for_all_goals_is_refused():
    ring = Ring(capacity=30, num_envs=1)
    ring.add(steps(0, 6))
    for reward in (lambda a, d: -float(np.linalg.norm(a - d) > 0.5), lambda a, d: reached(a, d)[:, None]):
        with pytest.raises(ShapeError, match=r"compute_reward must give 3 rewards for 3 goals, and gave the shape \("):
            picked(Hindsight(ring, reward, share=0.5, rng=RNG(0)), torch.tensor([0, 1, 2]))


# --- the task

def test_flipping_pays_only_at_the_goal_and_the_clock_ends_it():
    env = BitFlip(bits=3)
    obs, _ = env.reset(seed=1)
    env.goal = 1 - obs["observation"]
    paid = [env.step(np.int64(bit)) for bit in (0, 1, 2)]
    assert [reward for _, reward, *_ in paid] == [-1, -1, 0]
    assert [(terminated, truncated) for _, _, terminated, truncated, _ in paid] == [
        (False, False), (False, False), (False, True)]
    assert env.compute_reward(np.eye(2), np.array([[1.0, 0], [1, 1]]), {}).tolist() == [0, -1]


@pytest.fixture
def eight_bits() -> Any:
    gym.register("BitFlip8-v0", entry_point=BitFlip, kwargs={"bits": 8})
    yield "BitFlip8-v0"
    gym.registry.pop("BitFlip8-v0")


def solved(name: str, share: float | None) -> float:
    """The share of 100 episodes that reach the goal, after 12,000 steps with the preset of bit flipping."""
    config = catalog.config_for("dqn", "rlcore/BitFlip-v0")
    agent = rl.train("dqn", name, config, env_steps=12_000, seed=1, hindsight=share, progress=False)
    returns = np.array(rl.evaluate(agent, name, episodes=100).returns)
    return float((returns > -8).mean())


def test_dqn_alone_fails_at_eight_bits_and_succeeds_with_hindsight(eight_bits: str):
    assert solved(eight_bits, share=None) < 0.2
    assert solved(eight_bits, share=0.8) > 0.95


def test_a_share_of_nothing_changes_nothing():
    ring = Ring(capacity=30, num_envs=1)
    ring.add(steps(0, 12, ends=(3, 8)))
    index = ring.pick(20, RNG(0))
    plain, seen = ring.transitions(index, 0.9), picked(Hindsight(ring, reached, share=0.0, rng=RNG(0)), index)
    assert isinstance(seen, Transitions)
    assert torch.equal(plain.reward, seen.reward)
    assert isinstance(plain.obs, dict) and isinstance(seen.obs, dict)
    assert all(torch.equal(plain.obs[name], seen.obs[name]) for name in plain.obs)


@pytest.mark.parametrize(("algo", "changes", "reason"), [
    ("dqn", {"n_step": 3}, "n_step=3 must be 1"),
    ("r2d2", {}, "replays no single steps"),
    ("ppo", {}, "replays no single steps"),
])
def test_who_cannot_look_back_says_so(algo: str, changes: dict[str, Any], reason: str, eight_bits: str):
    config = catalog.config_for(algo, "", changes)
    with pytest.raises(ConfigError, match=reason):
        rl.train(algo, eight_bits, config, env_steps=100, hindsight=0.8, progress=False)


class Odd(BitFlip):
    """Its reward names its arguments as it likes, and its goals are of another shape if asked."""

    def __init__(self, goal: int = 8):
        super().__init__(bits=8)
        self.observation_space.spaces["desired_goal"] = gym.spaces.Box(0, 1, (goal,))

    def compute_reward(self, achieved: Any, desired: Any, _told: Any) -> Any:
        return super().compute_reward(achieved, desired, _told)


def test_a_reward_is_asked_by_position_and_goals_must_be_of_one_shape():
    config = {"learning_starts": 32, "hidden": [8]}
    rl.train("dqn", Odd, config, env_steps=100, hindsight=0.8, progress=False)
    with pytest.raises(ConfigError, match=r"goals of .*Odd have the shapes \(8,\) and \(5,\)"):
        rl.train("dqn", Odd, config, env_steps=100, hindsight=0.8, env_options={"goal": 5}, progress=False)


def test_an_environment_without_goals_is_refused():
    with pytest.raises(ConfigError, match=r"CartPole-v1 has no compute_reward"):
        rl.train("dqn", "CartPole-v1", rl.DQNConfig(), env_steps=100, hindsight=0.8, progress=False)
