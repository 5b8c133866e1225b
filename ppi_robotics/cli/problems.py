"""The plants, problems, methods and policies that the options of a command name."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import ppi_robotics as ppi
from ppi_robotics.cli.options import (
    Names,
    check_choice,
    check_names,
    entries_of,
    real,
    source_fields,
    summary_of,
    value_of,
    whole,
)
from ppi_robotics.errors import PPIError, ProblemError

MOST_STAGES = 1_000_000
ARRAYS = ("noise", "initial")  # whose values have an entry for each state or control


def horizon_of(text: str) -> int | float:
    """Stages as a whole number, or seconds as a float from a text such as 3s."""
    if text.endswith("s"):
        return real(text[:-1])
    try:
        return whole(text)
    except ValueError as error:
        raise ValueError(f"{error} of stages, or seconds such as 3s") from None


PlantName = Annotated[str, "PLANT", Names(lambda: [*catalog()])]
PolicyFile = Annotated[Path, "POLICY.npz", "A file written by solve or swingup."]
Seed = Annotated[int, "N", range(2**64), "Seed of initial guesses and noise."]
Samples = Annotated[int, "N", range(2, 10**9 + 1), "Number of noisy rollouts, at least 2, such as 1e6."]
Starts = Annotated[int | None, "K", range(1, 10**9 + 1), "Number of initial guesses, of which the best is kept."]
Trace = Annotated[bool, "Also print the iterations."]
Horizon = Annotated[int | None, "T|SECONDSs", horizon_of]
Setting = Annotated[tuple, "NAME=VALUE ..."]
Out = Annotated[Path | None, "DIR", "Folder for the files."]


@dataclass(frozen=True)
class Solving:
    """How often and from where to solve, and what is told of it."""

    starts: Starts = None
    seed: Seed = 0
    trace: Trace = False
    out: Out = None


# -- plants and problems -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SwingUp:
    """A plant, and the problem that it is to solve.

    Attributes:
      plant: one that `ppi-robotics plants` lists, or FILE.py:NAME for one of your own, its class, a problem, or a
        function that returns either. `--plant PLANT` says the same.
      horizon: stages, or seconds such as 3s; the plant's by default.
      dt: seconds a stage; the plant's by default.
      noise: the plant's sigma; the plant's own by default.
      set: values of the plant, the cost, its noise and the method, such as plant.force_limit=10 cost.force=0.1
        noise.control=0.1 method.tolerance=1e-6; initial=X1,X2,... is where it starts.
    """

    plant: PlantName
    horizon: Horizon = None
    dt: Annotated[float | None, "SECONDS"] = None
    noise: Annotated[float | None, "S"] = None
    set: Setting = ()

    @functools.cached_property
    def given(self) -> dict[str, dict[str, object]]:
        """Values of `--set` by their owner."""
        return settings_of(self.set, ("plant", "cost", "noise", "method", "initial"))

    @property
    def name(self) -> str:
        """Of the folder for files."""
        return self.plant.rpartition(":")[2]

    @staticmethod
    def sections(typed: list[str]) -> list[tuple[str, list]]:
        """What --set can change of the plant that is typed, for help."""
        name = next((text for text in typed if text in catalog()), None) if typed and typed[0][:1] != "-" else None
        if name is None:
            return []
        kind, noise = catalog()[name], source_fields("Noise")
        rows = [
            (f"plant.{key}={parameter.default}", entries_of(kind.__doc__).get(key, ""))
            for key, parameter in parameters_of(kind).items()
            if key != "self"
        ]
        weights = list(inspect.signature(kind.swing_up_cost).parameters.values())[1:]
        about = " ".join(summary_of(kind.swing_up_cost.__doc__).split())
        rows += [(f"cost.{weight.name}={weight.default}", about if weight is weights[0] else "") for weight in weights]
        rows += [(f"noise.{key}", noise[key].help) for key in noise if key != "factor"]
        return [(f"Values of --set for {name}", rows)]

    def problem(self, horizon: int | None = None) -> ppi.Problem:
        """The problem; `horizon` stands in where none is given."""
        check_noise(self.noise, "the plant's sigma")
        made = self._made()
        if hasattr(made, "plant"):
            return self._of_problem(made, horizon)
        cost, start = self._cost(made), self.given.get("initial", {}).get("", getattr(made, "hanging", None))
        if start is None:
            raise ProblemError(f"'{self.plant}' has no state `hanging`, where to start; add it or --set initial=X1,...")
        stages, own = horizon or stages_of(self.horizon, made.dt), getattr(made, "default_horizon", None)
        if stages is None and own is None:
            raise ProblemError(f"'{self.plant}' has no default_horizon; give --horizon, stages or seconds such as 3s")
        if stages is None:
            usual = parameters_of(type(made)).get("dt")  # as many seconds at another length of a stage
            stages = max(round(own * (usual.default if usual else made.dt) / made.dt), 1)
        return ppi.Problem(made, cost, start, stages)

    def _of_problem(self, made, horizon):
        """The problem that a file holds, over the horizon that is given."""
        given = {"--noise": self.noise, "--dt": self.dt} | {f"--set {owner}": 1 for owner in self.given}
        for flag, value in given.items():
            if value is not None and flag != "--set method":
                raise ProblemError(f"{flag} changes a plant, and '{self.plant}' is a problem; leave it out")
        stages = horizon or stages_of(self.horizon, made.plant.dt) or made.horizon
        return made if stages == made.horizon else dataclasses.replace(made, horizon=stages)

    def _made(self):
        """The plant, or the problem that a file holds."""
        if ".py:" in self.plant:
            return self._from_file()
        check_choice("plant", self.plant, catalog())
        return self._from_class(catalog()[self.plant])

    def _from_file(self):
        path, _, name = self.plant.rpartition(":")
        found = load_name(path, name)
        if inspect.isclass(found):
            return self._from_class(found)
        try:
            found = found() if inspect.isfunction(found) else found
        except PPIError:
            raise
        except Exception as error:  # noqa: BLE001  (a user's own function may raise anything)
            raise ProblemError(
                f"'{self.plant}' raised {type(error).__name__}: {error}; give a function without arguments"
            ) from error
        return found

    def _from_class(self, kind):
        """A plant of a class, with the parameters that are given."""
        known = [name for name in parameters_of(kind) if name not in ("self", "args", "kwargs")]
        given = dict(self.given.get("plant", {}))
        for flag, name, value in (("--noise", "sigma", self.noise), ("--dt", "dt", self.dt)):
            if value is not None and name not in known:
                raise ProblemError(
                    f"{flag} sets the parameter {name} of a plant, and '{self.plant}' has none; leave it out"
                )
            given |= {} if value is None else {name: value}
        check_names(f"parameter of {self.plant}", given, known)
        return noisy(kind, self.given.get("noise"))(**given)

    def _cost(self, plant):
        """The plant's own cost, or a quadratic one of the weights that are given."""
        given, own = dict(self.given.get("cost", {})), getattr(plant, "swing_up_cost", None)
        if own is None:
            if not given:
                raise ProblemError(
                    f"'{self.plant}' has no swing_up_cost(); add it, name a problem, or give "
                    "--set cost.state=... cost.control=... cost.terminal=..."
                )
            known = [field.name for field in dataclasses.fields(ppi.Quadratic)]
            check_names("weight of the cost", given, known)
            missing = [name for name in ("state", "control") if name not in given]
            if missing:
                raise ProblemError(f"--set cost.{missing[0]} is missing; a quadratic cost has {', '.join(known)}")
            return ppi.Quadratic(**as_lists(given))
        weights = list(inspect.signature(own).parameters)
        cost = own(**{name: given.pop(name) for name in weights if name in given})
        known = [field.name for field in dataclasses.fields(cost)] if dataclasses.is_dataclass(cost) else []
        check_names(f"weight of the cost of {self.plant}", given, [*weights, *known])
        return dataclasses.replace(cost, **as_lists(given)) if given else cost


