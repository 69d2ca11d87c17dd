"""What all actor-critic algorithms that learn from memory have in common: who moves, what is saved, which spaces."""

import copy
import importlib
import math
import sys
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

import rlcore as rl
from rlcore import catalog
from rlcore.config import ShapeError
from tests.rlcore.algos.stand_ins import rollout

CONTINUOUS = ["sac", "ddpg", "td3", "tqc", "redq", "modsac"]
ALL = [*CONTINUOUS, "sac_discrete"]
# Small, fast and far from any preset. γ = ½: an infinite sum of ones is 2, and it is learnt in no time.
PROBING: dict[str, Any] = {"num_envs": 4, "train_every": 1, "updates": 1, "batch_size": 64, "learning_rate": 5e-3,
                           "learning_starts": 100, "tau": 0.1, "hidden": [32], "gamma": 0.5, "capacity": 2000}
OWN: dict[str, dict[str, Any]] = {
    "sac": {"adjust_alpha": False, "alpha": 0.001},
    "ddpg": {"actor_learning_rate": 5e-3, "noise_std": 0.3},
    "td3": {"noise_std": 0.3, "tau": 0.2},
    "tqc": {"adjust_alpha": False, "alpha": 0.001, "num_critics": 2, "num_quantiles": 5, "dropped_quantiles": 1},
    "redq": {"adjust_alpha": False, "alpha": 0.001, "num_critics": 4, "policy_every": 1},
    "modsac": {"adjust_alpha": False, "alpha": 0.001, "num_critics": 2},
    "sac_discrete": {"adjust_alpha": False, "alpha": 0.02},
}
LINE = spaces.Box(-100, 100, (1,), np.float32)
IMAGE = spaces.Box(0, 255, (36, 36, 1), np.uint8)
MIXED = spaces.Dict({"where": spaces.Box(-1, 1, (2, 2), np.float32), "what": spaces.Discrete(3),
                     "on": spaces.MultiBinary(2)})


def plane(algo: str) -> spaces.Space[Any]:
    return spaces.Discrete(3) if algo == "sac_discrete" else spaces.Box(-1, 1, (2,), np.float32)


def tiny(algo: str, obs_space: spaces.Space[Any] = LINE, action_space: Any = None, **changes: Any) -> Any:
    small: dict[str, Any] = {"hidden": (8,), "batch_size": 8, "capacity": 60, **changes}
    if algo == "redq":
        small = {"policy_every": 2, **small}
    build = catalog.agent_class(algo)
    return build(obs_space, action_space or plane(algo), catalog.config_class(algo)(**small), seed=3)


def observed(space: spaces.Space[Any], count: int) -> Any:
    space.seed(0)
    drawn = [space.sample() for _ in range(count)]
    if isinstance(space, spaces.Dict):
        return {name: torch.stack([torch.as_tensor(one[name]) for one in drawn])[:, None] for name in space.spaces}
    return torch.from_numpy(np.stack(drawn))[:, None]


def fill(agent: Any, space: spaces.Space[Any] = LINE, steps: int = 30) -> None:
    rng = np.random.default_rng(0)
    action = torch.from_numpy(agent.actions.random(rng, steps))[:, None]
    agent.remember(rollout(observed(space, steps + 1), action))


def weights(agent: Any) -> dict[str, torch.Tensor]:
    state = agent.state_dict()
    return {f"{name}/{key}": tensor.clone() for name in ("actor", "critics", "lagging", "lagging_actor")
            for key, tensor in state.get(name, {}).items()}


@pytest.mark.parametrize("algo", ALL)
@pytest.mark.parametrize("obs_space", [LINE, MIXED, IMAGE], ids=["vector", "dictionary", "pixels"])
def test_every_network_moves_within_a_few_updates_whatever_is_observed(algo: str, obs_space: spaces.Space[Any]):
    agent = tiny(algo, obs_space)
    fill(agent, obs_space)
    before = weights(agent)
    for _ in range(3):
        metrics = agent.update()
    after = weights(agent)
    buffers = {key for key in before if key.endswith(".first")}
    assert [key for key in before if torch.equal(before[key], after[key]) and key not in buffers] == []
    assert all(math.isfinite(value) for value in metrics.values())
    assert any("actor" in key for key in before)


