"""Costs on MuJoCo plants as sums of terms: positions of sites, joints, forces, and functions of one's own.

    cost = ppi.TaskCost(
        stage=[ppi.SitePosition("tip", goal=(0.4, 0.0, 0.3), weight=10.0), ppi.Effort(0.01)],
        terminal=[ppi.SitePosition("tip", goal=(0.4, 0.0, 0.3), weight=1000.0)],
    )

Every term adds weight |residual|^2, without a factor 1/2. Sensors that the terms need are added to the problem's plant;
they read the state at the start of a stage and, forces, the control that acts there; at the end no control acts.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_names, check_text, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.manifold import quaternion_log
from ppi_robotics.manifold import unit
from ppi_robotics.mujoco.plant import MujocoPlant
from ppi_robotics.symbolic.residuals import (
    BoundResiduals,
    ControlError,
    FunctionError,
    Residuals,
    SensorError,
    StateError,
    roots_of,
)

SIMPLE = (mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtJoint.mjJNT_SLIDE)


@dataclass(frozen=True)
class TaskCost:
    """A sum of terms per stage and one at the end, minimized.

    Attributes:
      stage, terminal: terms such as `SitePosition`, `JointPosition`, `StateDeviation`, `Effort` or `Residual`.

    Raises:
      ProblemError: on binding, if a term names what the model does not have (the message lists what it has), or has a
        goal or weight of the wrong shape; if the plant is no `MujocoPlant`.
    """

    stage: "Sequence[Term] | Term" = ()
    terminal: "Sequence[Term] | Term" = ()

    def __post_init__(self):
        for name in ("stage", "terminal"):
            terms = getattr(self, name)
            terms = tuple(terms) if isinstance(terms, list | tuple) else (terms,)
            for term in terms:
                if not isinstance(term, Term):
                    raise ProblemError(f"{name} has {shown(term)}; expected terms such as SitePosition or Effort")
            object.__setattr__(self, name, terms)
        if not self.stage and not self.terminal:
            raise ProblemError("the cost has no terms; give stage=[...] or terminal=[...]")
        if any(isinstance(term, Effort) for term in self.terminal):
            raise ProblemError("an Effort at the end weighs no control, for none acts there; leave it out of terminal")

    def equip(self, plant: MujocoPlant) -> MujocoPlant:
        """The plant with the sensors that the terms need."""
        if not isinstance(plant, MujocoPlant):
            raise ProblemError(f"a TaskCost needs a MujocoPlant, not {shown(plant)}; use LeastSquares for others")
        wanted = {}
        for term in (*self.stage, *self.terminal):
            wanted |= term.required(plant)
        return plant.with_sensors(wanted)

    def bind(self, plant: MujocoPlant) -> BoundResiduals:
        """The cost for a plant."""
        plant = self.equip(plant)
        parts = ([term.residual(plant) for term in terms] for terms in (self.stage, self.terminal))
        return BoundResiduals(self, plant, *parts)


class Term(ABC):
    """What terms have in common."""

    def required(self, plant: MujocoPlant) -> dict:  # noqa: ARG002
        """Sensors that the term needs: a dict from name to the keyword arguments of `MjSpec.add_sensor`."""
        return {}

    @abstractmethod
    def residual(self, plant: MujocoPlant) -> Residuals:
        """The residual for a plant that has these sensors."""


class SensorTerm(Term):
    """Difference from a goal of a sensor that is added for the term, on the object that its first field names.

    Class attributes:
      sensor: name of the kind of sensor, such as "framepos".
      on: kind of the object, "site" or "body".
    """

    sensor: ClassVar[str]
    on: ClassVar[str] = "site"

    @property
    def target(self) -> str:
        """Name of the site or body."""
        return getattr(self, self.on)

    @property
    def label(self) -> str:
        """For messages."""
        return f"{type(self).__name__} {shown(self.target)}"

    def required(self, plant: MujocoPlant) -> dict:
        """The sensor."""
        check_known(plant, self.on, self.target)
        kind, on = f"mjSENS_{self.sensor.upper()}", f"mjOBJ_{self.on.upper()}"
        what = {"type": getattr(mujoco.mjtSensor, kind), "objtype": getattr(mujoco.mjtObj, on), "objname": self.target}
        return {f"{self.sensor} {self.target}": what}

    def residual(self, plant: MujocoPlant) -> Residuals:
        """The sensor's entries."""
        return sensor_error(plant, f"{self.sensor} {self.target}", self.goal, self.weight, self.label)


