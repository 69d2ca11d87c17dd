"""Small, fast settings of every algorithm, far from any preset. γ = ½: an infinite sum of ones is 2, soon learnt."""

from typing import Any

from rlcore import catalog

_ON: dict[str, Any] = {"num_envs": 8, "horizon": 16, "learning_rate": 5e-3, "hidden": [32], "gamma": 0.5}
_OFF: dict[str, Any] = {"num_envs": 4, "train_every": 1, "batch_size": 64, "learning_starts": 100, "hidden": [32],
                        "gamma": 0.5, "capacity": 2000}
_VALUES = _OFF | {"learning_rate": 3e-3, "target_every": 10, "epsilon_steps": 1000, "epsilon_end": 0.1}
_VALUES_QUIET = _OFF | {"learning_rate": 3e-3, "target_every": 10}
_ACTORS = _OFF | {"learning_rate": 5e-3, "tau": 0.1}
_SOFT = _ACTORS | {"adjust_alpha": False, "alpha": 0.001}
_SEQUENCES = {"core_size": 16, "batch_size": 16, "burn_in": 0, "sequence_length": 4, "sequence_every": 2}

SMALL: dict[str, dict[str, Any]] = {
    "ppo": _ON | {"epochs": 8, "num_minibatches": 2, "max_grad_norm": 10.0},
    "ppo_lagrangian": _ON | {"epochs": 8, "num_minibatches": 2, "max_grad_norm": 10.0},
    "a2c": _ON | {"horizon": 4, "max_grad_norm": 10.0, "learning_rate": 1e-2, "entropy_coef": 0.0, "optimizer": "adam"},
    "trpo": _ON | {"value_epochs": 20, "value_batch_size": 32, "max_kl": 0.05},
    "pqn": _ON | {"epochs": 8, "num_minibatches": 2, "epsilon_steps": 1000, "epsilon_end": 0.1},
    "dqn": _VALUES,
    "rainbow": _VALUES_QUIET | {"n_step": 2, "v_min": -1.0, "v_max": 3.0},
    "qrdqn": _VALUES | {"quantiles": 8},
    "iqn": _VALUES,
    "r2d2": _OFF | _SEQUENCES | {"learning_rate": 3e-3, "target_every": 10, "n_step": 1},
    "sac": _SOFT,
    "tqc": _SOFT | {"num_quantiles": 5, "dropped_quantiles": 0},
    "redq": _SOFT | {"updates": 1, "policy_every": 1, "num_critics": 3},
    "modsac": _SOFT,
    "ddpg": _ACTORS | {"actor_learning_rate": 5e-3},
    "td3": _ACTORS,
    "sac_discrete": _SOFT | {"learning_rate": 3e-3},
    # a deterministic actor runs into a bound, and stays there, if its critics' first guesses come from too few steps
    "recurrent_td3": _ACTORS | _SEQUENCES | {"learning_rate": 3e-3, "core_size": 32, "noise_std": 0.3,
                                             "learning_starts": 300},
    "recurrent_sac": _SOFT | _SEQUENCES,
}
STEPS = dict.fromkeys(SMALL, 1400) | {"ppo": 2000, "ppo_lagrangian": 2000, "trpo": 3000, "a2c": 6000, "dqn": 1200,
                                        "recurrent_td3": 2000}


def config_of(algo: str, **changes: Any) -> Any:
    """An algorithm's small settings, some of them changed."""
    return catalog.config_for(algo, "", {**SMALL[algo], **changes})
