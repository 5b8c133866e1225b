"""Sigma points: exactness on polynomials, agreement with filterpy, and statistical linearization with them."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from filterpy.kalman import MerweScaledSigmaPoints
from filterpy.kalman.CubatureKalmanFilter import spherical_radial_sigmas
from oracles import close, semidefinite_root, sigma_model

import ppi_robotics as ppi
from ppi_robotics.errors import ProblemError
from ppi_robotics.kernels.algebra import semidefinite_roots
from ppi_robotics.linearize import SigmaPoints, statistical, taylor
from ppi_robotics.recursion import backward
from ppi_robotics.steps.compiled import swept_step
from ppi_robotics.symbolic.costs import project

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
    ({"rule": "unscented", "alpha": math.nan}, "alpha is nan; expected a finite number"),
    ({"rule": "unscented", "beta": math.inf}, "beta is inf; expected a finite number"),
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
        with pytest.raises(ProblemError, match="expected a whole number, at least 1"):
            SigmaPoints().points(n)


# -- statistical linearization -----------------------------------------------------------------------------------------


class Wave(ppi.SymbolicPlant):
    """Three states, two controls, Runge-Kutta, a nonlinearity in every entry."""

    state_names, control_names, dt = ("a", "b", "c"), ("u", "v"), 0.1
    noise = (0.01, 0.0, 0.02)

    def derivative(self, x, u):
        return ppi.vertcat(x[1] * ppi.cos(x[0]) + u[0] * u[1], ppi.sin(x[2]) * u[0], x[0] ** 2 * u[1] - x[2] ** 3)


class Line(ppi.SymbolicPlant):
    """An affine map of three states and two controls."""

    state_names, control_names, dt = ("a", "b", "c"), ("u", "v"), 1.0
    noise = (0.01, 0.0, 0.02)

    def transition(self, x, u):
        return ppi.vertcat(0.9 * x[0] + 0.2 * x[1] - u[1], x[1] - 0.3 * x[2] + u[0] + 0.7, 1.1 * x[2] - x[0])


def bumpy(x, u):
    return ppi.sin(x[0]) * x[1] ** 2 + ppi.exp(0.3 * x[2]) + u[0] ** 2 + u[1] ** 4 + x[0] * u[1]


COSTS = {
    "exact": ppi.SymbolicCost(bumpy, lambda x: ppi.cos(x[0]) * x[1] + x[2] ** 4, hessian="exact"),
    "project": ppi.SymbolicCost(bumpy, lambda x: ppi.cos(x[0]) * x[1] + x[2] ** 4),
    "residuals": ppi.LeastSquares(lambda x, u: ppi.vertcat(ppi.sin(x[0]), x[1] * x[2], u[0], u[1])),
    "quadratic": ppi.Quadratic([1.0, 0.3, 2.0], [0.1, 0.2], terminal=[5.0, 1.0, 0.0], goal=[1.0, 0.0, 2.0]),
}
FIELDS = ("A", "B", "d", "Cxx", "Cux", "Cuu", "cx", "cu", "c0")  # of a local model, apart from noise


def case(plant, cost="quadratic", T=40, seed=0):
    """A problem and a random belief about its trajectory; T is no multiple of the lanes."""
    rng, (nx, nu) = np.random.default_rng(seed), (plant.nx, plant.nu)
    problem = ppi.Problem(plant, COSTS[cost], np.zeros(nx), T)
    F = 0.2 * rng.normal(size=(T + 1, nx + nu, nx + nu))
    S = F @ F.transpose(0, 2, 1)
    return problem, rng.normal(size=(T + 1, nx)), rng.normal(size=(T, nu)), (S[:T], S[T, :nx, :nx])


def same_models(a, b, tolerance):
    for name in FIELDS:
        close(getattr(a, name), getattr(b, name), tolerance)
    close(a.G @ a.G.transpose(0, 2, 1), b.G @ b.G.transpose(0, 2, 1), tolerance)


@pytest.mark.parametrize("cost", COSTS)
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_compiled_linearization_equals_sums_over_points(rule, cost):
    problem, x, u, S = case(Wave(), cost)
    model = statistical(problem, x, u, S, rule)
    if cost == "project":
        # the mean Hessian is projected, not the Hessian of every point
        exact = statistical(case(Wave(), "exact")[0], x, u, S, rule)
        blocks = exact.Cxx.copy(), exact.Cux.copy(), exact.Cuu.copy()
        project(*blocks)
        for actual, expected in zip((model.Cxx, model.Cux, model.Cuu), blocks, strict=True):
            close(actual, expected, 1e-12)
        return
    A, B, y, W, *expansion = sigma_model(problem, x, u, S, rule)
    for actual, expected in zip((model.A, model.B, model.d), (A, B, y - x[1:]), strict=True):
        close(actual, expected, 1e-10)
    for name, expected in zip(("c0", "cx", "cu", "Cxx", "Cux", "Cuu"), expansion, strict=True):
        close(getattr(model, name), expected, 1e-10)
    if rule.beta == 0.0:  # otherwise W + R can be indefinite, and its negative part is dropped
        close(model.G @ model.G.transpose(0, 2, 1), W, 1e-10)


@pytest.mark.parametrize("rule", [SigmaPoints(), SigmaPoints("gauss_hermite", order=4)], ids=["cubature", "hermite"])
def test_singular_covariances_are_served_by_the_jacobian(rule):
    """Rank 2 of 5, among them controls that follow the state without noise."""
    problem, x, u, _ = case(Wave(), "exact")
    rng = np.random.default_rng(5)
    F = 0.2 * rng.normal(size=(41, 5, 2))
    F[:20, 3:] = rng.normal(size=(2, 3)) @ F[:20, :3]
    F[5, 0] = 0.0
    S = F @ F.transpose(0, 2, 1)
    S = S[:40], S[40, :3, :3]
    model = statistical(problem, x, u, S, rule)
    A, B, y, W, *expansion = sigma_model(problem, x, u, S, rule)
    # a pivot of 1e-16 decides alike in both, but the directions left out are known to half the digits
    for actual, expected in zip((model.A, model.B, model.d), (A, B, y - x[1:]), strict=True):
        close(actual, expected, 1e-9)
    close(model.G @ model.G.transpose(0, 2, 1), W, 1e-10)
    for name, expected in zip(("c0", "cx", "cu", "Cxx", "Cux", "Cuu"), expansion, strict=True):
        close(getattr(model, name), expected, 1e-9)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_without_variance_it_is_the_taylor_expansion(rule):
    problem, x, u, S = case(Wave(), "exact")
    model = statistical(problem, x, u, (0 * S[0], 0 * S[1]), rule)
    same_models(model, taylor(problem, x, u), 1e-12)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_on_affine_dynamics_and_quadratic_cost_every_rule_is_the_taylor_expansion(rule):
    problem, x, u, S = case(Line())
    model, expected = statistical(problem, x, u, S, rule), taylor(problem, x, u)
    same_models(model, expected, 1e-12)


def test_values_of_an_affine_model_do_not_depend_on_where_the_belief_lies():
    """The sweep adds the cost of the state's spread itself; the model must not have it twice."""
    problem, x, u, S = case(Line())
    values = [backward(m).value for m in (taylor(problem, x, u), statistical(problem, x, u, S, SigmaPoints()))]
    for name in ("P", "p", "p0"):
        close(getattr(values[1], name), getattr(values[0], name), 1e-12)


