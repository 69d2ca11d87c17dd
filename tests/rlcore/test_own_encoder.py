"""Observations read by a module of the user's own: in every algorithm, and from a folder only with consent."""

import copy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor, nn

import rlcore as rl
from rlcore import catalog
from rlcore.__main__ import main
from rlcore.fast import graph
from rlcore.nets.encoders import Own, encoder_for, is_plain, read_by
from rlcore.runs import read_spec
from tests.rlcore.small import config_of


class Tower(nn.Module):
    """Two layers over a vector."""

    def __init__(self, space: spaces.Box):
        super().__init__()
        self.out_dim = 6
        self.layers = nn.Sequential(nn.Linear(space.shape[0], 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, obs: Tensor) -> Tensor:
        assert obs.dim() == 2
        return self.layers(obs)


class Silent(nn.Module):
    """Does not say how many features it gives."""

    def __init__(self, space: Any):
        super().__init__()


class Wide(Tower):
    """Gives other features than it says."""

    def forward(self, obs: Tensor) -> Tensor:
        return torch.cat([super().forward(obs)] * 2, -1)


class Centring(Tower):
    """Centres what it reads by a mean that it keeps beside its parameters, and drops some of it."""

    def __init__(self, space: spaces.Box):
        super().__init__(space)
        self.register_buffer("mean", torch.zeros(space.shape))
        self.drop = nn.Dropout(0.5)

    def forward(self, obs: Tensor) -> Tensor:
        if self.training:
            self.mean = self.mean.lerp(obs.detach().mean(0), 0.1)
        return super().forward(self.drop(obs - self.mean))


class Double(Tower):
    """Gives two tensors."""

    def forward(self, obs: Tensor) -> Any:
        return super().forward(obs), obs


def trained(algo: str, run: str, env: str = "Echo-v0", **options: Any) -> Any:
    return rl.train(algo, env, config_of(algo), run_dir=run, progress=False, checkpoint_s=1e9,
                    **{"encoder": Tower, "env_steps": 600, "seed": 1, **options})


def tensors(agent: Any) -> list[Tensor]:
    return [part.clone() for part in agent.acting.state_dict().values()]


@pytest.mark.parametrize("algo", ["ppo", "dqn"])
def test_a_run_with_an_encoder_of_ones_own_learns_and_resumes_to_the_same_bits(algo: str):
    whole = trained(algo, "whole")
    trained(algo, "broken", callbacks=[lambda moment: moment.step >= 300])
    assert read_spec(Path("broken")).encoder == f"{__name__}:Tower"
    broken = rl.resume("broken", progress=False)
    assert any(isinstance(part, Tower) for part in broken.acting.modules())
    assert all(torch.equal(*pair) for pair in zip(tensors(whole), tensors(broken), strict=True))
    assert len(rl.evaluate("whole", episodes=3).returns) == 3
    agent = rl.load_agent("whole")[0]
    assert all(torch.equal(*pair) for pair in zip(tensors(whole), tensors(agent), strict=True))


@pytest.mark.parametrize("algo", ["dqn", "qrdqn", "r2d2", "sac", "td3", "redq", "recurrent_sac", "recurrent_td3"])
def test_a_lagging_copy_reads_by_the_statistics_of_today(algo: str):
    acts = "discrete" if "discrete" in catalog.algorithm(algo).acts else "continuous"
    agent = trained(algo, "run", env="Echo-v0" if acts == "discrete" else "EchoContinuous-v0", env_steps=400,
                    encoder=Centring)
    for copied in (rl.load_agent("run")[0], agent):
        for names in (("online", "target"), ("critics", "lagging"), ("actor", "lagging_actor")):
            own, behind = ([part.mean for part in getattr(copied, name, nn.Identity()).modules()
                            if isinstance(part, Centring)] for name in names)
            if behind:
                assert all(bool(mean.any()) and torch.equal(mean, other)
                           for mean, other in zip(own, behind, strict=True))
    assert graph.obstacle(agent) is not None


def test_who_acts_drops_nothing_and_keeps_no_statistics():
    agent = trained("ppo", "run", encoder=Centring)
    before = tensors(agent)
    first, second = (rl.evaluate("run", episodes=3).returns for _ in range(2))
    assert first == second
    player = rl.Player("run")
    assert len({np.asarray(player(np.zeros(2, np.float32))).tobytes() for _ in range(9)}) == 1
    assert all(torch.equal(*pair) for pair in zip(before, tensors(agent), strict=True))


def test_the_encoder_itself_is_trained():
    short, long = trained("ppo", "short", env_steps=128), trained("ppo", "long", env_steps=256)
    name = next(name for name in short.acting.state_dict() if name.endswith("encoder.net.layers.0.weight"))
    assert not torch.equal(short.acting.state_dict()[name], long.acting.state_dict()[name])


@pytest.mark.parametrize("algo", [*catalog.ALGORITHMS])
def test_every_algorithm_takes_one(algo: str):
    acts = "discrete" if "discrete" in catalog.algorithm(algo).acts else "continuous"
    trained(algo, "run", env="Echo-v0" if acts == "discrete" else "EchoContinuous-v0", env_steps=400)
    assert rl.evaluate("run", episodes=1).returns


@pytest.mark.slow
def test_worker_processes_find_it():
    one = trained("ppo", "serial", "CartPole-v1", backend="sync")
    other = trained("ppo", "parallel", "CartPole-v1", sampler="parallel", num_workers=1)
    assert all(torch.equal(*pair) for pair in zip(tensors(one), tensors(other), strict=True))


def test_a_folder_that_names_a_module_does_not_get_it_imported(monkeypatch: pytest.MonkeyPatch, caplog: Any):
    Path("mynets.py").write_text("import pathlib\nfrom tests.rlcore.test_own_encoder import Tower as Base\n"
                                 "pathlib.Path('it_ran').touch()\nclass Tower(Base): pass\n")
    monkeypatch.syspath_prepend(str(Path.cwd()))
    trained("dqn", "run", encoder="mynets:Tower")
    Path("it_ran").unlink()
    del sys.modules["mynets"]
    for use in (rl.load_agent, rl.evaluate, rl.resume, rl.record_video, rl.Player):
        with pytest.raises(rl.ConfigError, match=r"reads observations with 'mynets:Tower', which is not imported here"):
            use("run")
    assert main(["train", "dqn", "--config", "run/config.yaml", "--run_dir", "again"]) == 2
    assert "add --encoder mynets:Tower" in caplog.text
    assert main(["evaluate", "run", "--episodes", "1"]) == 2
    assert not Path("it_ran").exists()
    assert main(["evaluate", "run", "--episodes", "1", "--encoder", "mynets:Tower"]) == 0  # now the user has said so
    assert Path("it_ran").exists()
    assert rl.evaluate("run", episodes=1).returns
    for use in (rl.evaluate, rl.load_agent, rl.Player):
        del sys.modules["mynets"]
        use("run", encoder="mynets:Tower")
    del sys.modules["mynets"]
    with pytest.raises(rl.ConfigError, match="Echo-v0 cannot draw itself"):  # the agent itself was read
        rl.record_video("run", encoder="mynets:Tower")
    monkeypatch.delitem(sys.modules, "mynets")


def test_a_folder_can_name_nothing_but_networks():
    trained("dqn", "run")
    config = Path("run/config.yaml")
    for name in ("os:system", "builtins:print", "pathlib:Path", "nowhere:X", "os"):
        config.write_text(config.read_text().replace(read_spec(Path("run")).encoder, name))
        with pytest.raises(rl.ConfigError, match="is not imported here"):
            rl.load_agent("run")


@pytest.mark.parametrize(("encoder", "sentence"), [
    ("nowhere:Tower", "encoder='nowhere:Tower' must be 'module:Class', and its module cannot be imported"),
    ("math:sin", "encoder='math:sin' leads to no class of torch.nn.Module"),
    (print, "leads to no class of torch.nn.Module"),
    (type("Local", (nn.Module,), {"__qualname__": "f.<locals>.Local"}), "cannot be found again by its name"),
])
def test_what_is_no_encoder_is_refused_in_a_sentence(encoder: Any, sentence: str):
    with pytest.raises(rl.ConfigError, match=sentence):
        trained("dqn", "run", encoder=encoder)
    assert not Path("run/config.yaml").exists()


def test_an_encoder_must_say_what_it_gives_and_give_it():
    with pytest.raises(rl.ShapeError, match=r"Silent must say how many features it gives: set self\.out_dim"):
        trained("dqn", "run", encoder=Silent)
    with pytest.raises(rl.ShapeError, match=r"Wide must turn rows \[N, …\] into features \[N, 6\], and gave \["):
        trained("dqn", "run", encoder=Wide)
    with pytest.raises(rl.ShapeError, match=r"Double must turn rows .* into one tensor .*, and gave a tuple"):
        trained("dqn", "another", encoder=Double)
    with pytest.raises(rl.ShapeError, match="normalize_obs=True scales what rlcore's own encoders read"):
        rl.train("dqn", "Echo-v0", config_of("dqn", normalize_obs=True), encoder=Tower, env_steps=64, run_dir="other")


class Pair(nn.Module):
    """Reads a dictionary."""

    out_dim = 3

    def __init__(self, space: spaces.Dict):
        super().__init__()
        assert set(space.spaces) == {"where", "what"}  # the mask is not for encoders

    def forward(self, obs: dict[str, Tensor]) -> Tensor:
        return torch.cat([obs["where"].flatten(1), obs["what"][:, None].float()], -1)


def test_leading_axes_are_rows_of_vectors_and_of_dictionaries():
    space = spaces.Dict({"where": spaces.Box(-1, 1, (2, 1)), "what": spaces.Discrete(5),
                         "action_mask": spaces.MultiBinary(2)})
    marked = read_by(space, Pair)
    encoder = encoder_for("DQN", marked)
    obs = {"where": torch.rand(7, 3, 2, 1), "what": torch.randint(5, (7, 3)), "action_mask": torch.ones(7, 3, 2)}
    features = encoder(obs)
    assert features.shape == (7, 3, 3)
    assert torch.equal(features[2, 1], torch.cat([obs["where"][2, 1, :, 0], obs["what"][2, 1][None]]))
    assert isinstance(encoder, Own) and not is_plain(marked) and is_plain(space)
    assert copy.copy(space) == space and np.array_equal(marked["what"].n, 5)