@pytest.mark.parametrize("algo", ALL)
def test_each_optimiser_moves_its_own_network_and_no_other(algo: str, monkeypatch: pytest.MonkeyPatch):
    agent = tiny(algo, IMAGE)
    fill(agent, IMAGE)
    for kind in type(agent).__mro__[:-1]:  # an update begins with the step sizes that its settings give
        monkeypatch.setattr(sys.modules[kind.__module__], "anneal", lambda *_: None, raising=False)
    agent.actor_optimizer.param_groups[0]["lr"] = 0.0
    before = weights(agent)
    for _ in range(2):
        agent.update()
    moved = {key.split("/")[0] for key, tensor in weights(agent).items() if not torch.equal(tensor, before[key])}
    assert moved == {"critics", "lagging"}
    agent = tiny(algo, IMAGE)
    fill(agent, IMAGE)
    agent.critic_optimizer.param_groups[0]["lr"] = 0.0  # the encoder of pixels rests as well: critics alone train it
    before = weights(agent)
    for _ in range(2):
        agent.update()
    moved = {key.split("/")[0] for key, tensor in weights(agent).items() if not torch.equal(tensor, before[key])}
    assert moved <= {"actor", "lagging_actor"}
    assert "actor" in moved


@pytest.mark.parametrize("algo", ALL)
def test_critics_start_different_from_each_other_and_equal_to_their_lagging_copies(algo: str):
    agent = tiny(algo)
    first = agent.critics.members.weights[0]
    assert len(first) == {"ddpg": 1, "tqc": 5, "redq": 10, "modsac": 8}.get(algo, 2)
    assert all(not torch.equal(first[0], other) for other in first[1:])
    assert torch.equal(agent.critic_params, agent.lagging_params)
    assert agent.critic_params.data_ptr() != agent.lagging_params.data_ptr()


@pytest.mark.parametrize("algo", ALL)
def test_lagging_critics_take_their_share_of_the_online_ones(algo: str):
    agent = tiny(algo, tau=0.25, **({"policy_every": 1} if algo == "td3" else {}))
    fill(agent)
    before = agent.lagging_params.detach().clone()
    agent.update()
    expected = 0.75 * before + 0.25 * agent.critic_params.detach()
    torch.testing.assert_close(agent.lagging_params.detach(), expected)


@pytest.mark.parametrize("algo", ["ddpg", "td3"])
def test_the_targets_action_is_the_lagging_actors_and_not_the_online_ones(algo: str):
    still = {"learning_rate": 0.0, "tau": 0.0, **({"actor_learning_rate": 0.0} if algo == "ddpg" else {})}
    agent = tiny(algo, **still)
    fill(agent)

    def loss() -> float:
        agent.rng = np.random.default_rng(0)
        torch.manual_seed(0)
        return float(agent.update()["loss/value"])

    before = loss()
    with torch.no_grad():
        agent.actor_params.add_(1.0)
    assert loss() == before
    with torch.no_grad():
        agent.lagging_actor_params.add_(1.0)
    assert loss() != pytest.approx(before, rel=1e-3)


@pytest.mark.parametrize("algo", ALL)
def test_all_state_is_put_back_by_load_state_dict(algo: str):
    options: dict[str, Any] = {"normalize_obs": True, "normalize_reward": True, "prioritized": True}
    one, other = tiny(algo, **options), tiny(algo, **options)
    fill(one)
    for _ in range(5):
        one.update()
    other.load_state_dict(copy.deepcopy(one.state_dict()))  # as a file does
    other.memory.load_state_dict(one.memory.state_dict())
    metrics = []
    for agent in (one, other):
        torch.manual_seed(5)
        metrics.append([agent.update() for _ in range(3)])
    for name, tensor in weights(one).items():
        assert torch.equal(tensor, weights(other)[name]), name
    assert metrics[0] == metrics[1]
    obs = np.ones((4, 1), np.float32)
    assert np.array_equal(one.act(obs, np.zeros((4, 0)))[0], other.act(obs, np.zeros((4, 0)))[0])


@pytest.mark.parametrize("algo", [name for name in ALL if name not in ("ddpg", "td3")])
def test_a_checkpoint_keeps_the_temperature_and_a_vanished_one_can_come_back(algo: str):
    high = {"target_entropy_share": 1.0} if algo == "sac_discrete" else {"target_entropy": 1000.0}
    agent = tiny(algo, alpha=1e-6, learning_rate=0.1, **high)
    fill(agent)
    for _ in range(20):
        agent.update()
    if algo != "sac_discrete":  # with few choices the entropy is at its largest, and α has nothing to do
        assert agent.log_alpha.exp().item() > 1e-6 * math.e
    other = tiny(algo)
    other.load_state_dict(copy.deepcopy(agent.state_dict()))
    assert torch.equal(other.log_alpha, agent.log_alpha)


@pytest.mark.parametrize("algo", ["sac", "tqc", "redq", "modsac"])
@pytest.mark.parametrize(("target", "direction"), [(-1000.0, -1), (1000.0, 1)])
def test_the_temperature_falls_while_there_is_more_entropy_than_wanted_and_rises_while_there_is_less(
        algo: str, target: float, direction: int):
    agent = tiny(algo, target_entropy=target)
    fill(agent)
    before = agent.log_alpha.item()
    for _ in range(5):
        agent.update()
    assert np.sign(agent.log_alpha.item() - before) == direction


