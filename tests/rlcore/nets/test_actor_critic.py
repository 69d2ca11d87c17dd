"""The policy and value network: acting agrees with learning, masks hold, and Pop-Art changes units but no value."""

from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces

from rlcore.nets.actor_critic import Acting, ActorCritic, ValueNorm
from rlcore.spaces import Actions

FOUR = spaces.Box(-1, 1, (4,), np.float32)
KINDS: dict[str, spaces.Space[Any]] = {
    "discrete": spaces.Discrete(3), "continuous": spaces.Box(-2, 2, (3,), np.float32),
    "multi_discrete": spaces.MultiDiscrete([2, 3]), "multi_binary": spaces.MultiBinary(4),
}


def net(action_space: spaces.Space[Any] | None = None, obs_space: spaces.Space[Any] = FOUR,
        **options: Any) -> ActorCritic:
    given = {"hidden": (8, 8), "activation": "tanh", **options}
    return ActorCritic("Test", obs_space, Actions(action_space or spaces.Discrete(3)), **given)


@pytest.mark.parametrize("weight", [torch.ones(64), (torch.arange(64) < 40).float()], ids=["all", "some rows"])
def test_popart_changes_the_critics_units_and_no_value(weight: torch.Tensor):
    model, obs = net(normalize_value="popart"), torch.randn(64, 4)
    before = model(obs)[1].detach()
    for scale, shift in ((3.0, 50.0), (700.0, -20.0), (0.01, 5000.0)):
        weights = model.critic[-1].weight.detach().clone()
        model.learn_value_norm(shift + scale * torch.randn(64), weight)
        assert not torch.equal(model.critic[-1].weight, weights)
        torch.testing.assert_close(model(obs)[1].detach(), before, rtol=1e-4, atol=2e-3)  # float32 around 5000


def test_without_popart_the_same_outputs_stand_for_other_values():
    model, obs = net(normalize_value="running"), torch.randn(64, 4)
    before = model(obs)[1].detach()
    model.learn_value_norm(torch.tensor([100.0, 104.0]), torch.ones(2))
    torch.testing.assert_close(model(obs)[1].detach(), 102 + 2 * before)
    assert float(model.value_scale) == 2


def test_the_first_targets_are_taken_whole_and_later_ones_by_at_least_the_share():
    norm = ValueNorm(share=0.4)
    norm.learn(torch.tensor([1.0, 3.0, 99.0]), torch.tensor([1.0, 1.0, 0.0]))
    assert (norm.mean.item(), norm.var.item()) == (2, 1)
    norm.learn(torch.tensor([4.0, 8.0]), torch.ones(2))  # half and half: the variance of 1, 3, 4, 8
    assert (norm.mean.item(), norm.var.item()) == pytest.approx((4, np.var([1, 3, 4, 8])))
    norm.learn(torch.tensor([9.0]), torch.ones(1))       # 0.6·4 + 0.4·9, no longer a third
    assert norm.mean.item() == pytest.approx(6)


def test_targets_that_are_all_alike_do_not_blow_up_the_units():
    model = net(normalize_value="popart")
    before = model(torch.ones(1, 4))[1].item()
    for _ in range(5):
        model.learn_value_norm(torch.full((8,), 3.0), torch.ones(8))
    assert float(model.value_scale) > 0
    assert model(torch.ones(1, 4))[1].item() == pytest.approx(before, abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("core", ["none", "lstm"])
def test_acting_without_noise_takes_the_mode_that_learning_sees(kind: str, core: Any):
    model = net(KINDS[kind], core=core, core_size=8)
    for param in model.parameters():
        param.data += 0.3 * torch.randn_like(param)
    act, obs = Acting(model, torch.device("cpu")), torch.randn(16, 4)
    memory = np.zeros((16, model.memory_size), np.float32)
    chosen, _ = act(obs.numpy(), memory, None)
    dist, _ = model(obs[None], torch.zeros(1, 16, model.memory_size), torch.ones(1, 16, dtype=torch.bool))
    np.testing.assert_allclose(chosen, dist.mode()[0].detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_acting_with_noise_samples_from_the_distribution_that_learning_sees(kind: str):
    model, rng = net(KINDS[kind]), np.random.default_rng(0)
    for param in model.parameters():
        param.data += 0.3 * torch.randn_like(param)
    act, obs = Acting(model, torch.device("cpu")), torch.randn(1, 4).expand(20_000, 4)
    chosen, _ = act(obs.numpy().copy(), np.zeros((20_000, 0), np.float32), act.noise(rng, 20_000))
    dist, _ = model(obs)
    # E[−log π(a)] is the entropy
    found, entropy = -dist.log_prob(torch.as_tensor(chosen)).mean(), dist.entropy().mean()
    assert found.item() == pytest.approx(entropy.item(), abs=0.03)


@pytest.mark.parametrize("kind", ["discrete", "multi_discrete"])
def test_masked_choices_have_no_probability_and_are_never_drawn(kind: str):
    size = Actions(KINDS[kind]).size
    space = spaces.Dict({"obs": FOUR, "action_mask": spaces.MultiBinary(size)})
    model, rng = net(KINDS[kind], space), np.random.default_rng(0)
    mask = np.ones((500, size), np.int8)
    mask[:, 1] = 0
    obs = {"obs": rng.standard_normal((500, 4), dtype=np.float32), "action_mask": mask}
    act = Acting(model, torch.device("cpu"))
    chosen, _ = act(obs, np.zeros((500, 0), np.float32), act.noise(rng, 500))
    first = chosen if kind == "discrete" else chosen[:, 0]
    assert (first != 1).all()
    dist, _ = model({name: torch.from_numpy(part) for name, part in obs.items()})
    illegal = torch.from_numpy(chosen.copy())
    illegal[..., 0 if kind == "multi_discrete" else slice(None)] = 1
    assert dist.log_prob(illegal).exp().max() == 0
    assert torch.isfinite(dist.entropy()).all()


def test_policy_parts_hold_all_that_the_policy_depends_on_and_no_critic():
    model = net(KINDS["continuous"], shared=True)
    params = {id(param) for part in model.policy_parts() for param in part.parameters()}
    dist, _ = model(torch.randn(5, 4))
    dist.log_prob(torch.randn(5, 3)).sum().backward()
    moved = {id(param) for param in model.parameters() if param.grad is not None}
    assert moved == params
    assert params.isdisjoint(id(param) for param in model.critic.parameters())


def test_fused_and_plain_heads_give_the_same_gradients():
    torch.manual_seed(0)
    one = net()
    torch.manual_seed(0)
    other = net(twice_differentiable=True)
    obs = torch.randn(6, 4)
    for model in (one, other):
        dist, value = model(obs)
        (dist.entropy().sum() + value.square().sum()).backward()
    for param, twin in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(param.grad, twin.grad)
    assert list(one.state_dict()) == list(other.state_dict())
