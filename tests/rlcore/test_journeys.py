"""What the examples of rlpyt and the demos of ElegantRL show, begun by one command each."""

import math
import shlex
from importlib.util import find_spec
from pathlib import Path

import pytest

from rlcore.__main__ import main
from rlcore.runs import open_run, read_metrics

_REPLAY = "--learning_starts 100 --train_every 20 --batch_size 4 --capacity 400"
_ROLLOUTS = "--num_envs 2 --horizon 50"
JOURNEYS = {
    "rlpyt, DQN on Pong": f"dqn --env ALE/Pong-v5 {_REPLAY} --hidden [16]",
    "rlpyt, A2C on Pong": f"a2c --env ALE/Pong-v5 {_ROLLOUTS} --hidden [16]",
    "rlpyt, SAC on Hopper": f"sac --env Hopper-v5 {_REPLAY} --hidden [16]",
    "ElegantRL, ModSAC on LunarLander": f"modsac --env LunarLanderContinuous-v3 {_REPLAY} --hidden [16]",
    "ElegantRL, PPO on BipedalWalker": f"ppo --env BipedalWalker-v3 {_ROLLOUTS} --epochs 2 --num_minibatches 4",
}


@pytest.mark.parametrize("journey", JOURNEYS)
def test_a_known_example_begins_with_one_command(journey: str):
    if "ALE/" in JOURNEYS[journey] and find_spec("ale_py") is None:
        pytest.skip("ale_py is not installed")
    assert main(["train", *shlex.split(JOURNEYS[journey]), "--env_steps", "200", "--run_dir", "run"]) == 0
    assert open_run(Path("run")).state == "finished"
    metrics = read_metrics(Path("run"), ["loss/grad_norm"])
    assert metrics["step"][-1] == 200
    assert math.isfinite(metrics["loss/grad_norm"][-1])