@dataclass(frozen=True)
class SitePosition(SensorTerm):
    """Distance of a site from a goal (3,) [m]; weight [1/m^2], a scalar or one per axis."""

    site: str
    goal: ArrayLike
    weight: ArrayLike = 1.0
    sensor = "framepos"


@dataclass(frozen=True)
class SiteOrientation(SensorTerm):
    """Rotation vector [rad] from a goal orientation (quaternion w, x, y, z) to a site's; weight a scalar or (3,)."""

    site: str
    goal: ArrayLike = (1.0, 0.0, 0.0, 0.0)
    weight: ArrayLike = 1.0
    sensor = "framequat"

    def residual(self, plant: MujocoPlant) -> Residuals:
        """Three entries."""
        sensor = f"{self.sensor} {self.site}"
        goal = as_finite(self.goal, f"goal of {self.label}", (4,))
        if np.linalg.norm(goal) < 1e-6:
            raise ProblemError(f"goal of {self.label} is a quaternion of length 0; give for instance (1, 0, 0, 0)")

        def turn(x, u, y):  # noqa: ARG001
            rows = np.ascontiguousarray(y[sensor])
            out = np.empty((len(rows), 3))
            for q, w in zip(rows, out, strict=True):
                quaternion_log(q, goal, w)
            return out

        entries = {sensor: plant.sensor_names[sensor]}
        return FunctionError(turn, entries, roots_of(self.weight, self.label, 3), moves=False)


@dataclass(frozen=True)
class CenterOfMass(SensorTerm):
    """Distance of the center of mass of a body and all that hangs on it from a goal (3,) [m]."""

    body: str
    goal: ArrayLike
    weight: ArrayLike = 1.0
    sensor, on = "subtreecom", "body"


@dataclass(frozen=True)
class ContactForce(SensorTerm):
    """Difference of the normal force [N] of all contacts inside a site's volume from a goal (a touch sensor)."""

    site: str
    goal: float = 0.0
    weight: float = 1.0
    sensor = "touch"


@dataclass(frozen=True)
class SensorValue(Term):
    """Difference of a sensor of the model from a goal, one entry or as many as the sensor has."""

    sensor: str
    goal: ArrayLike = 0.0
    weight: ArrayLike = 1.0

    def residual(self, plant: MujocoPlant) -> Residuals:
        """The sensor's entries."""
        return sensor_error(plant, self.sensor, self.goal, self.weight, f"SensorValue {shown(self.sensor)}")


@dataclass(frozen=True)
class JointPosition(Term):
    """Difference of a hinge's or slide's position from a goal [rad or m]."""

    joint: str
    goal: float = 0.0
    weight: float = 1.0
    offset: ClassVar[int] = 0

    def residual(self, plant: MujocoPlant) -> Residuals:
        """One entry."""
        what = f"{type(self).__name__} {shown(self.joint)}"
        check_known(plant, "joint", self.joint)
        joint = plant.model.joint(self.joint)
        if mujoco.mjtJoint(joint.type[0]) not in SIMPLE:
            raise ProblemError(f"{what} is no hinge or slide; use StateDeviation, or SitePosition and SiteOrientation")
        goal, factor = plant.state(), np.zeros((1, plant.ndx))
        if self.offset:
            x_entry, dx_entry = plant.model.nq + joint.dofadr[0], plant.model.nv + joint.dofadr[0]
        else:
            x_entry, dx_entry = joint.qposadr[0], joint.dofadr[0]
        goal[x_entry] = as_finite(self.goal, f"goal of {what}", ())
        factor[0, dx_entry] = roots_of(self.weight, what, 1)[0]
        return StateError(goal, factor)


