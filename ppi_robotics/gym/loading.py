"""Plants of gymnasium's MuJoCo environments."""

import copy
from pathlib import Path

import gymnasium
import mujoco
import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.mujoco.plant import MujocoPlant


def plant_of(env, **options):
    """The plant of an environment's model; one step of the environment is one stage.

    The plant has a model of its own: changing the environment's afterwards does not change it. Where that is the model
    of the environment's XML file unchanged, costs may add sensors to the plant.

    Args:
      env: gymnasium environment with the interface of its `MujocoEnv`; wrappers are of no account.
      options: of `MujocoPlant`, for instance noise, success or name; substeps are the environment's frame_skip, and the
        name is the environment's id by default.

    Raises:
      ProblemError: if the environment is of another kind, or `substeps` or `dt` is given.
      PlantError: as `MujocoPlant`.
    """
    simulation = simulation_of(env)
    for given in {"substeps", "dt"} & set(options):
        raise ProblemError(f"{given} is given; a stage is one step of the environment, so leave it out")
    options = {"name": label(env)} | options
    return MujocoPlant(_source(simulation), substeps=int(simulation.frame_skip), **options)


def simulation_of(env):
    """The unwrapped environment.

    Raises:
      ProblemError: if it is no environment with the interface of gymnasium's `MujocoEnv`.
    """
    inner = env.unwrapped if isinstance(env, gymnasium.Env) else None
    parts = getattr(inner, "model", None), getattr(inner, "data", None)
    if not isinstance(parts[0], mujoco.MjModel) or not isinstance(parts[1], mujoco.MjData):
        raise ProblemError(
            f"env is {shown(env)}; expected a gymnasium environment with a MuJoCo model, such as "
            "gymnasium.make('InvertedPendulum-v5')"
        )
    frame_skip = getattr(inner, "frame_skip", None)
    if not isinstance(frame_skip, int | np.integer) or frame_skip < 1:
        raise ProblemError(f"frame_skip of the environment is {shown(frame_skip)}; expected physics steps of a step")
    return inner


def label(env):
    """The environment's id, or the name of its class."""
    inner = env.unwrapped
    return inner.spec.id if inner.spec is not None else type(inner).__name__


def _source(simulation):
    """Specification of the environment's model, or a copy of the model where its file holds another one."""
    path, model = getattr(simulation, "fullpath", None), simulation.model
    if path is None or not Path(path).is_file():
        return copy.copy(model)
    spec = mujoco.MjSpec.from_file(str(path))
    compiled = spec.compile()
    for size in ("offwidth", "offheight"):  # gymnasium makes room for its pictures
        setattr(compiled.vis.global_, size, getattr(model.vis.global_, size))
    return spec if np.array_equal(_contents(compiled), _contents(model)) else copy.copy(model)


def _contents(model):
    """The model's bytes."""
    buffer = np.zeros(mujoco.mj_sizeModel(model), dtype=np.uint8)
    mujoco.mj_saveModel(model, None, buffer)
    return buffer
