"""Plants of gymnasium's MuJoCo environments, and finite decision processes of its toy texts."""

import copy
from pathlib import Path

import gymnasium
import mujoco
import numpy as np
from scipy import sparse

from ppi_robotics.checks import shown
from ppi_robotics.discrete import FiniteMDP
from ppi_robotics.errors import ProblemError
from ppi_robotics.mujoco.plant import MujocoPlant


def plant_of(env: gymnasium.Env, **options) -> MujocoPlant:
    """The plant of an environment's model; one step of the environment is one stage.

    The plant has a model of its own, which later changes to the environment's do not affect. Costs may add sensors to
    it if the environment's model is that of its XML file.

    Args:
      env: gymnasium environment with the interface of its `MujocoEnv`, with or without wrappers.
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


def mdp_of(env: gymnasium.Env, discount: float = 1.0) -> FiniteMDP:
    """The decision process of an environment with a table of transitions, such as gymnasium's toy texts.

    Costs are minus expected rewards. States are those of the environment and one more, the last, in which all that
    terminates ends for good; time limits of wrappers do not count.

    Args:
      env: gymnasium environment whose unwrapped form has `P[state][action]`, a list of (probability, next state,
        reward, terminated).
      discount: of the future, above 0 and at most 1.

    Returns:
      `FiniteMDP` of states (S + 1,); state S is the end.

    Raises:
      ProblemError: if the environment has no such table, or its states or actions differ in number.
    """
    table = getattr(env.unwrapped, "P", None) if isinstance(env, gymnasium.Env) else None
    if table is None:
        raise ProblemError(
            f"env is {shown(env)}; expected a gymnasium environment with a table P of transitions, such as "
            "gymnasium.make('FrozenLake-v1')"
        )
    S, A = len(table), len(table[0])
    if sorted(table) != list(range(S)) or any(sorted(table[x]) != list(range(A)) for x in range(S)):
        raise ProblemError(
            f"states or actions of P are numbered inconsistently; expected 0 to {S - 1} and 0 to {A - 1}"
        )
    flat = [(x * A + u, *outcome) for x in range(S) for u in range(A) for outcome in table[x][u]]
    row, chance, after, reward, ended = (np.array(column) for column in zip(*flat, strict=True))
    after = np.where(ended.astype(bool), S, after)
    cost = np.bincount(row, -chance * reward, minlength=(S + 1) * A).reshape(S + 1, A)
    matrix = sparse.coo_matrix((chance, (row, after)), ((S + 1) * A, S + 1))
    names = (*map(str, range(S)), "end")
    return FiniteMDP(matrix.tocsr(), cost, discount=discount, absorbing=np.arange(S + 1) == S, names=names)


def simulation_of(env):
    """The unwrapped environment.

    Raises:
      ProblemError: if it is no environment with the interface of gymnasium's `MujocoEnv`.
    """
    inner = env.unwrapped if isinstance(env, gymnasium.Env) else None
    model, data = getattr(inner, "model", None), getattr(inner, "data", None)
    if not isinstance(model, mujoco.MjModel) or not isinstance(data, mujoco.MjData):
        raise ProblemError(
            f"env is {shown(env)}; expected a gymnasium environment with a MuJoCo model, such as "
            "gymnasium.make('InvertedPendulum-v5')"
        )
    frame_skip = getattr(inner, "frame_skip", None)
    if not isinstance(frame_skip, int | np.integer) or frame_skip < 1:
        raise ProblemError(
            f"frame_skip of the environment is {shown(frame_skip)}; expected the number of physics steps a step"
        )
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
