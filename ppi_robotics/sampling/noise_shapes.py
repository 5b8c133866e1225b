"""How the sampled controls of a horizon hang together over time.

    U = mean + (L Z) * spread,   Z (r, nu) standard normal,   so that   Cov(U[:, i]) = spread_i^2 L L'

L (T, r) is the factor of a correlation over the stages. `White` leaves them independent; `AR1`, `Colored` and `Kernel`
correlate them at unit variance; `Splines` draws the values at a few times and interpolates.

`shifted` takes the mean M (T, nu) and the covariance S (T, T) over time of one horizon to the horizon that starts some
stages later, for the next solve of a receding horizon.

Colored noise: C. Pinneri et al., *Sample-efficient cross-entropy method for real-time planning* (CoRL 2020). Gaussian
processes over the horizon: J. Watson, J. Peters, *Inferring smooth control: Monte Carlo posterior policy iteration
with Gaussian processes* (CoRL 2022).
"""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import as_finite, check_choice, check_count, check_number, is_count, shown
from ppi_robotics.errors import ProblemError

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
    """What all but `Kernel` share: a horizon that moves on holds its last control."""

    def shifted(self, mean, cov, stages, dt, anneal=0.0):
        """Distribution over the horizon that starts some stages later.

        The mean moves up by `stages` rows and holds its last one. With k = stages, P = L L' the prior, b = T - k - 1
        the last stage that the old horizon reaches, and j > b those beyond it, the covariance is

            (1 - anneal) P + anneal S',   S'[s, t] = S[s + k, t + k] up to b,   e_j = g_j e_b + r_j,   g_j = P_jb / P_bb

        where r has the prior's covariance given e_b, P_ij - g_i P_bb g_j: stages beyond the old horizon hang on its
        last one as under the prior. It is exact where the prior is Markov (`White`, `AR1`): S = P then gives P.

        Args:
          mean: (T, nu).
          cov: (T, T), over time, of controls divided by their spread; positive semidefinite.
          stages: by which the horizon has moved on, at least 0; from T on nothing of `cov` is left.
          dt: seconds a stage.
          anneal: 0 forgets `cov` and returns the prior's, 1 keeps all of it.

        Returns:
          mean (T, nu), cov (T, T).

        Raises:
          ProblemError: if an argument is out of range or of the wrong shape.
        """
        mean, cov, anneal = _checked(mean, cov, stages, anneal)
        T = len(mean)
        factor, kept = self.factor(T, dt), max(T - stages, 0)
        prior = factor @ factor.T
        held = mean[np.minimum(np.arange(T) + stages, T - 1)]
        if anneal == 0.0 or kept == 0:
            return held, prior
        last = kept - 1
        moving, rest = np.zeros((T, T)), np.zeros((T, T))
        moving[:kept, stages:] = np.eye(kept)
        moving[kept:, -1] = follow = prior[kept:, last] / prior[last, last]
        rest[kept:, kept:] = prior[kept:, kept:] - prior[last, last] * np.outer(follow, follow)
        moved = moving @ cov @ moving.T + rest
        return held, _symmetric((1.0 - anneal) * prior + anneal * moved)


@dataclass(frozen=True)
class White(_Smoothing):
    """Independent stages."""

    def factor(self, T, dt):
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
        value = _set_number(self, "correlation")
        if not 0.0 <= value < 1.0:
            raise ProblemError(f"correlation is {value:g}; expected a number of at least 0 and below 1")

    def factor(self, T, dt):
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
        value = _set_number(self, "exponent")
        if value < 0.0:
            raise ProblemError(f"exponent is {value:g}; expected a number of at least 0")

    def factor(self, T, dt):
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
        for field in ("length",) if self.period is None else ("length", "period"):
            if not _set_number(self, field) > 0.0:
                raise ProblemError(f"{field} is {getattr(self, field):g}; expected a positive number of seconds")

    def factor(self, T, dt):
        """Cholesky factor (T, T), lower triangular."""
        dt = _check_grid(T, dt)
        return np.linalg.cholesky(self._correlation(np.arange(T), np.arange(T), dt))

    def shifted(self, mean, cov, stages, dt, anneal=0.0):
        """Distribution over the horizon that starts some stages later, by Gaussian process regression on the old one.

        With the old times t, the times * of the moved horizon, K the kernel and G = K_*t K_tt^-1,

            M* = G M,   S* = K_** - anneal G (K_tt - S) G'

        Stages of both horizons keep their mean; those beyond the old one revert to 0, the mean of the process, on the
        scale of its length, and may overshoot the old ones on the way unless it is matern12. S* is positive
        semidefinite if S is. Arguments, results and errors are those of the other smoothings.
        """
        mean, cov, anneal = _checked(mean, cov, stages, anneal)
        dt = _check_grid(len(mean), dt)
        old = np.arange(len(mean))
        K, kept = self._correlation(old, old, dt), max(len(mean) - stages, 0)
        beyond = old[kept:] + stages
        # rows of stages that both horizons have are unit vectors
        G = np.zeros_like(K)
        G[:kept, stages:] = np.eye(kept)
        G[kept:] = np.linalg.solve(K, self._correlation(old, beyond, dt)).T
        return G @ mean, _symmetric(K - anneal * (G @ (K - cov) @ G.T))

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

    def factor(self, T, dt):
        """Interpolation matrix (T, knots), whose rows sum to 1."""
        dt = _check_grid(T, dt)
        if self.knots > T:
            raise ProblemError(f"knots is {self.knots} for a horizon of {T} stages; expected at most one a stage")
        if self.degree == 0:
            return np.eye(self.knots)[np.arange(T) * self.knots // T]
        from scipy.interpolate import make_interp_spline  # takes longer to import than the rest of the package

        spline = make_interp_spline(np.linspace(0.0, T - 1.0, self.knots), np.eye(self.knots), k=int(self.degree))
        return np.ascontiguousarray(spline(np.arange(T)))


def _set_number(smoothing, name):
    value = check_number(getattr(smoothing, name), name)
    object.__setattr__(smoothing, name, value)
    return value


def _check_grid(T, dt):
    check_count(T, "T", 1, MOST_STAGES)
    return check_number(dt, "dt", above=0)


def _checked(mean, cov, stages, anneal):
    mean = as_finite(mean, "mean", (None, None))
    cov = as_finite(cov, "cov", (len(mean), len(mean)))
    check_count(stages, "stages", 0)
    return mean, cov, check_number(anneal, "anneal", least=0, most=1)


def _symmetric(matrix):
    return (matrix + matrix.T) / 2.0
