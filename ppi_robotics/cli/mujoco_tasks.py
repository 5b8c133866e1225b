"""What the command `mujoco` is asked to do, as a problem: a task of a ready-made body, or of any MJCF file."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.options import check_choice, weights_of
from ppi_robotics.cli.problems import MOST_STAGES, Horizon, Setting, check_noise, settings_of, stages_of, tasks_of
from ppi_robotics.errors import ProblemError

SECONDS = {"balance": 2.0, "swingup": 5.0, "reach": 1.5}  # tasks of MJCF files, and how long they take by default
STAGE = 0.02  # seconds, about, where no number of substeps is given
NOISE = 0.02  # of the controls, relative to their size
SITES = ("tip", "end_effector", "ee")  # that reach for a goal where none is named


@dataclass(frozen=True)
class Task:
    """A model and what it is to do; None for what is not given.

    Attributes:
      model: a body that `ppi-robotics plants` lists, or any MJCF file.
      task: of a file balance, the default, swingup or reach; or of a body, its first by default.
      goal: place to reach in meters; positions or a keyframe to swing up to.
      keyframe: where to start, or what to balance; the default state otherwise.
      site: what reaches; the only site by default.
      horizon: stages, or seconds such as 3s; the task's own by default.
      substeps: physics steps a stage; about 20 ms by default.
      dt: seconds a stage, in place of --substeps.
      noise: noise of the controls relative to their size; the task's own by default.
      set: values of the method and, for a file, of the plant and its noise, such as method.tolerance=1e-6
        noise.process=0,0,1e-5,1e-5.
    """

    model: Annotated[str, "BODY|FILE.xml"]
    task: Annotated[str | None, "NAME"] = None
    goal: Annotated[str | None, "X,Y,..."] = None
    keyframe: Annotated[str | None, "K"] = None
    site: Annotated[str | None, "NAME"] = None
    horizon: Horizon = None
    substeps: Annotated[int | None, "N", range(1, MOST_STAGES + 1)] = None
    dt: Annotated[float | None, "SECONDS"] = None
    noise: Annotated[float | None, "S"] = None
    set: Setting = ()

    @functools.cached_property
    def given(self) -> dict[str, dict[str, object]]:
        """Values of `--set` by their owner."""
        return settings_of(self.set, ("plant", "noise", "method"))

    def make(self) -> tuple[str, str, ppi.Problem]:
        """A name for the folder, the name of the task, and the `Problem`.

        Raises:
          PPIError: if the arguments do not fit the model or each other.
        """
        from plants import mujoco_bodies

        check_noise(self.noise, "the noise of the controls relative to their size")
        if self.model in mujoco_bodies.BODIES:
            return self.model, *self._of_body(mujoco_bodies)
        if not Path(self.model).suffix and not os.path.exists(self.model):
            check_choice("body", self.model, (*mujoco_bodies.BODIES, "FILE.xml"))
        return Path(self.model).stem, *self._of_file()

    def _of_body(self, bodies):
        """The name of a task and its problem, of a ready-made body."""
        known = tuple(tasks_of(self.model))
        task = self.task or known[0]
        check_choice(f"task of {self.model}", task, known)
        others = {"--keyframe": self.keyframe, "--site": self.site, "--substeps": self.substeps, "--dt": self.dt}
        others |= {f"--set {owner}": given for owner, given in self.given.items() if owner != "method"}
        for flag, value in others.items():
            if value is not None:
                raise ProblemError(
                    f"{flag} is for MJCF files, and {self.model} is a body with tasks of its own; leave it out"
                )
        goal = None if self.goal is None else weights_of("--goal", self.goal)
        horizon = stages_of(self.horizon, bodies.plant(self.model).dt)
        return task, bodies.task(self.model, task, goal=goal, noise=self.noise, horizon=horizon)

    def _of_file(self):
        """The name of a task and its problem, of an MJCF file."""
        task = self.task or "balance"
        check_choice("task of an MJCF file", task, SECONDS)
        for flag, owners in (("goal", ("swingup", "reach")), ("site", ("reach",))):
            given = getattr(self, flag) is not None
            if not given and flag == "goal" and task in owners:
                expected = (
                    "the place x,y,z [m] of the site" if task == "reach" else "joint positions, or a keyframe's name"
                )
                raise ProblemError(f"--goal is missing; {task} needs {expected}")
            if given and task not in owners:
                names = " and ".join(owners)
                raise ProblemError(
                    f"--{flag} belongs to {names}, the task is {task}; leave it out or give --task {owners[0]}"
                )
        plant = self._noisy_plant()
        start = plant.state(self.keyframe)
        if task == "balance":
            parts = ppi.tasks.balance(plant, start)
        elif task == "swingup":
            parts = ppi.tasks.swing_up(plant, pose_of(plant, self.goal), start)
        else:
            parts = ppi.tasks.reach(plant, site_of(plant, self.site), place_of(self.goal), start)
        horizon = stages_of(self.horizon, plant.dt) or max(round(SECONDS[task] / plant.dt), 1)
        return task, ppi.Problem(plant, parts.cost, parts.initial, horizon, parts.success)

    def _noisy_plant(self):
        """The plant of an MJCF file, with noise on its controls."""
        import inspect

        import numpy as np

        quiet = ppi.MujocoPlant(self.model)
        stage = {"substeps": max(round(STAGE / quiet.dt), 1)}
        if self.substeps is not None or self.dt is not None:
            stage = {"substeps": self.substeps, "dt": self.dt}
        level = NOISE if self.noise is None else self.noise
        given = {"process": np.zeros(quiet.ndx), "control": np.full(quiet.nu, level)} | self.given.get("noise", {})
        for owner, kind in (("noise", ppi.Noise), ("plant", ppi.MujocoPlant)):
            for name in self.given.get(owner, {}):
                check_choice(f"parameter of the {owner}", name, list(inspect.signature(kind).parameters))
        options = stage | {"noise": ppi.Noise(**given), "surroundings": self.keyframe}
        return ppi.MujocoPlant(self.model, **options | self.given.get("plant", {}))


def pose_of(plant, text: str):
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


def place_of(text: str) -> list[float]:
    """A place (3,) from numbers separated by commas."""
    place = weights_of("--goal", text)
    if len(place) != 3:
        raise ProblemError(f"--goal is '{text}', {len(place)} numbers; reach needs the place x,y,z [m] of the site")
    return place


def site_of(plant, given: str | None) -> str:
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
