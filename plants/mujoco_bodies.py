"""Bodies that MuJoCo simulates, described in `models`, and tasks on them that are ready to be solved.

    problem = mujoco_bodies.task("arm7", "reach", goal=(0.4, 0.2, 0.5), noise=0.05)

Models, costs and noise levels are this project's own choices.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import ppi_robotics as ppi
from ppi_robotics.checks import as_floats, check_choice, check_number, shown

MODELS = Path(__file__).parent / "models"
SUBSTEPS = {  # physics steps a stage, which lasts 20 ms
    "cartpole": 2,
    "double_pendulum": 4,
    "arm2": 4,
    "arm7": 4,
    "hopper": 4,
    "quadruped": 5,
}
BODIES = tuple(SUBSTEPS)


@dataclass(frozen=True)
class Task:
    """What to do with a body.

    Attributes:
      parts: function of plant and goal to (cost, initial state (nx,), success), the last a function of final states
        (N, nx) to booleans (N,).
      horizon: stages.
      noise: of the controls by default, relative to their size.
      goal: position of the tip [m] that is reached by default; None where the task takes no goal.
      check: function of a goal that says what is wrong with it, or nothing.
    """

    parts: Callable[..., Any]
    horizon: int
    noise: float = 0.05
    goal: tuple | None = None
    check: Callable[..., Any] | None = None


def plant(body: str, noise: float = 0.0) -> ppi.MujocoPlant:
    """A body as a plant with stages of 20 ms.

    Args:
      body: one of `BODIES`.
      noise: standard deviation of every control relative to its size.

    Raises:
      ProblemError: if there is no such body, or the noise is negative or no number.
    """
    check_choice(body, "body", BODIES)
    noise = check_number(noise, "noise, relative to the size of the controls,", least=0)
    quiet = ppi.MujocoPlant(MODELS / f"{body}.xml", substeps=SUBSTEPS[body])
    if noise == 0:
        return quiet
    level = ppi.Noise(np.zeros(quiet.ndx), control=np.full(quiet.nu, noise))
    return ppi.MujocoPlant(MODELS / f"{body}.xml", substeps=SUBSTEPS[body], noise=level)


def task(
    body: str,
    name: str,
    goal: ArrayLike | None = None,
    noise: float | None = None,
    horizon: int | None = None,
) -> ppi.Problem:
    """A problem ready to be solved.

    Args:
      body, name: a key of `TASKS`.
      goal: where the tip is to be [m], for reaching: (x, y) for arm2, (x, y, z) for arm7; the task's own by default.
      noise: standard deviation of every control relative to its size; the task's own by default.
      horizon: stages of 20 ms; the task's own by default.

    Raises:
      ProblemError: if there is no such task, or the goal has the wrong shape or is out of reach.
    """
    if not isinstance(body, str) or not isinstance(name, str) or (body, name) not in TASKS:
        known = ", ".join(f"{one} {other}" for one, other in TASKS)
        raise ppi.ProblemError(f"unknown task {shown(body)} {shown(name)}; choose from {known}")
    chosen = TASKS[body, name]
    moved = plant(body, chosen.noise if noise is None else noise)
    cost, initial, success = chosen.parts(moved, _goal(chosen, f"{body} {name}", goal))
    return ppi.Problem(moved, cost, initial, chosen.horizon if horizon is None else horizon, success)


def _goal(chosen, label, given):
    """The goal as an array, or None."""
    if chosen.goal is None:
        if given is not None:
            raise ppi.ProblemError(f"{label} takes no goal, and {shown(given)} was given; leave it out")
        return None
    expected = f"expected {len(chosen.goal)} coordinates [m], such as {chosen.goal}"
    goal = as_floats(chosen.goal if given is None else given, f"goal of {label}")
    if goal.shape != (len(chosen.goal),) or not np.isfinite(goal).all():
        raise ppi.ProblemError(f"goal of {label} is {shown(given)}; {expected}")
    wrong = chosen.check(goal)
    if wrong:
        raise ppi.ProblemError(f"goal of {label} {tuple(goal.tolist())} {wrong}; choose another, such as {chosen.goal}")
    return goal


# -- cart-pole and double pendulum -------------------------------------------------------------------------------------


def swingup(cartpole, _):
    """The cost and success of `CartPole.swing_up_cost`, from hanging at rest."""
    weights = np.array([0.0, 1.0, 0.0, 0.1])

    def success(x):
        return (np.cos(x[:, 1]) > np.cos(0.3)) & (np.abs(x[:, 3]) < 2.0)

    cost = ppi.Quadratic(state=weights, control=[0.01], terminal=weights)
    return cost, cartpole.state("hanging"), success


def balance_links(pendulum, _):
    """Both links upright again, from leaning by 0.1 and 0.05 rad; unstable without feedback."""
    leaning = pendulum.state("upright") + [0.1, -0.05, 0.0, 0.0]
    weights = np.array([1.0, 1.0, 0.1, 0.1])

    def success(x):
        links = np.stack([x[:, 0], x[:, 0] + x[:, 1]])
        return (np.abs(links) < 0.1).all(axis=0) & (np.abs(x[:, 2:]) < 0.5).all(axis=1)

    cost = ppi.Quadratic(state=weights, control=[0.01], terminal=100 * weights)
    return cost, leaning, success


# -- reaching ----------------------------------------------------------------------------------------------------------

TIP_HEIGHT = 0.2  # of arm2 [m]
SHOULDER = np.array([0.0, 0.0, 0.34])  # of arm7 [m], where the axes of its first three joints meet


def reach(arm, goal):
    """The tip within 1 cm of the goal, and every joint slower than 0.3 rad/s, from the pose "home"."""
    place = np.append(goal, TIP_HEIGHT)[:3]
    home = arm.state("home")
    moving = np.repeat([0.0, 1.0], arm.nu)  # weights of joint angles and of their rates
    effort = 1.0 / np.max(arm.control_limits[:, 1]) ** 2
    tip = arm.sensor_names["tip"]

    def success(x):
        distance = np.linalg.norm(arm.sense(x)[:, tip] - place, axis=1)
        return (distance < 0.01) & (np.abs(x[:, arm.nu :]) < 0.3).all(axis=1)

    cost = ppi.TaskCost(
        stage=[ppi.SensorValue("tip", place, 1.0), ppi.StateDeviation(home, 0.01 * moving), ppi.Effort(0.1 * effort)],
        terminal=[ppi.SensorValue("tip", place, 1000.0), ppi.StateDeviation(home, moving)],
    )
    return cost, home, success


def beyond_arm2(goal):
    """Why the tip of arm2 cannot be at (x, y)."""
    distance = np.hypot(*goal)
    if not 0.16 <= distance <= 0.74:
        return f"is {distance:.3g} m from the shoulder, which reaches 0.16 to 0.74 m"
    return None


def beyond_arm7(goal):
    """Why the tip of arm7 cannot be at (x, y, z), or should not."""
    distance, column = np.linalg.norm(goal - SHOULDER), np.hypot(goal[0], goal[1])
    if not 0.25 <= distance <= 0.78:
        return f"is {distance:.3g} m from the shoulder at {tuple(SHOULDER.tolist())}, which reaches 0.25 to 0.78 m"
    if goal[2] < 0.03:
        return "is in the floor or less than 0.03 m above it"
    return "is in the arm's own column" if column < 0.15 and goal[2] < 0.5 else None


# -- legs --------------------------------------------------------------------------------------------------------------

HOP = 0.3  # length of the hopper's hop [m]


def stand(hopper, _):
    """Still and upright in the pose "home", after a push of 0.3 m/s."""
    home = hopper.state("home")
    pushed = home.copy()
    pushed[hopper.state_names.index("x velocity")] = 0.3
    weights = np.array([1.0, 10.0, 10.0, 1.0, 1.0, 0.1, 0.1, 0.3, 0.03, 0.03])
    cost = ppi.Quadratic(state=weights, control=[1e-3, 1e-3], terminal=30 * weights, goal=home)
    return cost, pushed, landed(home, pitch=0.1, speed=0.25)


def hop(hopper, _):
    """Through the air from a crouch to the pose "home", `HOP` farther on, and at rest there.

    The center of mass is drawn to a height that only a jump comes near. Success sees where the body ends, not its way:
    upright, slower than 0.5 m/s and rad/s, and within 10 cm of the goal, farther on than a standing body can lean.
    """
    goal = hopper.state("home")
    goal[0] += HOP
    upright = landed(goal, pitch=0.2, speed=0.5)
    height = ppi.SensorValue("center of mass", np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 100.0]))
    weights = np.array([1.0, 0.0, 5.0, 0.1, 0.1, 0.1, 0.0, 0.1, 0.01, 0.01])
    end = 300 * np.array([3.0, 3.0, 3.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.1, 0.1])

    def success(x):
        return upright(x) & (np.abs(x[:, 0] - goal[0]) < 0.1)

    cost = ppi.TaskCost(
        stage=[height, ppi.StateDeviation(goal, weights), ppi.Effort(5e-3)],
        terminal=[ppi.StateDeviation(goal, end)],
    )
    return cost, hopper.state("crouch"), success


def landed(home, pitch=0.3, speed=1.0):
    """Whether the hopper's final states are upright [rad], slow [m/s, rad/s], and within 10 cm of `home` in height."""

    def success(x):
        upright = (np.abs(x[:, 1] - home[1]) < 0.1) & (np.abs(x[:, 2]) < pitch)
        return upright & (np.abs(x[:, 5:8]) < speed).all(axis=1)

    return success


