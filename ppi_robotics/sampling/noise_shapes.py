"""Correlation of the sampled controls over the stages of a horizon.

    U = mean + (L Z) * std,   Z (r, nu) standard normal,   so that   Cov(U[:, i]) = std_i^2 L L'

L (T, r) is the factor of a correlation over the stages. `White` leaves them independent; `AR1`, `Colored` and `Kernel`
correlate them at unit variance; `Splines` draws the values at a few times and interpolates.

`shifted` takes the covariance S (T, T) over time of one horizon to the horizon that starts some stages later, for the
next solve of a receding horizon.

Colored noise: C. Pinneri et al., *Sample-efficient cross-entropy method for real-time planning* (CoRL 2020). Gaussian
processes over the horizon: J. Watson, J. Peters, *Inferring smooth control: Monte Carlo posterior policy iteration
with Gaussian processes* (CoRL 2022).
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ppi_robotics.checks import as_finite, check_choice, check_count, check_number, is_count, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import covariance_factor

MOST_STAGES = 20_000  # of a covariance over the stages
CLOSED_FORMS = {  # correlation over distance / length
    "squared_exponential": lambda s: np.exp(-0.5 * s**2),
    "matern12": lambda s: np.exp(-s),
    "matern32": lambda s: (1.0 + np.sqrt(3.0) * s) * np.exp(-np.sqrt(3.0) * s),
    "matern52": lambda s: (1.0 + np.sqrt(5.0) * s + 5.0 / 3.0 * s**2) * np.exp(-np.sqrt(5.0) * s),
    "periodic": lambda s: np.exp(-0.5 * s**2),
}
# Variance of an independent share of every stage. Without it, covariances of smooth processes are singular to rounding.
NUGGET = {"squared_exponential": 1e-3, "periodic": 1e-3, "matern12": 1e-8, "matern32": 1e-8, "matern52": 1e-8}
FAR = 1e3  # lengths, beyond which every kernel is 0 in floating point; keeps tiny lengths from overflowing
DEGREES = (0, 1, 3)


class _Smoothing:
    """What all have in common: the correlation moves on with a receding horizon."""

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """Factor L (T, r) of the correlation over T stages of dt seconds."""
        raise NotImplementedError

    def shifted(self, cov: NDArray[np.float64], stages: int, dt: float, anneal: float = 0.0) -> NDArray[np.float64]:
        """Covariance over the horizon that starts some stages later.

        With k = stages, P = L L' the prior, and m = max(T - k, 0) the stages that both horizons have, it is

            (1 - anneal) P + anneal (G S G' + R)

        where G moves those stages up by k rows and regresses the ones beyond the old horizon on old ones, and R is
        what this regression leaves over. `Kernel` regresses on all old stages; the others on the last one, as under the
        prior, which is exact where that is Markov (`White`, `AR1`): S = P then gives P.

        Args:
          cov: S (T, T), over time, of controls divided by their standard deviations; positive semidefinite.
          stages: by which the horizon has moved on, at least 0; from T on nothing of `cov` is left but in a `Kernel`.
          dt: seconds a stage.
          anneal: 0 forgets `cov` and returns the prior's, 1 keeps all of it.

        Raises:
          ProblemError: if an argument is out of range or of the wrong shape.
        """
        cov = as_finite(cov, "cov", (None, None))
        T, anneal = len(cov), check_number(anneal, "anneal", least=0, most=1)
        cov = as_finite(cov, "cov", (T, T))
        common = max(T - check_count(stages, "stages", 0), 0)
        factor = self.factor(T, dt)
        prior = factor @ factor.T
        gain, rest = np.zeros((T, T)), np.zeros((T, T))
        gain[:common, stages:] = np.eye(common)
        gain[common:], rest[common:, common:] = self._beyond(prior, common, stages, dt)
        moved = (1.0 - anneal) * prior + anneal * (gain @ cov @ gain.T + rest)
        return (moved + moved.T) / 2.0

    def _beyond(self, prior, common, stages, dt):  # noqa: ARG002
        """Gain (T - common, T) of the stages beyond the old horizon in its stages, and the covariance left over."""
        gain, own = np.zeros((len(prior) - common, len(prior))), prior[common:, common:]
        if not common:
            return gain, own
        variance = prior[common - 1, common - 1]
        gain[:, -1] = follow = prior[common:, common - 1] / variance
        return gain, own - variance * np.outer(follow, follow)


@dataclass(frozen=True)
class White(_Smoothing):
    """Independent stages."""

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """The identity (T, T)."""
        dt = _check_grid(T, dt)
        return np.eye(T)


@dataclass(frozen=True)
class AR1(_Smoothing):
    """First-order autoregression e_t = b e_{t-1} + sqrt(1 - b^2) w_t that starts in its stationary distribution.

    Attributes:
      correlation: b of neighboring stages, at least 0 and below 1; stages s and t have b^|s - t|. It belongs to the
        stage time; `Kernel("matern12", length)` is the same with b = exp(-dt / length).

    Raises:
      ProblemError: if the correlation is out of range.
    """

    correlation: float

    def __post_init__(self):
        _set_number(self, "correlation", least=0, below=1)

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """Lower triangular factor (T, T)."""
        dt = _check_grid(T, dt)
        lag = np.subtract.outer(np.arange(T), np.arange(T))
        factor = np.where(lag >= 0, self.correlation ** np.maximum(lag, 0), 0.0)
        factor[:, 1:] *= np.sqrt(1.0 - self.correlation**2)
        return factor


@dataclass(frozen=True)
class Colored(_Smoothing):
    """Noise whose power spectrum falls as 1 / f^exponent, with unit variance at every stage.

    The frequencies are those of T stages, j / T for j up to T / 2, each with an independent cosine and sine, as in a
    real inverse FFT. The zero frequency, where 1 / f^exponent has no value, gets the power of frequency 1 / T, so that
    constant offsets are drawn too. The noise has period T: the last stage is a neighbor of the first.

    Attributes:
      exponent: at least 0; 0 is white, 1 pink, 2 (typical) that of a random walk.

    Raises:
      ProblemError: if the exponent is negative.
    """

    exponent: float = 2.0

    def __post_init__(self):
        _set_number(self, "exponent", least=0)

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """Columns (T, T): the constant, cosines, sines, of frequencies in their order."""
        dt = _check_grid(T, dt)
        j = np.arange(T // 2 + 1)
        power = np.maximum(j, 1.0) ** -self.exponent
        paired = (j > 0) & (2 * j < T)
        scale = np.sqrt(np.where(paired, 2.0, 1.0) * power / (power.sum() + power[paired].sum()))
        # the phase is reduced by whole turns before it is rounded
        phase = 2.0 * np.pi / T * (np.outer(np.arange(T), j) % T)
        columns = (scale * np.cos(phase), (scale * np.sin(phase))[:, paired])
        return np.ascontiguousarray(np.hstack(columns))


@dataclass(frozen=True)
class Kernel(_Smoothing):
    """Gaussian process on time, of unit variance.

    With the distance d = |t - t'| in seconds and s = d / length, the correlation of two stages is, by name,

        squared_exponential  exp(-s^2 / 2)
        matern12             exp(-s)
        matern32             (1 + sqrt(3) s) exp(-sqrt(3) s)
        matern52             (1 + sqrt(5) s + 5 s^2 / 3) exp(-sqrt(5) s)
        periodic             exp(-s^2 / 2) with d = (period / pi) |sin(pi (t - t') / period)|

    over 1 + nugget, and 1 for a stage with itself: every stage has an independent share of variance nugget, 1e-3 for
    squared_exponential and periodic and 1e-8 for the others, which keeps the covariance well conditioned.

    The periodic one is the squared exponential of the chord of a circle of circumference `period`; in the common form
    exp(-2 sin^2(pi d / period) / l^2) its length is l = 2 pi length / period.

    Attributes:
      name: as above.
      length: [s], positive.
      period: [s], positive; of periodic alone.

    Raises:
      ProblemError: if the name is unknown, a number is out of range, or the period is missing or not called for.
    """

    name: str
    length: float
    period: float | None = None

    def __post_init__(self):
        check_choice(self.name, "name", CLOSED_FORMS)
        if (self.name == "periodic") != (self.period is not None):
            need = "needs a period in seconds" if self.name == "periodic" else "has none; only periodic does"
            raise ProblemError(f"period is {shown(self.period)}; the kernel {self.name} {need}")
        for name in ("length",) if self.period is None else ("length", "period"):
            _set_number(self, name, above=0)

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """Cholesky factor (T, T), lower triangular."""
        dt = _check_grid(T, dt)
        return np.linalg.cholesky(self._correlation(np.arange(T), np.arange(T), dt))

    def _beyond(self, prior, common, stages, dt):
        old = np.arange(len(prior))
        across = self._correlation(old, old[common:] + stages, dt)
        gain = np.linalg.solve(prior, across).T
        return gain, prior[common:, common:] - gain @ across

    def _correlation(self, stages, others, dt):
        apart = np.subtract.outer(stages, others)
        distance = np.abs(apart) * dt
        if self.name == "periodic":
            distance = self.period / np.pi * np.abs(np.sin(np.pi * distance / self.period))
        scaled = np.minimum(distance, FAR * self.length) / self.length
        correlation = CLOSED_FORMS[self.name](scaled) / (1.0 + NUGGET[self.name])
        return np.where(apart == 0, 1.0, correlation)


@dataclass(frozen=True)
class Splines(_Smoothing):
    """Values at a few times, interpolated.

    The standard normals are the values at `knots` evenly spaced times: from the first stage to the last for degree 1
    and 3, at the starts of as many spans of T / knots stages for degree 0. The variance is 1 at the knots; between
    them it falls to 0.5 for degree 1, and to 0.64 for degree 3, which near the ends goes up to 1.38. Constants, and
    polynomials of the degree, are reproduced.

    Attributes:
      knots: more than the degree, at most T (which `factor` checks).
      degree: 0 (held), 1 (linear) or 3 (cubic, with the not-a-knot condition at the ends).

    Raises:
      ProblemError: if the degree is another, or the knots are too few for it.
    """

    knots: int
    degree: int = 3

    def __post_init__(self):
        if not any(is_count(self.degree, degree, degree) for degree in DEGREES):
            raise ProblemError(f"degree is {shown(self.degree)}; choose from {', '.join(map(str, DEGREES))}")
        check_count(self.knots, "knots", self.degree + 1)

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:
        """Interpolation matrix (T, knots), whose rows sum to 1."""
        dt = _check_grid(T, dt)
        if self.knots > T:
            raise ProblemError(f"knots is {self.knots} for a horizon of {T} stages; expected at most one a stage")
        if self.degree == 0:
            return np.eye(self.knots)[np.arange(T) * self.knots // T]
        from scipy.interpolate import make_interp_spline  # takes longer to import than the rest of the package

        spline = make_interp_spline(np.linspace(0.0, T - 1.0, self.knots), np.eye(self.knots), k=int(self.degree))
        return np.ascontiguousarray(spline(np.arange(T)))


@dataclass(frozen=True, eq=False)
class Fitted:
    """A correlation that samples of an earlier plan were fitted to.

    Attributes:
      correlation: (T, T).
      prior: the smoothing that it began with.
    """

    correlation: NDArray[np.float64] = field(repr=False)
    prior: "Shape"

    def factor(self, T: int, dt: float) -> NDArray[np.float64]:  # noqa: ARG002
        """Factor (T, r), without what is below rounding."""
        return covariance_factor(self.correlation)


Shape = White | AR1 | Colored | Kernel | Splines | Fitted


def _set_number(smoothing, name, **bounds):
    object.__setattr__(smoothing, name, check_number(getattr(smoothing, name), name, **bounds))


def _check_grid(T, dt):
    check_count(T, "T", 1, MOST_STAGES)
    return check_number(dt, "dt", above=0)
