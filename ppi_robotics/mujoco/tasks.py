"""Tasks on any MuJoCo plant: keep a pose, get to a pose, bring a site to a place.

    plant = ppi.MujocoPlant("arm.xml", dt=0.02)
    cost, initial, success = ppi.tasks.reach(plant, "tip", (0.4, 0.0, 0.3))
    problem = ppi.Problem(plant, cost, initial, horizon=75, success=success)

The weights are this project's own choices. Positions are weighed in radians and meters, the places of sites in units of
the model's extent, and controls in units of their limits, so that no model needs weights of its own to begin with.
"""

from collections.abc import Callable
from typing import NamedTuple

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_number, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.manifold import unit
from ppi_robotics.mujoco.plant import MujocoPlant
from ppi_robotics.mujoco.terms import Effort, Residual, SitePosition, StateDeviation, TaskCost

RATE = 0.1  # of the weight of velocities to that of positions [s^2]
POSITION_TOLERANCE, RATE_TOLERANCE = 0.1, 0.5  # of a pose that counts as reached [rad, m] and [rad/s, m/s]
REACHED = 0.01  # distance from a goal that counts as none, in units of the model's extent


class Task(NamedTuple):
    """What a `Problem` needs beside the plant and the horizon.

    Attributes:
      cost: `TaskCost`.
      initial: state (nx,), or a `Gaussian` over it.
      success: function of final states (N, nx) to booleans (N,).
    """

    cost: TaskCost
    initial: np.ndarray | Gaussian
    success: Callable[[np.ndarray], np.ndarray]


def balance(plant: MujocoPlant, state: ArrayLike | None = None, spread: float = 0.01) -> Task:
    """Stay at a state: a quadratic cost about it, for the linear feedback of small deviations.

    Args:
      plant: `MujocoPlant`.
      state: (nx,), with rates of zero if the plant is to stay; the model's default if None.
      spread: standard deviation of the initial positions about it [rad, m].

    Returns:
      `Task`; it succeeds within 0.1 rad or m and 0.5 rad/s or m/s of the state in every direction.

    Raises:
      ProblemError: if an argument does not fit the plant.
    """
    state = _state(plant, state, "state")
    spread = check_number(spread, "spread", least=0)
    weights = _weights(plant, np.ones(plant.model.nv))
    cost = TaskCost(
        stage=[StateDeviation(state, weights), Effort(0.01 * _effort(plant))],
        terminal=[StateDeviation(state, 10.0 * weights)],
    )
    moved = np.zeros(plant.ndx)
    moved[: plant.model.nv] = spread**2
    return Task(cost, Gaussian(state, np.diag(moved), plant.quaternions), _at(plant, state))


def swing_up(plant: MujocoPlant, goal: ArrayLike, initial: ArrayLike | None = None) -> Task:
    """Get to a pose and stop there; full turns of a hinge without a range do not count.

    Args:
      plant: `MujocoPlant`.
      goal: state (nx,) to get to.
      initial: state (nx,) to start from; the model's default if None.

    Returns:
      `Task`; it succeeds within 0.1 rad or m and 0.5 rad/s or m/s of the goal in every direction.

    Raises:
      ProblemError: if an argument does not fit the plant.
    """
    goal, initial = _state(plant, goal, "goal"), _state(plant, initial, "initial")
    x_entries, dx_entries = _turning(plant)
    moving = np.ones(plant.model.nv)
    moving[dx_entries] = 0.0
    weights = _weights(plant, moving)

    def direction(x, u, y):  # noqa: ARG001
        off = x[:, x_entries] - goal[x_entries]
        return np.hstack((np.sin(off), 1.0 - np.cos(off)))

    def pose(weight):
        turns = [Residual(direction, weight=weight)] if len(x_entries) else []
        return [StateDeviation(goal, weight * weights), *turns]

    cost = TaskCost(stage=[*pose(0.1), Effort(0.3 * _effort(plant))], terminal=pose(100.0))
    return Task(cost, initial, _at(plant, goal))


def reach(plant: MujocoPlant, site: str, goal: ArrayLike, initial: ArrayLike | None = None) -> Task:
    """Bring a site to a place and stop there.

    Args:
      plant: `MujocoPlant`, made from anything but an MjModel.
      site: its name.
      goal: (3,) [m], in the world's frame.
      initial: state (nx,) to start from; the model's default if None.

    Returns:
      `Task`; it succeeds within 1 % of the model's extent (`plant.model.stat.extent`) of the goal.

    Raises:
      ProblemError: if an argument does not fit the plant; the message lists the sites that there are.
    """
    initial = _state(plant, initial, "initial")
    extent = plant.model.stat.extent
    still = _weights(plant, np.zeros(plant.model.nv))
    cost = TaskCost(
        stage=[
            SitePosition(site, goal, 10.0 / extent**2),
            StateDeviation(initial, 0.1 * still),
            Effort(0.1 * _effort(plant)),
        ],
        terminal=[SitePosition(site, goal, 1000.0 / extent**2), StateDeviation(initial, 10.0 * still)],
    )
    sensing = cost.bind(plant).plant
    goal, entries = np.asarray(goal, dtype=float), sensing.sensor_names[f"framepos {site}"]

    def success(x):
        return np.linalg.norm(sensing.sense(x)[:, entries] - goal, axis=1) < REACHED * extent

    return Task(cost, initial, success)


def _state(plant, given, name):
    """A state (nx,) with unit quaternions; the model's default if None."""
    if not isinstance(plant, MujocoPlant):
        raise ProblemError(f"plant is {shown(plant)}; expected a MujocoPlant")
    return plant.state() if given is None else unit(as_finite(given, name, (plant.nx,)), plant.quaternions)


def _weights(plant, positions):
    """Weights (ndx,) of the state: positions (nv,), rates, and none for activations."""
    return np.concatenate((positions, np.full(plant.model.nv, RATE), np.zeros(plant.model.na)))


def _effort(plant):
    """Weights (nu,) that make every control at its limit cost 1; 1 where it has none."""
    size = np.abs(plant.control_limits).max(axis=1)
    return 1.0 / np.where(np.isfinite(size) & (size > 0), size, 1.0) ** 2


def _turning(plant):
    """Entries of hinges without a range, in the state and in its tangent."""
    model = plant.model
    free = (model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE) & (model.jnt_limited == 0)
    return model.jnt_qposadr[free], model.jnt_dofadr[free]


def _at(plant, state):
    """Whether final states (N, nx) are at a state, up to full turns."""
    nv, (_, turning) = plant.model.nv, _turning(plant)

    def success(x):
        off = plant.difference(x, state)[:, : 2 * nv]
        off[:, turning] = np.remainder(off[:, turning] + np.pi, 2 * np.pi) - np.pi
        tolerance = np.repeat([POSITION_TOLERANCE, RATE_TOLERANCE], nv)
        return (np.abs(off) < tolerance).all(axis=1)

    return success