def stand_up(quadruped, _):
    """From a crouch to the pose "home": its height within 3 cm, level within 0.1 rad, and nearly at rest."""
    home = quadruped.state("home")
    place, turn, legs = [1.0, 1.0, 200.0], [10.0, 10.0, 10.0], np.full(12, 0.1)
    rates = np.concatenate((np.full(6, 0.1), np.full(12, 0.003)))
    weights = np.concatenate((place, turn, legs, rates))
    end = np.concatenate((place, turn, legs, 3 * rates))

    def success(x):
        off = quadruped.difference(x, home[None])
        level = (np.abs(off[:, 3:5]) < 0.1).all(axis=1)
        return level & (np.abs(off[:, 2]) < 0.03) & (np.abs(off[:, 18:24]) < 0.5).all(axis=1)

    cost = ppi.Quadratic(state=weights, control=np.full(12, 1e-3), terminal=30 * end, goal=home)
    return cost, quadruped.state("crouch"), success


TASKS = {
    ("cartpole", "swingup"): Task(swingup, 150),
    ("double_pendulum", "balance"): Task(balance_links, 50),
    ("arm2", "reach"): Task(reach, 50, goal=(0.1, 0.5), check=beyond_arm2),
    ("arm7", "reach"): Task(reach, 50, goal=(0.4, 0.2, 0.5), check=beyond_arm7),
    ("hopper", "balance"): Task(stand, 50),
    ("hopper", "hop"): Task(hop, 45),
    ("quadruped", "stand"): Task(stand_up, 50),
}
