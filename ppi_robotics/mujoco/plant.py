"""Plants given by a MuJoCo model."""

import functools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics import manifold
from ppi_robotics.checks import (
    as_finite,
    as_pair,
    check_choice,
    check_count,
    check_function,
    check_seed,
    check_text,
    shown,
)
from ppi_robotics.definition import as_rows, as_states, check_limits, of_plant
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.kernels.lanes import normals_of
from ppi_robotics.mujoco import checking, holding, loading, naming
from ppi_robotics.mujoco.model import OwnedModel, place
from ppi_robotics.mujoco.simulation import Simulations
from ppi_robotics.noise import Noise
from ppi_robotics.streams import SENSOR

EXECUTORS = ("auto", "compiled", "portable")


class MujocoPlant(OwnedModel):
    """Any MuJoCo model as a plant; its state is x = (qpos, qvel, act).

    Tangents are (dq, dv, da), with rotation vectors in the local frame for quaternions, as in `mj_integratePos`.
    A stage holds the control over `substeps` physics steps.

    Args:
      source: path of an MJCF file, MJCF text, MjSpec or MjModel.
      substeps: physics steps a stage, 1 by default; or give dt.
      dt: seconds a stage, a multiple of the model's timestep.
      noise: `Noise`, or variances (ndx,) added to the tangent of the state per stage; None for none. Its control part
        is relative to the size of the controls, its sensor part is what `measure` adds.
      control_limits: (nu, 2); the model's ctrlrange by default.
      state_limits: (nx, 2), for models without quaternions; none by default. Joint ranges are the model's own matter.
      name: for messages and files; the model's name by default.
      success: function of final states (N, nx) to booleans (N,); optional.
      executor: "auto", "compiled" or "portable", which are one: batches of MuJoCo's Python package.
      differences: "centered" or "one_sided" differences for derivatives.
      assets: dict from file name to bytes, for MJCF text that includes files.
      surroundings: keyframe (name or number) or MjData from which poses of mocap bodies and active equality constraints
        are taken, to stay so; the model's own by default.

    Attributes:
      model: the MjModel, for reading: a plant keeps the physics that it was made with, whatever becomes of the model or
        specification that it was given. Arrays of this one are read-only, and other edits of it make the plant refuse
        to go on. `copy.copy(plant.model)` can be edited, to make another plant.
      quaternions: indices in the state at which quaternions start.
      others: as `Plant`.

    Raises:
      PlantError: if the model cannot be read or controlled, or an argument does not fit it.
    """

    second_derivatives = False
    loops = "ppi_robotics.mujoco.rollouts"  # batches of simulations, see `rollouts.fast_loops`
    _derived = (*OwnedModel._derived, "_simulations", "_unclamped", "_sensor_factor")

    def __init__(
        self,
        source: Any,
        substeps: int | None = None,
        dt: float | None = None,
        noise: Noise | ArrayLike | None = None,
        control_limits: ArrayLike | None = None,
        state_limits: ArrayLike | None = None,
        name: str | None = None,
        success: Callable[[np.ndarray], np.ndarray] | None = None,
        executor: str = "auto",
        differences: str = "centered",
        assets: Mapping[str, bytes | str] | None = None,
        surroundings: Any = None,
    ):
        model = self._load(source, assets)
        with of_plant():
            self.name = check_text(naming.name_of(model) if name is None else name, "name") or naming.name_of(model)
            check_function(success, "success", "final states (N, nx)")
            check_choice(executor, "executor", EXECUTORS)
            check_choice(differences, "differences", ("centered", "one_sided"))
        loading.check(model, f"model '{self.name}'")
        if surroundings is not None:
            place(model, surroundings, f"'{self.name}'")
        self.substeps = loading.substeps_of(model, substeps, dt)
        self.dt = self.substeps * model.opt.timestep
        self.nx, self.ndx, self.nu = model.nq + model.nv + model.na, 2 * model.nv + model.na, model.nu
        self.state_names, self.control_names = naming.names_of(model)
        self.units, self.quaternions = naming.units_of(model), naming.quaternions_of(model)
        given = naming.control_limits_of(model) if control_limits is None else control_limits
        with of_plant():
            self.control_limits = check_limits(given, "control_limits", self.control_names)
            self.state_limits = self._state_limits(state_limits)
        self.noise = self._noise(noise)
        self.success, self.executor, self.differences = success, executor, differences
        self._sealed = True

    @classmethod
    def from_xml(cls, source: str | Path | bytes, **options) -> "MujocoPlant":
        """The plant of an MJCF file or text; options as for the class."""
        if not isinstance(source, mujoco.MjModel | mujoco.MjSpec):
            return cls(source, **options)
        raise PlantError(f"from_xml takes a path or MJCF text, not {shown(source)}; call MujocoPlant(...) with it")

    def with_sensors(self, sensors: Mapping[str, Mapping]) -> "MujocoPlant":
        """This plant with further sensors, which do not change how it moves.

        Args:
          sensors: dict from name to the keyword arguments of `MjSpec.add_sensor`.

        Raises:
          PlantError: if the model was given compiled, so that nothing can be added.
        """
        self._check_model()
        if not isinstance(sensors, Mapping) or not all(isinstance(what, Mapping) for what in sensors.values()):
            raise PlantError(f"sensors is {shown(sensors)}; expected a dict from names to keyword arguments")
        wanted = {name: what for name, what in sensors.items() if name not in self.sensor_names}
        if not wanted:
            return self
        spec = self._specification()
        if spec is None:
            raise PlantError(
                f"model '{self.name}' was given as an MjModel, to which no sensors can be added; give its MJCF or "
                f"MjSpec, or add them yourself: {', '.join(wanted)}"
            )
        loading.add_sensors(spec, wanted)
        noise = self.noise
        if noise.sensor is not None:  # what is added is exact
            sizes = spec.copy().compile().nsensordata, len(noise.sensor)
            noise = replace(noise, sensor=np.pad(noise.sensor, (0, sizes[0] - sizes[1])))
        options = {"noise": noise, "control_limits": self.control_limits, "executor": self.executor}
        options |= {"name": self.name, "success": self.success, "differences": self.differences}
        options["surroundings"] = mujoco.MjData(self._model)
        limits = None if self.quaternions else self.state_limits
        plant = MujocoPlant(spec, substeps=self.substeps, state_limits=limits, **options)
        source, assets, added = self._given
        vars(plant)["_given"] = source, assets, (*added, wanted)
        return plant

    # -- construction --------------------------------------------------------------------------------------------------

    def _state_limits(self, given):
        if given is not None and self.quaternions:
            raise PlantError("state_limits are for models without quaternions; leave them out")
        return check_limits(given, "state_limits", self.state_names)

    def _noise(self, given):
        try:
            noise = given if isinstance(given, Noise) else Noise(np.zeros(self.ndx) if given is None else given)
            noise.check(self.ndx, self.nu, self._model.nsensordata)
        except ProblemError as error:
            raise PlantError(f"noise of '{self.name}': {error}") from error
        if len(noise.state):
            raise PlantError("noise that grows with the state is for symbolic plants; give process and control noise")
        return noise

    def __repr__(self):
        return f"<MujocoPlant '{self.name}': {self.nx} states, {self.nu} controls, dt {self.dt:g} s>"

    # -- the plant protocol --------------------------------------------------------------------------------------------

    def step(self, x: ArrayLike, u: ArrayLike) -> np.ndarray:
        """Next states (N, nx), without noise, from states (N, nx) and controls (N, nu); nan where one diverges."""
        x, u = as_rows(self, x, u)
        law = self.simulations.law(np.zeros((1, self.nx)), u[:, None])
        return self.simulations.roll(law, x)[0][:, 1]

    def linearize(self, x: ArrayLike, u: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
        """A (T, ndx, ndx) and B (T, ndx, nu), derivatives of the next state at T pairs of state and control."""
        return self.expand(x, u)[1:]

    def expand(self, x: ArrayLike, u: ArrayLike) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Next states, A and B."""
        xn, _, A, B, _, _ = self._differentiate(x, u, 0, sensors=False)
        return xn, A, B

    def differentiate(self, x: ArrayLike, u: ArrayLike, stage: ArrayLike = 0) -> tuple[np.ndarray, ...]:
        """Next states, sensors and derivatives at T pairs of state and control, all at once on all processors.

        Args:
          x, u: states (T, nx) and controls (T, nu).
          stage: number of their stage, or one each (T,): the time, which clocks read, is stage * dt.

        Returns:
          xn (T, nx), y (T, ns), A (T, ndx, ndx), B (T, ndx, nu), C (T, ns, ndx) and D (T, ns, nu): differences through
          `mjd_transitionFD` chained over the substeps, or of whole stages where MuJoCo refuses (RK4).
        """
        return self._differentiate(x, u, stage, sensors=True)

    def _differentiate(self, x, u, stage, sensors):
        x, u = as_rows(self, x, u)
        how = {"centered": self.differences == "centered", "native": self.has_transition_derivatives}
        return self.simulations.linearize(x, u, self.control_limits, stage=stage, sensors=sensors, **how)

    def check_derivatives(self, x: ArrayLike, u: ArrayLike, tolerance: float = 1e-5) -> checking.DerivativeCheck:
        """Compare `differentiate` with independent differences at states x (N, nx) and controls u (N, nu).

        Returns:
          `DerivativeCheck`, which lists the entries that disagree by name; near contacts some do, as no derivative
          describes both sides.
        """
        return checking.check(self, x, u, tolerance)

    def sense(self, x: ArrayLike, u: ArrayLike | None = None, stage: ArrayLike = 0) -> np.ndarray:
        """Sensors (N, ns) at states (N, nx) and controls (N, nu), zero by default, of a stage or one each (N,)."""
        x = as_states(self, x)
        x, u = as_rows(self, x, np.zeros((len(x), self.nu)) if u is None else u)
        return self.simulations.sense(x, u, stage=stage)

    def measure(
        self, x: ArrayLike, u: ArrayLike | None = None, seed: int = 0, first: int = 0, stage: int = 0
    ) -> np.ndarray:
        """Sensors (N, ns) as in `sense`, with noise: samples first, first + 1, ... of a seed at a stage.

        The noise has the covariance `noise.sensor` or, without it, the standard deviations that the model's sensors
        have as their `noise`. A number depends on (seed, sample, stage, entry) alone.
        """
        seed = check_seed(seed)
        first = check_count(first, "first", 0)
        y = self.sense(x, u, check_count(stage, "stage", 0))
        factor, e = self._sensor_factor, np.empty(y.shape[1])
        for n, row in enumerate(y):
            normals_of(np.uint64(seed), SENSOR, np.uint64(first + n), stage, e)
            row += factor @ e
        return y

    @functools.cached_property
    def _sensor_factor(self):
        """Square root (ns, ns) of the covariance of the sensors' noise."""
        if self.noise.sensor is None:
            return np.diag(np.repeat(self._model.sensor_noise, self._model.sensor_dim))
        values, vectors = np.linalg.eigh(self.noise.sensor)
        return vectors * np.sqrt(np.maximum(values, 0.0))

    def difference(self, x: ArrayLike, y: ArrayLike) -> np.ndarray:
        """Tangents (N, ndx) that lead from y to x."""
        return manifold.difference(*as_pair(x, y, "y", self.nx, self.nx), self.quaternions)

    def retract(self, x: ArrayLike, dx: ArrayLike) -> np.ndarray:
        """States (N, nx) reached from x along the tangents dx."""
        return manifold.retract(*as_pair(x, dx, "dx", self.nx, self.ndx), self.quaternions)

    # -- MuJoCo's side -------------------------------------------------------------------------------------------------

    def hold_controls(self, x: ArrayLike) -> np.ndarray | None:
        """Controls (nu,) within the limits that keep the positions of a state (nx,) at rest as well as they can.

        None where nothing has to be held or a keyframe with these positions has them; else targets of servos and
        forces of motors that carry the weight, see `holding.hold`.
        """
        x = as_finite(x, "x", (self.nx,))
        self._check_model()
        return holding.hold(self._model, self._unclamped, x, self.control_limits)

    @functools.cached_property
    def _unclamped(self):
        return holding.unclamped(self._model)

    @functools.cached_property
    def has_transition_derivatives(self) -> bool:
        """Whether `mjd_transitionFD` differentiates this model."""
        return mujoco.mjtIntegrator(self._model.opt.integrator) != mujoco.mjtIntegrator.mjINT_RK4

    @property
    def simulations(self) -> Simulations:
        """Batches of simulations of the model.

        Raises:
          PlantError: if `model` was edited.
        """
        self._check_model()
        return self._simulations

    @functools.cached_property
    def _simulations(self):
        return Simulations(self._model, self.substeps, self.quaternions)
