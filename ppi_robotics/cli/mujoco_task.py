"""What the command `mujoco` is asked to do, as a problem: a task of a ready-made body, or of any MJCF file."""

import os
from dataclasses import dataclass
from pathlib import Path

import ppi_robotics as ppi
from ppi_robotics.cli.arguments import (
    MOST_STAGES,
    bodies,
    check_choice,
    check_noise,
    check_range,
    tasks_of,
    weights_of,
)
from ppi_robotics.errors import ProblemError

SECONDS = {"balance": 2.0, "swingup": 5.0, "reach": 1.5}  # tasks of MJCF files, and how long they take by default
STAGE = 0.02  # seconds, about, where no number of substeps is given
NOISE = 0.02  # of the controls, relative to their size
SITES = ("tip", "end_effector", "ee")  # that reach for a goal where none is named


@dataclass(frozen=True)
class Wish:
    """The arguments that say what to do; None for what is not given."""

    task: str | None = None
    goal: str | None = None
    keyframe: str | None = None
    site: str | None = None
    horizon: int | None = None
    substeps: int | None = None
    noise: float | None = None


def make_task(source, wish):
    """A name for the folder, the name of the task, and the `Problem`.

    Raises:
      PPIError: if the arguments do not fit the model or each other.
    """
    check_range("--horizon", wish.horizon, 1, MOST_STAGES)
    check_range("--substeps", wish.substeps, 1, MOST_STAGES)
    check_noise(wish.noise, "the noise of the controls relative to their size")
    if source in bodies().BODIES:
        return source, *body_task(source, wish)
    if not Path(source).suffix and not os.path.exists(source):
        check_choice("body", source, (*bodies().BODIES, "FILE.xml"))
    return Path(source).stem, *file_task(source, wish)


def body_task(body, wish):
    """The name of a task and its problem, of a ready-made body."""
    known = tuple(tasks_of(body))
    task = wish.task or known[0]
    check_choice(f"task of {body}", task, known)
    for flag in ("keyframe", "site", "substeps"):
        if getattr(wish, flag) is not None:
            raise ProblemError(f"--{flag} is for MJCF files, and {body} is a body with tasks of its own; leave it out")
    goal = None if wish.goal is None else weights_of("--goal", wish.goal)
    return task, bodies().task(body, task, goal=goal, noise=wish.noise, horizon=wish.horizon)


def file_task(path, wish):
    """The name of a task and its problem, of an MJCF file."""
    task = wish.task or "balance"
    check_choice("task of an MJCF file", task, SECONDS)
    for flag, owners in (("goal", ("swingup", "reach")), ("site", ("reach",))):
        if getattr(wish, flag) is None and flag == "goal" and task in owners:
            expected = "the place x,y,z [m] of the site" if task == "reach" else "joint positions, or a keyframe's name"
            raise ProblemError(f"--goal is missing; {task} needs {expected}")
        if getattr(wish, flag) is not None and task not in owners:
            names = " and ".join(owners)
            raise ProblemError(
                f"--{flag} belongs to {names}, the task is {task}; leave it out or give --task {owners[0]}"
            )
    plant = noisy_plant(path, wish)
    start = plant.state(wish.keyframe)
    if task == "balance":
        parts = ppi.tasks.balance(plant, start)
    elif task == "swingup":
        parts = ppi.tasks.swing_up(plant, pose_of(plant, wish.goal), start)
    else:
        parts = ppi.tasks.reach(plant, site_of(plant, wish.site), place_of(wish.goal), start)
    horizon = wish.horizon or max(round(SECONDS[task] / plant.dt), 1)
    return task, ppi.Problem(plant, parts.cost, parts.initial, horizon, parts.success)


def noisy_plant(path, wish):
    """The plant of an MJCF file, with noise on its controls."""
    import numpy as np

    quiet = ppi.MujocoPlant(path)
    substeps = wish.substeps or max(round(STAGE / quiet.dt), 1)
    level = NOISE if wish.noise is None else wish.noise
    noise = ppi.Noise(np.zeros(quiet.ndx), control=np.full(quiet.nu, level))
    return ppi.MujocoPlant(path, substeps=substeps, noise=noise, surroundings=wish.keyframe)


def pose_of(plant, text):
    """State (nx,) at rest at positions separated by commas, or of a keyframe."""
    try:
        positions = [float(part) for part in text.split(",")]
    except ValueError:
        return plant.state(text)
    nq = plant.model.nq
    if len(positions) != nq:
        names = ", ".join(plant.state_names[:nq])
        raise ProblemError(
            f"--goal is '{text}', {len(positions)} numbers; '{plant.name}' has {nq} positions ({names}): give as many, "
            "or the name of a keyframe"
        )
    x = plant.state()
    x[:nq] = positions
    return x


def place_of(text):
    """A place (3,) from numbers separated by commas."""
    place = weights_of("--goal", text)
    if len(place) != 3:
        raise ProblemError(f"--goal is '{text}', {len(place)} numbers; reach needs the place x,y,z [m] of the site")
    return place


def site_of(plant, given):
    """The site that is named, the only one, or one called as tips mostly are."""
    if given is not None:
        return given
    model = plant.model
    names = [name for name in (model.site(i).name for i in range(model.nsite)) if name]
    usual = names if len(names) == 1 else [name for name in SITES if name in names]
    if not usual:
        raise ProblemError(
            f"--site is missing; '{plant.name}' has {', '.join(names) or 'none with a name'}"
            + ("; choose one" if names else '; add one, such as <site name="tip"/>, to a body')
        )
    return usual[0]