def test_disturbances_of_another_model_are_read_to_their_end_alone():
    """Sigma points have as many noises as states, Taylor's model as the noise has directions; beyond w stands nan."""
    problem, x, u, S = case(Wave())
    model = statistical(problem, x, u, S, SigmaPoints())
    T, rank = len(u), 1
    assert model.G.shape[2] > rank
    w = np.full((2 * T, rank), math.nan)[:T]
    w[:] = 0.5
    scales = problem.scales.state, problem.scales.control
    _, _, w_out, facts, _ = swept_step(model, x, u, w, 0.1, scales, True)
    close(facts[0], model.c0.sum() + T * 0.5**2 / 0.2, 1e-12)
    assert w_out.shape == (T, model.G.shape[2])


def test_arguments_stay_as_they_were():
    problem, x, u, S = case(Wave())
    given = [part.copy() for part in (x, u, *S)]
    statistical(problem, x, u, S, SigmaPoints())
    for part, before in zip((x, u, *S), given, strict=True):
        np.testing.assert_array_equal(part, before)


def test_linearization_tends_to_taylors_with_the_variance():
    """What curvature adds is proportional to the variance; to its square for the constant, beside the mean Hessian."""
    problem, x, u, S = case(Wave(), "exact")
    base = taylor(problem, x, u)
    for name, ratio in {"A": 0.01, "B": 0.01, "d": 0.01, "cx": 0.01, "Cxx": 0.01, "c0": 0.0001}.items():
        errors = [
            np.max(np.abs(getattr(statistical(problem, x, u, (a * S[0], a * S[1]), SigmaPoints()), name) - before))
            for before in [getattr(base, name)]
            for a in (1e-2, 1e-4)
        ]
        assert 0.5 * ratio < errors[1] / errors[0] < 2 * ratio, name


