"""The command line: options, files, and one clear sentence for what cannot work."""

import logging
from pathlib import Path

import av
import pytest
import yaml

from rlcore.__main__ import main
from rlcore.runs import open_run, read_evaluations

TINY = ["--env", "CartPole-v1", "--env_steps", "256", "--num_envs", "2", "--horizon", "16", "--num_minibatches", "4",
        "--epochs", "2", "--run_dir", "run"]


def said(caplog: pytest.LogCaptureFixture, *words: str, status: int = 0) -> str:
    """Everything a command logged."""
    caplog.clear()
    with caplog.at_level(logging.INFO):
        assert main([*words]) == status
    return "\n".join(record.getMessage() for record in caplog.records)


def config_of(run: str) -> dict[str, object]:
    return dict(open_run(Path(run)).config["config"])


def test_options_reach_the_run(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "ppo", *TINY, "--seed", "7", "--learning_rate", "3e-4", "--hidden", "[8, 9]",
         "--normalize_obs", "true", "--target_kl", "0.5", "--activation", "relu")
    assert open_run(Path("run")).config["seed"] == 7
    config = config_of("run")
    assert (config["learning_rate"], config["hidden"], config["normalize_obs"]) == (3e-4, [8, 9], True)
    assert (config["target_kl"], config["activation"], config["num_envs"]) == (0.5, "relu", 2)
    assert open_run(Path("run")).state == "finished"


def test_a_yaml_file_gives_settings_and_an_option_beats_it(caplog: pytest.LogCaptureFixture):
    Path("mine.yaml").write_text(yaml.safe_dump({"gamma": 0.9, "clip": 0.3, "hidden": [5]}))
    said(caplog, "train", "PPO", *TINY, "--config", "mine.yaml", "--clip", "0.1")
    config = config_of("run")
    assert (config["gamma"], config["clip"], config["hidden"]) == (0.9, 0.1, [5])


@pytest.mark.parametrize(("words", "sentence"), [
    (["--clip", "high"], "PPOConfig.clip='high' is not valid"),
    (["--gamma", "1.5"], "PPOConfig.gamma=1.5 must be between 0 and 1"),
    (["--hidden", "64"], "PPOConfig.hidden=64 is not valid"),
    (["--num_minibatches", "5"], "must divide the rollout of 32 steps"),
    (["--env_steps", "0"], "env_steps=0 must be a whole number of at least 1"),
    (["--env", "CartPol-v1"], "Unknown environment 'CartPol-v1'; did you mean 'CartPole-v1'?"),
    (["--config", "missing.yaml"], "missing.yaml cannot be read: "),
    (["--config", "typo.yaml"], "PPO has no setting and train no option 'lerning_rate'; did you mean 'learning_rate'?"),
    (["--config", "step.yaml"], "train no option 'env_step'; did you mean 'env_steps'?"),
    (["--config", "other.yaml"], "--config other.yaml holds settings of DQN, not of PPO"),
    (["--config", "list.yaml"], "list.yaml must hold `name: value` lines, not a list"),
    (["--lerning_rate", "1"], "'lerning_rate'; did you mean 'learning_rate'?"),
    (["--learning", "1"], "'learning'; did you mean 'learning_rate'?"),
    (["--seed", "-3"], "seed=-3 must be a whole number from 0"),
    (["--seed"], "Argument --seed: expected one argument"),
    (["--checkpoint_s", "-3"], "checkpoint_s=-3 must be a number of seconds, at least 0"),
    (["--env_options", "[1]"], "env_options=[1] must be options by name, such as {'max_episode_steps': 200}"),
    (["--env_options", "[1"], "Argument --env_options: '[1' is no YAML: expected ',' or ']'"),
    (["--hidden", "[64"], "Argument --hidden: '[64' is no YAML: expected ',' or ']'"),
    (["--sampler", "serail"], "Argument --sampler: invalid choice: 'serail' (choose from 'serial', "),
    (["--config", "{evaluate_evry: 8, config: {gamma: 0.9}}"], "train no option 'evaluate_evry'; did you mean 'evalua"),
    (["--config", "sampler: 5"], "sampler=5 must be one of serial, "),
    (["--config", "1: 2"], "PPO has no setting and train no option '1'"),
    (["--config", "freeze: 3"], "freeze=3 must be a word or a list of words"),
    (["--config", "checkpoint_s: often"], "checkpoint_s='often' must be a number of seconds"),
    (["--config", "target_return: high"], "target_return='high' must be a number"),
    (["--config", "env_options: 3"], "env_options=3 must be options by name"),
    (["--config", "a: 2024-13-45"], "given.yaml cannot be read: a value in it cannot be read (month must be in 1.."),
    (["--config", "a: " + "[" * 5000], "given.yaml cannot be read: it is nested too deeply."),
    (["--config", "a: !!bool x"], "given.yaml cannot be read: a value in it cannot be read ('x')."),
    (["--env_options", "2024-13-45"], "Argument --env_options: '2024-13-45' is no YAML: a value in it cannot be read"),
    (["--env_options", "[" * 5000], "[[' is no YAML: it is nested too deeply."),
    (["--num_envs", "true"], "PPOConfig.num_envs=True is not valid: Input should be a valid integer."),
    (["--config", "gamma: true"], "PPOConfig.gamma=True is not valid: Input should be a valid number."),
    (["--reward_scale", ".inf"], "PPOConfig.reward_scale=inf must be a finite number."),
    (["--target_return", "-inf"], "target_return='-inf' must be a number."),
    (["--freeze", ""], "freeze=[''] must be a word or a list of words, none of them empty."),
    (["--freeze", "critic", ""], "freeze=['critic', ''] must be a word or a list of words, none of them empty."),
    (["--env", "..b:X"], "'..b:X': '..b' is neither a module's whole name nor the path of a .py file."),
    (["--env", "folder.py:X"], "'folder.py:X': its module cannot be imported: [Errno 21] Is a directory: "),
    (["--env", "os:path"], "'os:path' is a module, not a class or function that makes an environment."),
    (["--encoder", ":"], "encoder=':' must be 'module:Class'."),
    (["--encoder", ".x:C"], "encoder='.x:C' must be 'module:Class'."),
    (["--device", "meta"], "device='meta' must be text, such as 'cpu' or 'cuda', for a device that computes."),
    (["--device", "meta:0"], "device='meta:0' must be text, such as 'cpu' or 'cuda', for a device that computes."),
    (["--config", "algo: 5"], "algo=5 must be an algorithm's name"),
    (["--config", "gamma: [1"], "given.yaml cannot be read: expected ',' or ']', but got '<stream end>' in line 1"),
])
def test_what_cannot_work_costs_one_sentence_and_leaves_no_run(
        caplog: pytest.LogCaptureFixture, words: list[str], sentence: str):
    Path("typo.yaml").write_text("lerning_rate: 1\n")
    Path("list.yaml").write_text("- 1\n")
    Path("step.yaml").write_text("env_step: 100\n")
    Path("other.yaml").write_text("algo: dqn\n")
    Path("folder.py").mkdir()
    if words[0] == "--config" and ":" in words[1]:
        Path("given.yaml").write_text(words[1])
        words = ["--config", "given.yaml"]
    heard = said(caplog, "train", "ppo", *TINY, *words, status=2)
    assert sentence in heard
    assert "\n" not in heard
    assert not Path("run").exists()


