"""What plants defined by names, limits and noise have in common: their definition is checked, and stays as it is."""

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from ppi_robotics.checks import (
    as_floats,
    check_function,
    check_names,
    check_number,
    check_quaternions,
    check_sequence,
    check_text,
)
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.gaussian import Record
from ppi_robotics.noise import Noise


class Definition(Record):
    """A plant whose attributes are set one by one, checked by `_define`, and cannot be changed from then on."""

    state_names: Sequence[str] = ()
    control_names: Sequence[str] = ()
    quaternions: Sequence[int] = ()
    units: Sequence[str] = None
    name: str = None
    dt: float = None
    # pairs, variances and the like as they are given; arrays and a `Noise` once the plant is made
    control_limits: Any = None
    state_limits: Any = None
    noise: Any = None
    success: Any = None
    nx: int
    ndx: int
    nu: int

    def _define(self, label):
        """Bring all attributes into their final form; `label` is what messages begin with."""
        names = self.state_names, self.control_names
        if not all(isinstance(given, tuple | list) and given for given in names):
            raise PlantError(f"{label} needs state_names and control_names, for instance ('position',) and ('force',)")
        with of_plant(f"{label}."):
            self.name = label if self.name is None else check_text(self.name, "name") or label
            self.state_names = check_names(self.state_names, "state_names")
            self.control_names = check_names(self.control_names, "control_names")
            self.dt = check_number(self.dt, "dt", above=0)
            check_function(self.success, "success", "final states (N, nx)")
            self.nx, self.nu = len(self.state_names), len(self.control_names)
            self.quaternions = check_quaternions(self.quaternions, self.nx)
            self.ndx = self.nx - len(self.quaternions)
            self.units = ("",) * (self.nx + self.nu) if self.units is None else check_names(self.units, "units")
        if len(self.units) != self.nx + self.nu:
            raise PlantError(
                f"{label}.units has {len(self.units)} entries; expected {self.nx} for states and {self.nu} for controls"
            )
        with of_plant(f"{label}."):
            self.control_limits = check_limits(self.control_limits, "control_limits", self.control_names)
            self.state_limits = check_limits(self.state_limits, "state_limits", self.state_names)
        if self.quaternions and np.isfinite(self.state_limits).any():
            raise PlantError(f"{label}.state_limits are for states without quaternions; leave them out")
        noise = np.zeros(self.ndx) if self.noise is None else self.noise
        try:
            self.noise = noise if isinstance(noise, Noise) else Noise(noise)
            self.noise.check(self.ndx, self.nu)
            if self.quaternions and len(self.noise.state):
                raise ProblemError("what grows with the state is for states without quaternions")
        except ProblemError as error:
            raise PlantError(f"{label}.noise: {error}") from error

    def __setattr__(self, name, value):
        if self.__dict__.get("_sealed"):
            raise PlantError(f"a plant cannot be changed; construct another {type(self).__name__} with another {name}")
        object.__setattr__(self, name, value)

    def __deepcopy__(self, memo):
        return self  # it cannot be changed

    def __repr__(self):
        return f"<{type(self).__name__} '{self.name}': {self.nx} states, {self.nu} controls, dt {self.dt:g} s>"


def check_limits(given, name: str, names: tuple[str, ...]) -> np.ndarray:
    """Pairs (lower, upper) as a read-only array (n, 2), one for each name; None in place of a pair, or all, is free.

    Raises:
      ProblemError: if they are no such pairs, or a lower limit is not below its upper one.
    """
    free = (-np.inf, np.inf)
    if given is None:
        given = [free] * len(names)
    rows = [free if pair is None else pair for pair in check_sequence(given, name, "(lower, upper) pairs", len(names))]
    array = np.array(as_floats(rows, name, (len(names), 2)))
    for label, (low, high) in zip(names, array, strict=True):
        if not low < high:
            raise ProblemError(
                f"{name}: {label} has lower limit {low:g} and upper limit {high:g}; "
                "give (lower, upper) with lower < upper"
            )
    array.setflags(write=False)
    return array


@contextlib.contextmanager
def of_plant(label: str = ""):
    """Errors in the definition of a plant as `PlantError`s, after what they are about."""
    try:
        yield
    except ProblemError as error:
        raise PlantError(f"{label}{error}") from error


def as_rows(plant, x, u) -> tuple[np.ndarray, np.ndarray]:
    """States (N, nx) and controls (N, nu) of a plant as contiguous arrays of floats.

    Raises:
      ProblemError: if the shapes do not fit the plant or each other.
    """
    x, u = as_states(plant, x), np.ascontiguousarray(as_floats(u, "u"))
    if u.shape != (len(x), plant.nu):
        raise ProblemError(f"states {x.shape} and controls {u.shape}; expected (N, {plant.nx}) and (N, {plant.nu})")
    return x, u


def as_states(plant, x) -> np.ndarray:
    """States (N, nx) of a plant, at least one, as a contiguous array of floats.

    Raises:
      ProblemError: if the shape does not fit the plant.
    """
    x = np.ascontiguousarray(as_floats(x, "x"))
    if x.ndim != 2 or x.shape[1] != plant.nx or len(x) == 0:
        raise ProblemError(f"states have shape {x.shape}; expected (N, {plant.nx}), N at least 1")
    return x