def test_gauss_hermite_rules_converge_to_the_mean_over_many_samples():
    problem, x, u, S = case(Wave(), "exact", T=2)
    fine, finer = (statistical(problem, x, u, S, SigmaPoints("gauss_hermite", order=q)) for q in (4, 5))
    same_models(fine, finer, 1e-3)
    rng, n = np.random.default_rng(6), 200_000
    z = rng.multivariate_normal(np.r_[x[0], u[0]], S[0][0], size=n)
    y = problem.plant.step(z[:, :3], z[:, 3:])
    error = 5 * y.std(axis=0) / np.sqrt(n)  # five standard errors, seed 6
    assert (np.abs(y.mean(axis=0) - x[1] - finer.d[0]) < error).all()
    cost = problem.cost.stage(z[:, :3], z[:, 3:])
    H = np.block([[finer.Cxx[0], finer.Cux[0].T], [finer.Cux[0], finer.Cuu[0]]])
    assert abs(cost.mean() - finer.c0[0] - np.trace(H @ S[0][0]) / 2) < 5 * cost.std() / np.sqrt(n)


def test_roots_of_covariances_multiply_back():
    rng = np.random.default_rng(8)
    F = rng.normal(size=(30, 5, 5))
    F[:10, :, 2:] = 0.0
    S = F @ F.transpose(0, 2, 1)
    S[20:25] *= np.outer([1, 1e3, 1e-2, 1, 1e2], [1, 1e3, 1e-2, 1, 1e2])
    lanes = S.reshape(30, 25).T.copy()
    assert semidefinite_roots(lanes, 5, 30) == -1
    U = np.triu(lanes.T.reshape(30, 5, 5))
    close(U.transpose(0, 2, 1) @ U, S, 1e-14)
    for t in range(30):
        close(U[t].T, semidefinite_root(S[t]), 1e-6 if t < 10 else 1e-12)  # half the digits of a pivot of rounding
    S[13, 4, 4] = -1.0
    assert semidefinite_roots(S.reshape(30, 25).T.copy(), 5, 30) == 13


def test_wrong_covariances_are_refused():
    problem, x, u, (S, last) = case(Wave())
    with pytest.raises(ProblemError, match=r"covariances \(39, 5, 5\) .* expected \(41, 3\), \(40, 2\), \(40, 5, 5\)"):
        statistical(problem, x, u, (S[:39], last), SigmaPoints())
    with pytest.raises(ProblemError, match=r"states \(40, 3\)"):
        statistical(problem, x[:40], u, (S, last), SigmaPoints())
    with pytest.raises(ProblemError, match="points is 'cubature'"):
        statistical(problem, x, u, (S, last), "cubature")
    bad = S.copy()
    bad[33] -= 0.5 * np.eye(5)
    with pytest.raises(ProblemError, match="covariance of stage 33 is indefinite"):
        statistical(problem, x, u, (bad, last), SigmaPoints())
    with pytest.raises(ProblemError, match="covariance of stage 40 is indefinite"):
        statistical(problem, x, u, (S, last - np.eye(3)), SigmaPoints())


def test_covariances_that_are_not_finite_give_models_that_are_not_finite():
    problem, x, u, (S, last) = case(Wave())
    S[7] = np.nan
    model = statistical(problem, x, u, (S, last), SigmaPoints())
    assert np.isnan(model.A[7]).all()
    assert np.isfinite(model.A[[*range(7), *range(8, 40)]]).all()


def test_plants_without_expressions_are_refused():
    problem, x, u, S = case(Wave())
    other = SimpleNamespace(plant=SimpleNamespace(name="robot"), cost=problem.cost)
    with pytest.raises(ProblemError, match="plant robot .* expected a SymbolicPlant"):
        statistical(other, x, u, S, SigmaPoints())