@pytest.mark.parametrize("algo", CONTINUOUS)
@pytest.mark.parametrize(("shape", "bound"), [((1,), 2.0), ((3,), 1.0), ((2, 2), 2.0)])
def test_boxes_of_any_shape_are_filled_to_their_bounds(algo: str, shape: tuple[int, ...], bound: float):
    agent = tiny(algo, action_space=spaces.Box(-bound, bound, shape, np.float32))
    fill(agent)
    agent.update()
    with torch.no_grad():
        agent.actor[-1].bias[: agent.actions.size] = 30.0  # the mean, far beyond where tanh saturates
    action, _ = agent.act(np.zeros((5, 1), np.float32), np.zeros((5, agent.memory_size), np.float32))
    assert action.shape == (5, math.prod(shape))
    in_env = agent.actions.to_env(action)
    assert in_env.shape == (5, *shape)
    assert in_env.max() == in_env.min() == bound


@pytest.mark.parametrize("algo", ALL)
def test_acting_is_a_pure_function_of_noise_and_explores_only_with_it(algo: str):
    agent = tiny(algo)
    obs, memory = np.random.default_rng(0).normal(size=(400, 1)).astype(np.float32), np.zeros((400, 0), np.float32)
    noise = agent.noise(np.random.default_rng(1), 400, 0, 0)
    best, explored = agent.act(obs, memory)[0], agent.act(obs, memory, noise)[0]
    assert np.array_equal(best, agent.act(obs, memory)[0])
    assert np.array_equal(explored, agent.act(obs, memory, noise)[0])
    assert np.mean(best == explored) < 0.8
    if algo != "sac_discrete":
        assert np.abs(explored).max() <= 1


@pytest.mark.parametrize("algo", ALL)
def test_unfit_action_spaces_are_refused_with_a_way_out(algo: str):
    wrong = spaces.Box(-1, 1, (1,), np.float32) if algo == "sac_discrete" else spaces.Discrete(2)
    with pytest.raises(ShapeError, match=r"needs a (continuous|discrete) action space.* can act here"):
        tiny(algo, action_space=wrong)


@pytest.mark.parametrize("algo", ALL)
def test_dummy_rows_teach_nothing(algo: str):
    agent, steps = tiny(algo), 30
    action = torch.from_numpy(agent.actions.random(np.random.default_rng(0), steps))[:, None]
    valid = torch.zeros(steps, 1, dtype=torch.bool)
    agent.remember(rollout(torch.randn(steps + 1, 1, 1), action, torch.full((steps, 1), 1e6), valid))
    before = weights(agent)
    for _ in range(2):
        agent.update()
    assert all(torch.equal(tensor, before[name]) for name, tensor in weights(agent).items())


@pytest.mark.parametrize("algo", ALL)
def test_targets_over_several_rewards_are_discounted(algo: str, monkeypatch: pytest.MonkeyPatch):
    agent = tiny(algo, n_step=3, gamma=0.5)
    fill(agent)
    agent.memory.rows["reward"].fill_(1.0)
    seen, transitions = [], agent.memory.transitions
    monkeypatch.setattr(agent.memory, "transitions", lambda *args: seen.append(transitions(*args)) or seen[-1])
    agent.update()
    whole = seen[0].discount == 0.125  # ½³; windows at the newest end are shorter
    assert whole.any()
    assert (seen[0].reward[whole] == 1.75).all()  # 1 + ½ + ¼


# --- prioritised replay


def critic_loss(agent: Any, importance: list[float], rows: slice = slice(None)) -> tuple[float, list[float]]:
    """Of two made-up steps: the loss, and what they are ranked by."""
    algo = importlib.import_module(type(agent).__module__)
    name, title = algo.__name__.rsplit(".", 1)[1], type(agent).__name__
    target = torch.tensor([[1.0, 2.0], [-3.0, 40.0]]) if name == "tqc" else torch.tensor([1.5, 37.0])
    action = torch.zeros(2, dtype=torch.int64) if name == "sac_discrete" else torch.zeros(2, 2)
    batch = getattr(algo, f"{title}Batch")(torch.tensor([[1.0], [2.0]]), action, target, torch.ones(2),
                                           torch.tensor(importance))[rows]
    more = (agent.fractions,) if name == "tqc" else ()
    loss, error, _ = getattr(algo, f"{name}_critic_loss")(agent.critics, batch, *more)
    return loss.item(), error.tolist()