def test_an_unknown_algorithm_names_the_nearest(caplog: pytest.LogCaptureFixture):
    assert "Unknown algorithm 'poo'; did you mean 'ppo'?" in said(caplog, "train", "poo", "--env", "CartPole-v1",
                                                                  status=2)


def test_an_impossible_pair_says_who_can(caplog: pytest.LogCaptureFixture):
    assert "SAC or PPO can act here" in said(caplog, "train", "dqn", "--env", "Pendulum-v1", status=2)
    assert not Path("runs").exists()


@pytest.mark.parametrize("algo", ["ppo", "dqn", "sac"])
def test_help_lists_every_setting_of_the_algorithm_with_its_meaning(algo: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["train", algo, "--help"])
    text = capsys.readouterr().out
    assert "--learning_rate" in text
    assert "Adam's step size" in text
    assert "--num_envs" in text


def test_a_run_is_evaluated_filmed_and_listed(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "ppo", *TINY[:-2], "--run_dir", "runs/mine")
    heard = said(caplog, "evaluate", "runs/mine", "--episodes", "3")
    assert "3 episodes: return" in heard
    assert "95 % interval" in heard
    row = read_evaluations(Path("runs/mine"))[0]
    assert (row["step"], row["episodes"]) == (256, 3)
    said(caplog, "evaluate", "runs/mine", "--episodes", "2")
    assert len(read_evaluations(Path("runs/mine"))) == 2

    heard = said(caplog, "video", "runs/mine")
    film = next(Path("runs/mine/videos").glob("*.mp4"))
    assert str(film) in heard
    with av.open(str(film)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]
    assert len(frames) > 5
    assert (frames[0] != frames[-1]).any()  # something moves

    heard = said(caplog, "list")
    assert "mine" in heard
    assert "finished" in heard
    assert "SAC" in said(caplog, "list", "algorithms").upper()
    assert "Pendulum-v1" in said(caplog, "list", "environments")


