"""Action masks: no algorithm that chooses ever does what is illegal, or expects to, from the first random step on."""

import math
import re
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces

import rlcore as rl
from rlcore import catalog
from rlcore.algos.pqn import PQNConfig, pqn_targets
from rlcore.algos.r2d2 import R2D2, R2D2Config
from rlcore.config import ShapeError
from rlcore.data.rollout import Rollout
from rlcore.runs import read_metrics
from tests.rlcore.small import config_of

SAMPLING = {"ppo", "ppo_lagrangian", "a2c", "trpo", "sac_discrete"}
CHOOSING = [name for name, entry in catalog.ALGORITHMS.items() if "discrete" in entry.acts]


class TwoOfFour(gym.Env[Any, int]):
    """Two of four choices are legal, others each step; the higher one pays. After five steps nothing is legal."""

    observation_space = spaces.Dict({"obs": spaces.Box(0, 1, (4,), np.float32), "action_mask": spaces.MultiBinary(4)})
    action_space = spaces.Discrete(4)

    def _look(self) -> dict[str, np.ndarray]:
        self.legal = np.zeros(4, np.int8)
        if self.left:
            self.legal[self.np_random.choice(4, 2, replace=False)] = 1
        return {"obs": self.legal.astype(np.float32), "action_mask": self.legal.copy()}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.left = 5
        return self._look(), {"cost": 0.0}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.legal[action], f"{action} is illegal: {self.legal}"
        reward = float(action == self.legal.nonzero()[0].max())
        self.left -= 1
        return self._look(), reward, self.left == 0, False, {"cost": 0.0}


@pytest.mark.parametrize("algo", CHOOSING)
def test_nothing_illegal_is_ever_done_and_entropy_is_that_of_the_legal_choices(algo: str, tmp_path: Path):
    changes: dict[str, Any] = {"learning_starts": 100} if catalog.algorithm(algo).loop == "off_policy" else {}
    name = f"{__name__}:{TwoOfFour.__name__}"
    agent = rl.train(algo, name, config_of(algo, **changes), env_steps=400, seed=1, run_dir=tmp_path / "run",
                     progress=False)
    entropy = [value for value in read_metrics(tmp_path / "run").get("policy/entropy", []) if not math.isnan(value)]
    assert bool(entropy) == (algo in SAMPLING)
    assert all(0 < value <= math.log(2) + 1e-5 for value in entropy)  # of all four it would begin near log 4
    rl.evaluate(agent, name, episodes=4)


def test_pqn_expects_the_best_legal_action():
    no = torch.zeros(1, 1, dtype=torch.bool)
    mask = torch.tensor([[[1, 1]], [[1, 0]]], dtype=torch.int8)
    data = Rollout({"action_mask": mask[:1]}, no.long(), torch.ones(1, 1), no, no, ~no, no, torch.zeros(1, 1, 0),
                   {"action_mask": mask[1]}, {})
    batch = pqn_targets(data, data.reward, lambda obs: torch.tensor([4.0, 100.0]).expand(*obs["action_mask"].shape),
                        PQNConfig(gamma=0.5))
    assert batch.target.tolist() == [1 + 0.5 * 4]


@pytest.mark.parametrize(("illegal", "loss"), [(1, 0.0), (2, None)])
def test_r2d2_expects_the_best_legal_action(illegal: int, loss: float | None):
    space = spaces.Dict({"obs": spaces.Box(-1, 1, (1,), np.float32), "action_mask": spaces.MultiBinary(3)})
    agent = R2D2(space, spaces.Discrete(3), R2D2Config(num_envs=1, capacity=60, burn_in=0, sequence_length=4,
                                                       sequence_every=2, batch_size=8, hidden=(8,)), seed=1)
    with torch.no_grad():  # Q = (0, 100, 0) everywhere
        for net in (agent.online, agent.target):
            for stream, bias in ((net.head.value, [100 / 3]), (net.head.advantage, [0.0, 100, 0])):
                stream.stream[-1].weight.zero_()
                stream.stream[-1].bias.copy_(torch.tensor(bias))
    steps = 30
    mask = torch.ones(steps + 1, 1, 3, dtype=torch.int8)
    mask[:, :, illegal] = 0
    no = torch.zeros(steps, 1, dtype=torch.bool)
    agent.remember(Rollout({"obs": torch.zeros(steps, 1, 1), "action_mask": mask[:-1]}, no.long(),
                           torch.zeros(steps, 1), no, no, ~no, no, torch.zeros(steps, 1, agent.memory_size),
                           {"obs": torch.zeros(1, 1), "action_mask": mask[-1]}, {}))
    # nothing is earned and the taken action 0 is worth 0: right where 1 is never legal, far off where it is
    found = agent.update()["loss/value"].item()
    assert found == pytest.approx(0, abs=1e-6) if loss == 0 else found > 1000


@pytest.mark.parametrize(("algo", "acts", "kind"), [
    *((algo, spaces.MultiBinary(3), "multi-binary") for algo in ("ppo", "a2c", "trpo", "ppo_lagrangian")),
    *((entry.name, spaces.Box(-1, 1, (3,)), "continuous") for entry in catalog.ALGORITHMS.values()
      if "continuous" in entry.acts),
])
def test_a_mask_over_actions_that_are_no_choices_is_refused(algo: str, acts: spaces.Space, kind: str):
    space = spaces.Dict({"obs": spaces.Box(-1, 1, (1,), np.float32), "action_mask": spaces.MultiBinary(3)})
    said = (f"{catalog.algorithm(algo).title} cannot heed the observation's part 'action_mask', because {kind} actions "
            "are no choices: leave it out, rename it, or use Discrete or MultiDiscrete actions.")
    with pytest.raises(ShapeError, match=f"^{re.escape(said)}$"):
        catalog.agent_class(algo)(space, acts, config_of(algo))