@dataclass(frozen=True)
class JointVelocity(JointPosition):
    """Difference of a hinge's or slide's velocity from a goal [rad/s or m/s]."""

    offset: ClassVar[int] = 1


@dataclass(frozen=True)
class StateDeviation(Term):
    """Tangent difference of the state from a goal (nx,), the model's default if None; weight a scalar or (ndx,)."""

    goal: ArrayLike | None = None
    weight: ArrayLike = 1.0

    def residual(self, plant: MujocoPlant) -> Residuals:
        """ndx entries."""
        goal = plant.state() if self.goal is None else as_finite(self.goal, "goal of StateDeviation", (plant.nx,))
        return StateError(unit(goal, plant.quaternions), np.diag(roots_of(self.weight, "StateDeviation", plant.ndx)))


@dataclass(frozen=True)
class Effort(Term):
    """The controls themselves; weight a scalar or (nu,)."""

    weight: ArrayLike = 1.0

    def residual(self, plant: MujocoPlant) -> Residuals:
        """nu entries."""
        return ControlError(np.diag(roots_of(self.weight, "Effort", plant.nu)))


@dataclass(frozen=True)
class Residual(Term):
    """A function of one's own, called on batches and differentiated numerically.

    Attributes:
      function: of states (N, nx), controls (N, nu) and a dict from sensor name to values (N, m); returns (N, k).
      sensors: names of the sensors in that dict.
      weight: a scalar or (k,).
    """

    function: Callable[..., object]
    sensors: Sequence[str] = ()
    weight: ArrayLike = 1.0

    def residual(self, plant: MujocoPlant) -> Residuals:
        """As many entries as the function has."""
        if not callable(self.function):
            raise ProblemError(f"function of a Residual is {shown(self.function)}; expected a function of (x, u, y)")
        entries = {name: entries_of(plant, name) for name in check_names(self.sensors, "sensors")}
        return FunctionError(self.function, entries, roots_of(self.weight, "Residual"))


def sensor_error(plant: MujocoPlant, name: str, goal, weight, what: str) -> SensorError:
    """`SensorError` of a sensor, goal and weight checked against its size."""
    entries = entries_of(plant, name)
    size = entries.stop - entries.start
    goal = np.atleast_1d(as_finite(goal, f"goal of {what}"))
    if goal.shape not in ((1,), (size,)) or (goal.shape == (1,) and size > 1 and what.split(" ")[0] != "SensorValue"):
        raise ProblemError(f"goal of {what} is {shown(goal)}; expected {size} entries")
    return SensorError(entries, np.broadcast_to(goal, (size,)).copy(), roots_of(weight, what, size))


def entries_of(plant: MujocoPlant, name: str) -> slice:
    """Entries of a sensor.

    Raises:
      ProblemError: if there is no such sensor; the message lists those that there are.
    """
    if check_text(name, "sensor") not in plant.sensor_names:
        raise ProblemError(f"'{plant.name}' has no sensor '{name}'; it has {', '.join(plant.sensor_names) or 'none'}")
    return plant.sensor_names[name]


def check_known(plant: MujocoPlant, kind: str, name: str) -> None:
    """Raise `ProblemError` unless the model has a site, body or joint of this name."""
    model = plant.model
    count = {"site": model.nsite, "body": model.nbody, "joint": model.njnt}[kind]
    names = [getattr(model, kind)(i).name for i in range(count)]
    if check_text(name, kind) not in names:
        listed = ", ".join(n for n in names if n) or "none with a name"
        raise ProblemError(f"'{plant.name}' has no {kind} '{name}'; it has {listed}")