@pytest.mark.parametrize("words", [
    ["--run_dir", "sac", "ppo"], ["--horizon", "16", "ppo"], ["--normalize_obs", "--run_dir", "sac", "ppo"],
    ["--freeze", "actor", "dqn", "--action_mask", "ppo"], ["--replay_on_disk", "--gamma=0.9", "ppo"],
    ["--target_return", "-1e3", "ppo"], ["ppo", "--run_dir", "sac"]])
def test_the_value_of_an_option_is_not_the_algorithm(caplog: pytest.LogCaptureFixture, words: list[str]):
    heard = said(caplog, "train", *words, "--env", "CartPole-v1", "--env_steps", "32", "--epochs", "none", status=2)
    assert heard.startswith("PPOConfig.epochs='none' is not valid")


@pytest.mark.parametrize("number", ["-1e3", "-1.5E+2", "-.5e-1", "-3", "-2."])
def test_a_negative_number_may_have_an_exponent(caplog: pytest.LogCaptureFixture, number: str):
    said(caplog, "train", "ppo", *TINY, "--env_steps", "32", "--target_return", number)
    assert open_run(Path("run")).config["target_return"] == float(number)
    assert "'log_std'" in said(caplog, "train", "ppo", *TINY, "--log_st", "-1e-1", status=2)
    heard = said(caplog, "describe", "ppo", "--env", "CartPole-v1", "--log_std", "-1e1", status=2)
    assert heard == "PPOConfig.log_std=-10.0 must be between -5 and 2."


@pytest.mark.parametrize(("words", "sentence"), [
    (["evaluate", "run", "--checkpoint", "²"], "no checkpoint of '²': it is 'last', 'best' or the step of one"),
    (["evaluate", "run", "--encoder", ":"], "encoder=':' must be 'module:Class'."),
    (["resume", "run", "--encoder", ".x:C"], "encoder='.x:C' must be 'module:Class'."),
    (["evaluate", "run", "--checkpoint", "foo"], "no checkpoint of 'foo': it is 'last', 'best' or the step of one"),
    (["evaluate", "run", "--env_options", "5"], "env_options=5 must be options by name"),
    (["evaluate", "run", "--seed", "-1"], "seed=-1 must be a whole number from 0"),
    (["evaluate", "run", "--episodes", "0"], "episodes=0 must be a whole number of at least 1"),
    (["resume", "run", "--env_steps", "many"], "env_steps='many' must be a whole number of at least 1"),
    (["trian"], "Argument COMMAND: invalid choice: 'trian' (choose from 'train', "),
    (["train"], "The following arguments are required: algo. See python -m rlcore train --help."),
    (["describe", "ppo", "--env", "CartPole-v1", "--cor", "gru"], "Unknown option 'cor'; did you mean 'core'?"),
    (["describe", "ppo", "--env", "CartPole-v1", "--gamma", "2"], "PPOConfig.gamma=2.0 must be between 0 and 1"),
    (["check", "CartPole-v1", "--env_options", "3"], "env_options=3 must be options by name"),
])
def test_every_command_refuses_in_one_sentence(
        caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str], words: list[str], sentence: str):
    said(caplog, "train", "ppo", *TINY)
    capsys.readouterr()
    heard = said(caplog, *words, status=2)
    assert sentence in heard
    assert "\n" not in heard
    assert capsys.readouterr() == ("", "")  # no page of usage


def test_a_length_may_be_written_as_1e3(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "ppo", *TINY, "--env_steps", "1e3", "--timeout_s", "90")
    assert (open_run(Path("run")).config["env_steps"], open_run(Path("run")).config["timeout_s"]) == (1000, 90.0)
    Path("mine.yaml").write_text("env_steps: 2e2\n")
    said(caplog, "train", "ppo", *TINY[:2], *TINY[4:-1], "second", "--config", "mine.yaml")
    assert open_run(Path("second")).config["env_steps"] == 200


def test_describe_takes_settings_and_options(caplog: pytest.LogCaptureFixture):
    plain = said(caplog, "describe", "ppo", "--env", "CartPole-v1")
    assert "core.net" not in plain
    heard = said(caplog, "describe", "PPO", "--env", "CartPole-v1", "--core", "gru", "--hidden", "[7]", "--env_options",
                 "{max_episode_steps: 9}")
    assert "core.net" in heard
    assert "[7, 4]" in heard


BAD_ENV = """
import gymnasium as gym

class Bad(gym.Env):
    observation_space, action_space = gym.spaces.Box(-1, 1, (2,)), gym.spaces.Discrete(2)

    def __init__(self, clock=0):
        self.clock = clock

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.observation_space.low, {}

    def step(self, action):
        self.t += 1
        return self.observation_space.low, 0.0, self.t == 3, self.t == self.clock, {}
"""