def stages_of(horizon: int | float | None, dt: float) -> int | None:
    """Stages of a horizon in stages, or in seconds if it is a float; None for None."""
    if horizon is None:
        return None
    stages = horizon
    if isinstance(horizon, float):
        stages = round(horizon / dt) if math.isfinite(horizon) and abs(horizon / dt) < 2 * MOST_STAGES else 0
    if not 1 <= stages <= MOST_STAGES:
        from ppi_robotics.checks import shown

        given = shown(horizon) if isinstance(horizon, int) else f"{horizon:g}s"
        raise ProblemError(f"--horizon is {given}; expected 1 to {MOST_STAGES} stages of {dt:g} s each")
    return stages


def parameters_of(kind: type) -> dict[str, inspect.Parameter]:
    """Parameters by name that a plant is constructed from."""
    return dict(inspect.signature(kind.__init__).parameters)


def noisy(kind, given: dict | None):
    """A plant's class, with other noise than its own if that is given."""
    if not given:
        return kind
    import numpy as np

    check_names("part of the noise", given, [field.name for field in dataclasses.fields(ppi.Noise) if field.init])

    def construct(plant, *arguments, **options):
        kind.__init__(plant, *arguments, **options)
        own = plant.noise if plant.noise is not None else np.zeros(len(plant.state_names))
        own = own if isinstance(own, ppi.Noise) else ppi.Noise(own)
        plant.noise = dataclasses.replace(own, **given)

    return type(kind)(kind.__name__, (kind,), {"__init__": construct, "__doc__": kind.__doc__})


