"""The Gaussian over control sequences that samples are drawn from, and the ratios to the baseline that they stand for.

    u_t = u_ref_t + K_t (x_t - x_ref_t) + push_t,     push = L (scale * z),   z ~ N(0, I)

L (T, r) ties the stages together (`smoothing`), scale (r, nu) are standard deviations. With gains, samples go along
with the closed loop of a policy: a feedback-conditioned path integral.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import special

from ppi_robotics.kernels.draws import draw
from ppi_robotics.manifold import difference
from ppi_robotics.parallel import in_threads, processors

DRAWS = ("normal", "antithetic", "sobol")
MOST_SOBOL = 21201  # numbers a sample, for which SciPy has directions
FEW = 20_000  # numbers that one thread draws before another would have begun
RATE = 0.5  # share of the way that fitted covariances go in a round
JITTER = 1e-6  # of a fitted correlation, relative to the first one's


@dataclass(frozen=True, eq=False)
class Proposal:
    """Where sampled control sequences come from.

    Attributes:
      x_ref, u_ref, K: closed loop that they are added to, (T + 1, nx), (T, nu), (T, nu, ndx).
      factor: L (T, r), None for independent stages.
      scale: (r, nu).
      prior: mean (T, nu) of a baseline that stays.
      quaternions: where they start in the state.
    """

    x_ref: np.ndarray
    u_ref: np.ndarray
    K: np.ndarray
    factor: np.ndarray | None
    scale: np.ndarray
    prior: np.ndarray
    quaternions: tuple = ()

    def sample(self, kind, count, seed, first):
        """`Draws` of samples first, first + 1, ..."""
        latent = latents(kind, count, seed, first, self.scale)
        return Draws(latent, latent if self.factor is None else np.ascontiguousarray(self.factor @ latent))

    def log_ratio(self, draws, x, follow):
        """Log-density ratios (N,) of the baseline to what samples were drawn from.

        Args:
          draws: `Draws`.
          x: states (N, T + 1, nx), which matter where the proposal has gains.
          follow: share of the way from the prior's mean to the proposal's at which the baseline has its own.
        """
        return np.zeros(len(draws.push)) if follow == 1.0 else self._log_ratios(draws, x, follow).sum(axis=1)

    def log_ratio_ahead(self, draws, x, follow):
        """The same (N, T) for the controls of stages t to T alone, where stages are independent."""
        return np.cumsum(self._log_ratios(draws, x, follow)[:, ::-1], axis=1)[:, ::-1]

    def _log_ratios(self, draws, x, follow):
        """Log ratios (N, r) of every latent, which add up."""
        away = self.u_ref - self.prior
        if self.K.any():
            away = away + feedback(self, x)
        elif self.factor is not None:
            away = np.linalg.lstsq(self.factor, away, rcond=None)[0]
        z, back = draws.latent / self.scale, (1.0 - follow) * away / self.scale
        return -0.5 * ((2.0 * z + back) * back).sum(axis=-1)

    def fitted(self, kind, draws, weights, first):
        """With the covariance moved half way (`RATE`) toward that of weighted samples.

        Args:
          kind: "diagonal" for standard deviations of their own at every stage (the cross-entropy method), "time" for a
            correlation over the stages, common to all controls (matrix-normal policies).
          draws: `Draws`.
          weights: (N,), of sum 1.
          first: `Proposal` of the first round; a small share of its covariance stays.
        """
        if kind == "diagonal":
            variance = np.einsum("n,nri->ri", weights, (draws.latent - mean_of(weights, draws.latent)) ** 2)
            kept = (1.0 - RATE) * self.scale**2 + RATE * variance
            return replace(self, scale=np.sqrt(np.maximum(kept, JITTER * first.scale**2)))
        std = self.scale[0]
        z = (draws.push - mean_of(weights, draws.push)) / std
        seen = np.einsum("n,nti,nsi->ts", weights, z, z, optimize=True) / len(std)
        kept = (1.0 - RATE) * self.correlation + RATE * seen + JITTER * first.correlation
        values, vectors = np.linalg.eigh(kept)
        factor = vectors * np.sqrt(np.maximum(values, 0.0))
        return replace(self, factor=np.ascontiguousarray(factor), scale=np.tile(std, (len(factor), 1)))

    @property
    def correlation(self):
        """L L' (T, T)."""
        return np.eye(len(self.u_ref)) if self.factor is None else self.factor @ self.factor.T


@dataclass(frozen=True, slots=True)
class Draws:
    """Samples: scaled latents (N, r, nu) and what they add to the controls, push (N, T, nu)."""

    latent: np.ndarray
    push: np.ndarray


def mean_of(weights, values):
    """Weighted mean of values (N, ...)."""
    return (weights @ values.reshape(len(values), -1)).reshape(values.shape[1:])


def feedback(proposal, x):
    """K (x - x_ref) along states x (N, T + 1, nx), (N, T, nu)."""
    dx = difference(x[:, :-1], proposal.x_ref[:-1], proposal.quaternions)
    return np.einsum("tij,ntj->nti", proposal.K, dx, optimize=True)


def latents(kind, count, seed, first, scale):
    """Latents (count, r, nu) with standard deviations `scale` (r, nu).

    Args:
      kind: "normal"; "antithetic", pairs of opposite signs; "sobol", scrambled quasi-random points, the first of a
        power of two.
      seed, first: sample i of a seed has the same numbers in every call; quasi-random points belong together, so that
        `first` counts sets of them.
    """
    if kind == "sobol":
        from scipy.stats import qmc  # takes longer to import than the rest of the package

        whole = qmc.Sobol(scale.size, rng=np.random.default_rng([seed, first])).random_base2((count - 1).bit_length())
        points = whole[:count]
        return special.ndtri(np.clip(points, 1e-12, 1 - 1e-12)).reshape(count, *scale.shape) * scale
    z = np.empty((count, *scale.shape))
    fresh = count - count // 2 if kind == "antithetic" else count
    size = fresh if fresh * scale.size < FEW else -(-fresh // processors())

    def fill(start):
        draw(np.uint64(seed), first + start, scale, z[start : min(start + size, fresh)])

    for _ in in_threads(fill, range(0, fresh, size)):
        pass
    z[fresh:] = -z[: count - fresh]
    return z
