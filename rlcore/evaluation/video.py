"""Episodes as MP4 or GIF files."""

from __future__ import annotations

import os
import traceback
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from itertools import chain
from numbers import Real
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from rlcore.arrays import Array
from rlcore.config import ConfigError
from rlcore.envs.make import Env, Factory, make_env, name_of
from rlcore.evaluation.evaluate import check_spaces
from rlcore.protocols import Agent
from rlcore.restore import Encoder, Which, load_player
from rlcore.spaces import Actions

_SIDE = 336    # pixels: smaller images, such as what an agent sees of an Atari game, are enlarged to about this


def record_video(agent: Agent | str | Path, env: str | Factory | None = None, path: str | Path | None = None, *,
                 which: Which = "last", seed: int = 0, max_steps: int = 2000,
                 env_options: Mapping[str, Any] | None = None, action_mask: bool = False,
                 encoder: Encoder | None = None) -> Path:
    """Film one episode played with the agent's best actions.

    Args:
        agent: an agent, or the folder of a run.
        env: an environment's name, or a function or class that makes one, whose spaces must be the same; the run's own
            if None, which must be given where its module is not imported yet.
        path: an .mp4 (H.264) or .gif file; <run>/videos/<step>.mp4 if None and a run was given, <step>-elsewhere.mp4
            if it plays in another environment or with other options.
        which: of a run's checkpoints: "last", "best", or the step of one that was kept.
        seed: of the episode.
        max_steps: the film ends here if the episode does not.
        env_options, action_mask: of the environment, as for `train`; a run's own are used by themselves, also with a
            function or class. Options that are given beside a run change its own.
        encoder: the class of a run's custom encoder, or "module:Class", where its module is not imported yet.

    Raises:
        ConfigError: no place to write to, another file type, a run whose folder names code of which nothing was
            imported, or an environment that cannot draw itself here.
        ShapeError: the environment's observations or actions are not those that the agent was trained with.
    """
    if isinstance(agent, str | Path):
        folder = Path(agent)
        agent, where, step = load_player(folder, which, env, env_options, encoder)
        env, env_options, action_mask = where.env, where.options, where.action_mask
        path = path or folder / "videos" / f"{step:012d}{'' if where.own else '-elsewhere'}.mp4"
    if env is None or path is None:
        raise ConfigError("record_video(agent, …) needs an environment's name and a file to write, "
                          "such as 'episode.mp4'.")
    target = Path(path)
    if target.suffix not in (".mp4", ".gif"):
        raise ConfigError(f"'{target.name}' must end in .mp4 or .gif.")
    make = partial(make_env, env, 1, seed=seed, options=env_options, action_mask=action_mask)
    vector, first = _first_frame(make, name_of(env))
    unfinished = target.with_name(f".{target.stem}{target.suffix}")
    try:
        check_spaces(agent, vector)
        target.parent.mkdir(parents=True, exist_ok=True)
        write = _write_mp4 if target.suffix == ".mp4" else _write_gif
        write(unfinished, first, _film(agent, vector, max_steps), _fps(vector))
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
        vector.close()
    return target


def _film(agent: Agent, env: Env, max_steps: int) -> Iterator[Array]:
    """The picture after each step."""
    actions, obs = Actions(env.single_action_space), env.reset()[0]
    memory = np.zeros((1, agent.memory_size), np.float32)
    for _ in range(max_steps):
        action, memory = agent.act(obs, memory)
        obs, _reward, terminated, truncated, _ = env.step(actions.to_env(action))
        yield _frame(env)
        if terminated[0] or truncated[0]:
            break


def _first_frame(make: Callable[..., Env], name: str) -> tuple[Env, Array]:
    if not os.environ.get("DISPLAY"):  # without a screen, draw into memory unless told otherwise
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        os.environ.setdefault("MUJOCO_GL", "egl")
    try:
        env = make(render_mode="rgb_array")
        env.reset()
        return env, _frame(env)
    except ConfigError:
        raise
    except Exception as error:  # every renderer has errors of its own: OpenGL, SDL, missing system libraries
        if isinstance(error, NotImplementedError) or "render_mode" in str(error):
            raise ConfigError(f"{name} cannot draw itself. To be filmed, it must take the keyword "
                              "render_mode='rgb_array', list it in metadata['render_modes'], and return an image "
                              "[height, width, 3] from render().") from error
        said = f"{name} cannot be drawn on this machine ({type(error).__name__}: {error})."
        if any("mujoco" in frame.f_code.co_filename for frame, _ in traceback.walk_tb(error.__traceback__)):
            said += " MuJoCo needs an OpenGL library: install libegl1 or libosmesa6 and set MUJOCO_GL=egl or osmesa."
        raise ConfigError(said) from error


def _frame(env: Env) -> Array:
    drawn: Any = env.render()  # one image for each environment
    if drawn is None or drawn[0] is None:
        raise NotImplementedError("render() returned no image.")
    image: Array = np.asarray(drawn[0], dtype=np.uint8)
    given, image = image.shape, image[..., None] if image.ndim == 2 else image
    if image.ndim != 3 or image.shape[2] not in (1, 3, 4) or not image.size:
        raise ConfigError(f"{env.name} drew {[*given]}, and a film needs an image: [height, width, 3] for colours, "
                          "4 with transparency, [height, width] or 1 for grey.")
    image = image.repeat(3, 2) if image.shape[2] == 1 else image[..., :3]
    factor = max(1, _SIDE // max(image.shape[:2]))
    image = image.repeat(factor, 0).repeat(factor, 1)
    height, width = image.shape[:2]
    return np.pad(image, ((0, height % 2), (0, width % 2), (0, 0)), "edge")  # H.264 wants even sides


def _fps(env: Env) -> float:
    """Pictures per second, as many as a file can say; 30 where the environment names no number above 0."""
    given = env.metadata.get("render_fps")
    return min(max(float(given), 0.1), 1000.0) if isinstance(given, Real) and float(given) > 0 else 30.0


def _write_mp4(path: Path, first: Array, rest: Iterator[Array], fps: float) -> None:
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = "yuv420p"  # the only layout that every browser plays
        for image in chain([first], rest):  # encoded as they are drawn: kept, they would take gigabytes
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")))
        container.mux(stream.encode())


def _write_gif(path: Path, first: Array, rest: Iterator[Array], fps: float) -> None:
    Image.fromarray(first).save(path, save_all=True, append_images=map(Image.fromarray, rest),
                                duration=int(1000 / fps), loop=0)