@pytest.mark.parametrize("algo", ALL)
def test_importance_scales_a_rows_loss_and_leaves_what_it_is_ranked_by_alone(algo: str):
    agent = tiny(algo)
    loss, error = critic_loss(agent, [1.0, 0.25])
    first, second = (critic_loss(agent, [1.0, 1.0], rows) for rows in (slice(0, 1), slice(1, 2)))
    assert loss == pytest.approx((first[0] + 0.25 * second[0]) / 2, rel=1e-5)
    assert error == pytest.approx([first[1][0], second[1][0]], rel=1e-5)
    assert abs(error[1]) > 10 * abs(error[0])


@pytest.mark.parametrize("algo", ALL)
def test_steps_that_surprise_are_ranked_and_picked_first_and_weigh_less(algo: str):
    still = {"learning_rate": 0.0, "tau": 0.0, **({"actor_learning_rate": 0.0} if algo == "ddpg" else {})}
    agent = tiny(algo, prioritized=True, priority_alpha=1.0, priority_beta=1.0, batch_size=64, **still)
    fill(agent)
    agent.memory.rows["reward"].zero_()
    agent.memory.rows["reward"][7] = 1000.0
    for _ in range(3):
        agent.update()
    leaves = agent.replay.picker.tree.leaves[:30]
    assert leaves.argmax() == 7
    # |1000 + γ·Q̄ − Q| with values of small networks; a quantile's Huber loss counts it by ½ on average, of each of five
    assert leaves[7] == pytest.approx(2500 if algo == "tqc" else 1000, rel=0.02)
    index, importance = agent.replay.pick(1000, np.random.default_rng(0))
    assert (index == 7).float().mean() == pytest.approx(leaves[7] / leaves.sum(), abs=0.01)
    # with β = 1 a weight is the smallest priority over the row's own
    assert importance[index == 7][0].item() == pytest.approx(leaves.min() / leaves[7], rel=1e-4)


@pytest.mark.parametrize("algo", ALL)
def test_without_it_all_steps_are_as_likely_and_as_important(algo: str):
    agent = tiny(algo)
    fill(agent)
    before = agent.rng.bit_generator.state
    index, importance = agent.replay.pick(8, agent.rng)
    agent.rng.bit_generator.state = before
    assert index.tolist() == agent.memory.pick(8, agent.rng).tolist()
    assert importance.tolist() == [1.0] * 8


# --- through the front door, on environments whose answers are known


def learn(algo: str, title: str, env_steps: int, **changes: Any) -> Any:
    name = f"{title}{'' if algo == 'sac_discrete' else 'Continuous'}-v0"
    config = catalog.config_for(algo, name, {**PROBING, **OWN[algo], **changes})
    return rl.train(algo, name, config, env_steps=env_steps, seed=1, run_dir=f"run-{title}", checkpoint_s=1e9,
                    progress=False)


@torch.no_grad()
def value(agent: Any, obs: list[float]) -> float:
    rows = torch.tensor([obs], dtype=torch.float32)
    features = agent.critics.features(rows)
    action = torch.from_numpy(agent.act(rows.numpy(), np.zeros((1, 0), np.float32))[0])
    if action.dtype == torch.int64:
        return float(agent.critics.choices(features)[:, 0, action.item()].mean())
    return float(agent.critics(features, action).mean())


@pytest.mark.parametrize("algo", ALL)
def test_value_flows_across_the_clock_but_not_across_the_end_of_the_task(algo: str):
    # reward 1 for ever, though cut after every step: 1/(1 − ½)
    assert value(learn(algo, "Endless", 800), [1]) == pytest.approx(2, abs=0.1)
    # three ones and then the end: 1 + ½ + ¼, 1 + ½, 1
    agent = learn(algo, "Countdown", 1200)
    assert [value(agent, list(np.eye(4)[step])) for step in range(3)] == pytest.approx([1.75, 1.5, 1.0], abs=0.12)


@pytest.mark.parametrize("algo", ALL)
def test_learns_to_name_what_it_sees(algo: str):
    agent = learn(algo, "Echo", 1600)
    score = rl.evaluate(agent, f"Echo{'' if algo == 'sac_discrete' else 'Continuous'}-v0", episodes=64)
    assert score.mean == 1 if algo == "sac_discrete" else score.mean > 0.9  # doing nothing earns 0.75


@pytest.mark.parametrize("algo", ALL)
def test_the_same_seed_gives_the_same_bits(algo: str):
    one = learn(algo, "Echo", 300)
    rl.train(algo, f"Echo{'' if algo == 'sac_discrete' else 'Continuous'}-v0", one.cfg, env_steps=300, seed=2,
             run_dir="another", progress=False)  # moves torch's generator elsewhere
    other = rl.train(algo, f"Echo{'' if algo == 'sac_discrete' else 'Continuous'}-v0", one.cfg, env_steps=300, seed=1,
                     run_dir="again", progress=False)
    assert all(torch.equal(tensor, weights(other)[name]) for name, tensor in weights(one).items())