def settings_of(texts: tuple[str, ...], owners: tuple[str, ...]) -> dict[str, dict[str, object]]:
    """Values by owner and name of texts such as plant.force_limit=10."""
    found = {}
    for text in texts:
        path, equals, value = text.partition("=")
        owner, _, name = path.partition(".")
        if not equals or owner not in owners or (not name and owner != "initial"):
            example = "noise.control=0.1" if "cost" not in owners else "plant.force_limit=10"
            raise ProblemError(f"--set is '{text}'; expected values of {', '.join(owners)}, such as {example}")
        found.setdefault(owner, {})[name] = value if owner == "method" else value_of(value, owner in ARRAYS)
    return found


def as_lists(given: dict[str, object]) -> dict[str, object]:
    """Values, numbers as lists of one, as weights have an entry for each state or control."""
    return {name: [value] if isinstance(value, int | float) else value for name, value in given.items()}


def load_name(path: str, name: str) -> object:
    """What a Python file defines under a name.

    Raises:
      ProblemError: if there is no such file, running it fails, or it does not define the name.
    """
    import importlib.util

    if not Path(path).is_file():
        raise ProblemError(f"there is no file '{path}'; give a plant of your own as FILE.py:NAME")
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # noqa: BLE001  (a user's file may raise anything)
        raise ProblemError(
            f"'{path}' raised {type(error).__name__}: {error}; mend it, and give FILE.py:NAME"
        ) from error
    own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == spec.name]
    if not hasattr(module, name):
        check_choice(f"name of {path}", name, own or ["nothing"])
    return getattr(module, name)


def catalog() -> dict[str, type]:
    """Plant classes by name."""
    from plants.catalog import BY_NAME

    return BY_NAME


def tasks_of(body: str) -> dict:
    """Ready-made tasks of a MuJoCo body by name."""
    from plants import mujoco_bodies

    return {task: facts for (owner, task), facts in mujoco_bodies.TASKS.items() if owner == body}


def check_noise(noise: float | None, what: str) -> None:
    """Raise `ProblemError` if a noise level is given and out of range."""
    if noise is not None and not 0 <= noise < 1e100:
        raise ProblemError(f"--noise is {noise:g}; expected a finite number, 0 or more, for {what}")


# -- policies ----------------------------------------------------------------------------------------------------------


def load_policies(task: SwingUp, paths: list[Path]) -> tuple[ppi.Problem, dict[str, ppi.LinearGaussianPolicy]]:
    """The problem that policies were made for, and the policies by a short name each."""
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise ProblemError(f"policy '{twice}' is given twice; give every file once")
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else str(path) for path in paths]
    policies = {name: ppi.LinearGaussianPolicy.load(path) for name, path in zip(names, paths, strict=True)}
    problem = task.problem(policies[names[0]].horizon)
    for policy in policies.values():
        policy.check(problem)
    return problem, policies
