"""Rules that replace expectations under a Gaussian by weighted sums over a few points.

    z ~ N(mean, S),  S = L L':   E f(z) = sum_i w_i f(z_i),   z_i = mean + L xi_i

    cubature       xi = +-sqrt(n) e_j,  w = 1 / 2n
    unscented      xi = 0, +-sqrt(n + l) e_j,  l = alpha^2 (n + kappa) - n,  w_i = 1 / 2(n + l),
                   w_0 = l / (n + l), for covariances w_0 + 1 - alpha^2 + beta
    gauss_hermite  the grid of the q-point rule of every axis, with the products of its weights

All have sum w xi = 0 and sum w xi xi' = I. I. Arasaratnam, S. Haykin, *Cubature Kalman filters* (IEEE TAC, 2009);
R. van der Merwe, *Sigma-point Kalman filters* (PhD thesis, OHSU, 2004); K. Ito, K. Xiong, *Gaussian filters for
nonlinear filtering problems* (IEEE TAC, 2000).
"""

import functools
from dataclasses import dataclass, fields

import numpy as np

from ppi_robotics.checks import check_choice, check_count, check_number
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import frozen

OPTIONS = {"cubature": (), "unscented": ("alpha", "beta", "kappa"), "gauss_hermite": ("order",)}
LARGEST_SPACE = 10_000  # entries of a normal vector
LARGEST_GRID, LARGEST_ORDER = 4096, 100  # numpy's nodes are tested up to 100


@dataclass(frozen=True, slots=True)
class SigmaPoints:
    """A rule for expectations under Gaussians.

    Attributes:
      rule: cubature (exact for polynomials of degree 3, 2n points), unscented (degree 3, 2n + 1 points) or
        gauss_hermite (degree 2 order - 1 in every axis, order^n points).
      order: points per axis of gauss_hermite, at least 2: one point has no spread.
      alpha, beta, kappa: of unscented; the defaults make all weights positive and equal for mean and covariance.

    Raises:
      ProblemError: if the rule is unknown, or an option is out of range or belongs to another rule.
    """

    rule: str = "cubature"
    order: int = 3
    alpha: float = 1.0
    beta: float = 0.0
    kappa: float = 1.0

    def __post_init__(self):
        check_choice(self.rule, "rule", OPTIONS)
        object.__setattr__(self, "order", check_count(self.order, "order", 2, LARGEST_ORDER))
        for name in ("alpha", "beta", "kappa"):
            object.__setattr__(self, name, check_number(getattr(self, name), name))
        if not self.alpha > 0:
            raise ProblemError(f"alpha is {self.alpha:g}; expected a positive spread of the unscented points")
        for field in fields(self)[1:]:
            if field.name not in OPTIONS[self.rule] and getattr(self, field.name) != field.default:
                owner = next(rule for rule, names in OPTIONS.items() if field.name in names)
                raise ProblemError(f"{field.name} is given for the rule {self.rule}; it belongs to {owner}")

    def points(self, n):
        """Points xi (m, n) for a standard normal of n entries, weights (m,) of means and (m,) of covariances.

        Raises:
          ProblemError: if n is no whole number of at least 1, a grid would have more than 4096 points, or the
            unscented spread n + l is not positive.
        """
        return _points(self, check_count(n, "n", 1, LARGEST_SPACE))


@functools.lru_cache(maxsize=64)
def _points(rule, n):
    if rule.rule == "gauss_hermite":
        xi, mean = _grid(rule.order, n)
        return frozen(xi), frozen(mean), frozen(mean)
    axes = np.vstack([np.eye(n), -np.eye(n)])
    if rule.rule == "cubature":
        weights = np.full(2 * n, 0.5 / n)
        return frozen(np.sqrt(n) * axes), frozen(weights), frozen(weights)
    spread = rule.alpha**2 * (n + rule.kappa)
    if not 0 < spread < np.inf:
        raise ProblemError(
            f"alpha^2 (n + kappa) is {spread:g} for n = {n}, alpha = {rule.alpha:g}, kappa = {rule.kappa:g}; "
            "expected a positive number, so choose kappa above -n"
        )
    mean = np.r_[(spread - n) / spread, np.full(2 * n, 0.5 / spread)]
    cov = mean.copy()
    cov[0] += 1 - rule.alpha**2 + rule.beta
    return frozen(np.vstack([np.zeros(n), np.sqrt(spread) * axes])), frozen(mean), frozen(cov)


def _grid(q, n):
    if q**n > LARGEST_GRID:
        raise ProblemError(
            f"gauss_hermite of order {q} has {q}^{n} points for {n} entries, more than {LARGEST_GRID}; "
            "lower the order or choose cubature"
        )
    nodes, weights = np.polynomial.hermite_e.hermegauss(q)
    weights = weights / weights.sum()
    xi = np.stack(np.meshgrid(*[nodes] * n, indexing="ij"), axis=-1).reshape(-1, n)
    return xi, functools.reduce(np.multiply.outer, [weights] * n).ravel()