def test_check_takes_options_and_its_status_tells_whether_there_are_faults(caplog: pytest.LogCaptureFixture):
    Path("bad.py").write_text(BAD_ENV)
    assert "It has no time limit" in said(caplog, "check", "bad.py:Bad", status=1)
    assert "No fault was found." in said(caplog, "check", "bad.py:Bad", "--env_options", "{clock: 2}")
    assert "cannot be made" in said(caplog, "check", "bad.py:Bad", "--env_options", "{clok: 2}", status=1)
    assert "No fault was found." in said(caplog, "check", "bad.py:Bad", "--env_options", "{max_episode_steps: 5000}")


def test_what_an_environment_raised_in_a_worker_is_told_with_its_own_traceback_alone(caplog: pytest.LogCaptureFixture):
    Path("bad.py").write_text(BAD_ENV.replace("self.t += 1", "self.t += 1 // 0"))
    options = ("--env", "bad.py:Bad", "--sampler", "parallel")
    heard = said(caplog, "train", "ppo", *TINY, *options, status=1)
    assert "ZeroDivisionError" in heard
    assert "python -m rlcore resume" in heard
    assert open_run(Path("run")).state == "failed"


@pytest.mark.parametrize("command", ["resume", "evaluate", "video"])
def test_a_folder_that_is_no_run_is_named(command: str, caplog: pytest.LogCaptureFixture):
    assert "nowhere is not a run folder" in said(caplog, command, "nowhere", status=2)


def test_a_switch_without_a_value_is_on(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "ppo", "--normalize_obs", *TINY)
    assert config_of("run")["normalize_obs"] is True


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("rlcore ")


def test_a_file_may_hold_the_runs_options_too_and_a_run_can_be_had_again(caplog: pytest.LogCaptureFixture):
    file = {"env": "CartPole-v1", "env_steps": 128, "seed": 5, "num_envs": 2, "horizon": 16, "num_minibatches": 4,
            "sampler": "serial", "freeze": "critic", "run_dir": "first"}
    Path("mine.yaml").write_text(yaml.safe_dump(file))
    said(caplog, "train", "ppo", "--config", "mine.yaml", "--env_steps", "64")
    first = open_run(Path("first")).config
    assert (first["env_steps"], first["seed"], first["freeze"]) == (64, 5, ["critic"])

    said(caplog, "train", "ppo", "--config", "first/config.yaml", "--seed", "6", "--run_dir", "second")
    second = open_run(Path("second")).config
    assert {name for name in first if first[name] != second[name]} == {"seed"}


def test_runs_that_can_be_kept_nowhere_cost_one_sentence(caplog: pytest.LogCaptureFixture):
    Path("runs").write_text("mine")
    heard = said(caplog, "train", "ppo", *TINY[:-2], "--sampler", "batched", status=2)
    assert heard.endswith("runs cannot hold runs: runs is no folder that can be written into. Give another run_dir.")


def test_a_run_had_again_with_another_sampler_leaves_its_processes_out(caplog: pytest.LogCaptureFixture):
    Path("mine.yaml").write_text(yaml.safe_dump({"sampler": "parallel", "num_workers": 2, "backend": "sync",
                                                 "format": 1, "config": {"gamma": 0.9}}))
    said(caplog, "train", "ppo", *TINY, "--config", "mine.yaml", "--sampler", "serial")
    assert (config_of("run")["gamma"], open_run(Path("run")).config["num_workers"]) == (0.9, None)


def test_train_without_an_environment_says_so(caplog: pytest.LogCaptureFixture):
    assert "--env CartPole-v1" in said(caplog, "train", "ppo", status=2)


def test_an_algorithm_may_be_written_as_its_paper_does(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "QR-DQN", "--env", "CartPole-v1", "--env_steps", "20", "--learning_starts", "15",
         "--run_dir", "run")
    assert open_run(Path("run")).config["algo"] == "qrdqn"


def test_a_run_is_made_longer_and_its_best_agent_filmed(caplog: pytest.LogCaptureFixture):
    said(caplog, "train", "ppo", *TINY, "--evaluate_every", "64", "--evaluate_episodes", "1")
    said(caplog, "resume", "run", "--env_steps", "320")
    assert open_run(Path("run")).status.env_steps == 320
    best = int(next(Path("run/best").iterdir()).name)
    assert said(caplog, "video", "run", "--checkpoint", "best").endswith(f"{best:012d}.mp4")
    assert "320 env steps already" in said(caplog, "resume", "run", "--env_steps", "300", status=2)
