"""Noise of a plant, one object for solver, estimator and evaluator.

x_{t+1} = f(x_t, u_t + sum_i C_i u_t a_i) + sum_j S_j x_t b_j + w_t,   w_t ~ N(0, W),   a_i, b_j ~ N(0, 1)
"""

from dataclasses import dataclass, field

import numpy as np

from ppi_robotics.checks import as_covariance, as_finite
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, covariance_factor, frozen
from ppi_robotics.given import Floats, MaybeFloats


@dataclass(frozen=True, eq=False)
class Noise(Record):
    """Noise of a plant: additive, and growing with control and state (W. Li and E. Todorov, ICINCO 2004).

    Noise in the controls passes through the dynamics like the controls themselves, so that it reaches the states that
    they reach, over a stage of any length and on plants with fewer controls than degrees of freedom. Its factors are
    relative to a control held over one stage: white noise of relative intensity s [sqrt(s)] has s / sqrt(dt).

    Attributes:
      process: covariance W (ndx, ndx) added to the state at every stage, or its diagonal (ndx,); may be singular.
      control: factors C_i (k, nu, nu), or standard deviations (nu,) of the controls relative to their size, independent
        of each other; none by default. What they add is applied, but neither limited nor charged by the cost.
      state: factors S_j (k, nx, nx), or standard deviations (nx,) that every entry of the state receives, relative to
        its size; none by default.
      sensor: covariance (ns, ns), or variances (ns,), of what a `MujocoPlant` measures; none by default. Policies act
        on the state itself: it takes part in `MujocoPlant.measure` alone.
      factor: G (ndx, rank) with G G' = W.

    Raises:
      ProblemError: if W is not symmetric positive semidefinite, or factors have the wrong shape.
    """

    process: Floats
    control: MaybeFloats = None
    state: MaybeFloats = None
    sensor: MaybeFloats = None
    factor: np.ndarray = field(init=False)

    def __post_init__(self):
        given = as_finite(self.process, "process noise")
        if given.ndim not in (1, 2):
            raise ProblemError(
                f"process noise has shape {given.shape}; expected (nx,) variances or (nx, nx) covariance"
            )
        cov = as_covariance(given, "process noise", len(given))
        object.__setattr__(self, "process", frozen(cov))
        object.__setattr__(self, "factor", frozen(covariance_factor(cov)))
        object.__setattr__(self, "control", _factors(self.control, "control noise"))
        object.__setattr__(self, "state", _factors(self.state, "state noise"))
        if self.sensor is not None:
            sensor = as_finite(self.sensor, "sensor noise")
            size = len(sensor) if sensor.ndim else 0
            object.__setattr__(self, "sensor", frozen(as_covariance(sensor, "sensor noise", size)))

    @property
    def columns(self) -> int:
        """Number of independent normal numbers a stage."""
        return self.factor.shape[1] + self.growing

    @property
    def growing(self) -> int:
        """Number of them, the last ones, that are scaled by control or state."""
        return len(self.control) + len(self.state)

    def check(self, nx: int, nu: int, ns: int = 0) -> None:
        """Raise `ProblemError` unless the noise fits nx states, nu controls and ns sensors."""
        if self.sensor is not None and len(self.sensor) != ns:
            raise ProblemError(f"the sensor noise is for {len(self.sensor)} sensor entries; the plant has {ns}")
        if len(self.process) != nx:
            raise ProblemError(f"the process noise is for {len(self.process)} states; the plant has {nx}")
        for name, factors, size in (("control", self.control, nu), ("state", self.state, nx)):
            if len(factors) and factors.shape[1] != size:
                raise ProblemError(f"the {name} noise is for {factors.shape[1]} {name}s; the plant has {size}")

    def local(self, x: np.ndarray, u: np.ndarray, B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The noise about states x (T, nx) and controls u (T, nu) of a plant with derivatives B (T, nx, nu) in u.

        Returns:
          factors G (T, nx, columns) at (x, u), and the growth E (T, growing, nx, nx + nu) of the last ones with (x, u).
          B is taken as constant, which is exact for dynamics linear in the control.
        """
        T, nx, nu = B.shape
        E = np.zeros((T, self.growing, nx, nx + nu))
        split = len(self.control)
        if len(self.control):
            E[:, :split, :, nx:] = np.einsum("trm,imj->tirj", B, self.control)
        if len(self.state):
            E[:, split:, :, :nx] = self.state
        growing = np.einsum("tirj,tj->tri", E, beside(x, u, nx))
        factor = np.broadcast_to(self.factor, (T, *self.factor.shape))
        return np.ascontiguousarray(np.concatenate((factor, growing), axis=2)), E


def beside(x: np.ndarray, u: np.ndarray, ndx: int) -> np.ndarray:
    """States (T, nx) and controls (T, nu) side by side, (T, ndx + nu).

    Nothing grows with a state that has quaternions: zeros of the tangent's size stand for it.
    """
    return np.hstack((x if x.shape[1] == ndx else np.zeros((len(x), ndx)), u))


def _factors(given, name):
    """Factors (k, n, n) that are not all zero."""
    if given is None:
        return frozen(np.empty((0, 0, 0)))
    factors = as_finite(given, name)
    if factors.ndim == 1:
        if (factors < 0).any():
            raise ProblemError(f"{name} has the entry {factors.min():g}; expected standard deviations, 0 or more")
        factors = np.einsum("i,ij,ik->ijk", factors, np.eye(len(factors)), np.eye(len(factors)))
    if factors.ndim != 3 or factors.shape[1] != factors.shape[2]:
        raise ProblemError(f"{name} has shape {factors.shape}; expected (n,) standard deviations or (k, n, n) factors")
    return frozen(factors[np.any(factors != 0.0, axis=(1, 2))])
