"""Sigma points: exactness on polynomials, agreement with filterpy, and statistical linearization with them."""

import math

import numpy as np
import pytest
from filterpy.kalman import MerweScaledSigmaPoints
from filterpy.kalman.CubatureKalmanFilter import spherical_radial_sigmas
from oracles import close

from ppi_robotics.errors import ProblemError
from ppi_robotics.sigma_points import SigmaPoints

RULES = {
    "cubature": SigmaPoints(),
    "unscented": SigmaPoints("unscented"),
    "scaled": SigmaPoints("unscented", alpha=0.5, beta=2.0, kappa=0.5),
    "hermite 2": SigmaPoints("gauss_hermite", order=2),
    "hermite 3": SigmaPoints("gauss_hermite"),
}


def monomial_mean(powers):
    """Expectation of a monomial of independent standard normals."""
    return math.prod(0 if p % 2 else math.prod(range(1, p, 2)) for p in powers)


# -- the rules ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("n", [1, 2, 5])
def test_every_rule_has_the_moments_of_a_normal_up_to_degree_3(rule, n):
    xi, mean, cov = rule.points(n)
    close(mean.sum(), 1.0, 1e-14)
    for w in (mean, cov):
        close(w @ xi, np.zeros(n), 1e-14)
        close(np.einsum("i,ia,ib", w, xi, xi), np.eye(n), 1e-14)
        close(np.einsum("i,ia,ib,ic", w, xi, xi, xi), np.zeros((n, n, n)), 1e-13)


@pytest.mark.parametrize("q", [2, 3, 5, 8])
def test_gauss_hermite_integrates_polynomials_of_degree_2q_minus_1(q):
    xi, w, _ = SigmaPoints("gauss_hermite", order=q).points(2)
    assert len(xi) == q**2
    for a in range(2 * q):
        for b in range(2 * q):
            terms = w * xi[:, 0] ** a * xi[:, 1] ** b
            # rounding is relative to the terms, which cancel for odd degrees
            assert abs(terms.sum() - monomial_mean((a, b))) < 1e-13 * max(1.0, np.abs(terms).sum())
    assert abs(w @ xi[:, 0] ** (2 * q) - monomial_mean((2 * q,))) > 0.5


def test_cubature_is_not_exact_at_degree_4():
    xi, w, _ = SigmaPoints().points(2)
    close(w @ xi[:, 0] ** 4, 2.0, 1e-14)  # n instead of 3


@pytest.mark.parametrize("n", [1, 2, 4])
def test_unscented_points_with_kappa_3_minus_n_match_the_fourth_moment(n):
    xi, w, _ = SigmaPoints("unscented", kappa=3.0 - n).points(n)
    close(w @ xi**4, np.full(n, 3.0), 1e-14)


@pytest.mark.parametrize(("alpha", "beta", "kappa"), [(1.0, 0.0, 1.0), (1e-3, 2.0, 0.0), (0.7, 2.0, -0.5)])
@pytest.mark.parametrize("n", [1, 3])
def test_unscented_points_equal_filterpy(alpha, beta, kappa, n):
    """For a covariance, filterpy's points are mean + L xi with the Cholesky factor L."""
    rng = np.random.default_rng(n)
    mean, F = rng.normal(size=n), rng.normal(size=(n, n))
    S = F @ F.T + 0.1 * np.eye(n)
    other = MerweScaledSigmaPoints(n, alpha, beta, kappa)
    xi, w_mean, w_cov = SigmaPoints("unscented", alpha=alpha, beta=beta, kappa=kappa).points(n)
    close(mean + xi @ np.linalg.cholesky(S).T, other.sigma_points(mean, S), 1e-14)
    # n + l is 1e-6 n at alpha = 1e-3, where filterpy takes it as a difference of numbers near n
    close(w_mean, other.Wm, 1e-9)
    close(w_cov, other.Wc, 1e-9)


@pytest.mark.parametrize("n", [1, 4])
def test_cubature_points_equal_filterpy(n):
    rng = np.random.default_rng(n)
    mean, F = rng.normal(size=n), rng.normal(size=(n, n))
    S = F @ F.T + 0.1 * np.eye(n)
    close(mean + SigmaPoints().points(n)[0] @ np.linalg.cholesky(S).T, spherical_radial_sigmas(mean, S), 1e-14)


def test_points_are_computed_once_and_read_only():
    first, second = SigmaPoints().points(3), SigmaPoints().points(3)
    assert all(a is b and not a.flags.writeable for a, b in zip(first, second, strict=True))


# -- bad input ---------------------------------------------------------------------------------------------------------

BAD = [
    ({"rule": "simplex"}, "rule is 'simplex'; choose from cubature, unscented, gauss_hermite"),
    ({"rule": ["cubature"]}, "rule is"),
    ({"rule": "gauss_hermite", "order": 1}, "order is 1"),
    ({"rule": "gauss_hermite", "order": 2.5}, "order is 2.5"),
    ({"rule": "gauss_hermite", "order": True}, "order is True"),
    ({"rule": "gauss_hermite", "order": 101}, "order is 101"),
    ({"rule": "cubature", "order": 5}, "order is given for the rule cubature; it belongs to gauss_hermite"),
    ({"rule": "gauss_hermite", "kappa": 0.0}, "kappa is given for the rule gauss_hermite; it belongs to unscented"),
    ({"rule": "unscented", "alpha": 0.0}, "alpha is 0"),
    ({"rule": "unscented", "alpha": math.nan}, "alpha has a non-finite entry"),
    ({"rule": "unscented", "beta": math.inf}, "beta has a non-finite entry"),
    ({"rule": "unscented", "kappa": "three"}, "kappa is 'three'"),
]


@pytest.mark.parametrize(("options", "message"), BAD, ids=[str(options) for options, _ in BAD])
def test_wrong_rules_are_refused(options, message):
    with pytest.raises(ProblemError, match=message):
        SigmaPoints(**options)


def test_sizes_that_a_rule_cannot_serve_are_refused():
    with pytest.raises(ProblemError, match=r"3\^8 points for 8 entries, more than 4096"):
        SigmaPoints("gauss_hermite").points(8)
    with pytest.raises(ProblemError, match="choose kappa above -n"):
        SigmaPoints("unscented", kappa=-2.0).points(2)
    for n in (0, 2.0, True):
        with pytest.raises(ProblemError, match="expected a whole number of entries"):
            SigmaPoints().points(n)
