"""Costs: values by hand, gradients and Hessians by differences, and every kind of weight that cannot be used."""

import casadi as ca
import numpy as np
import pytest
from oracles import Swing, close, difference_jacobian

import ppi_robotics as ppi

PLANT = Swing()
Q, QT = np.array([[3.0, 0.4], [0.4, 0.2]]), np.diag([5.0, 0.0])
GOAL = np.array([np.pi, 0.5])


def residual(x, u):
    return ppi.vertcat(2.0 * ppi.sin(x[0]), 2.0 * (1.0 - ppi.cos(x[0])), 0.3 * x[1], 0.1 * u[0] * x[1])


def end_residual(x):
    return ppi.vertcat(ppi.sin(x[0]), 1.0 - ppi.cos(x[0]), x[1] ** 2)


def wave(x, u):
    return ppi.sin(x[0]) * ppi.exp(0.3 * x[1]) + 0.1 * u[0] ** 2 + x[1] * u[0]


def end_wave(x):
    return ppi.cos(x[0]) * x[1]


COSTS = {
    "quadratic": ppi.Quadratic(state=Q, control=[0.7], terminal=QT, goal=GOAL),
    "gauss_newton": ppi.LeastSquares(residual, end_residual),
    "least_squares_exact": ppi.LeastSquares(residual, end_residual, hessian="exact"),
    "least_squares_project": ppi.LeastSquares(residual, end_residual, hessian="project"),
    "symbolic_exact": ppi.SymbolicCost(wave, end_wave, hessian="exact"),
    "symbolic_project": ppi.SymbolicCost(wave, end_wave),
}


def trajectory(T=37):
    rng = np.random.default_rng(0)
    return 1.5 * rng.normal(size=(T + 1, 2)), rng.normal(size=(T, 1))


def by_hand(name, x, u):
    """Stage costs (T,) and terminal cost of a trajectory."""
    a, w, end = x[:-1, 0], x[:-1, 1], x[-1]
    if name == "quadratic":
        e = x - GOAL
        return np.einsum("ti,ij,tj->t", e[:-1], Q, e[:-1]) + 0.7 * u[:, 0] ** 2, e[-1] @ QT @ e[-1]
    if name.startswith("symbolic"):
        return np.sin(a) * np.exp(0.3 * w) + 0.1 * u[:, 0] ** 2 + w * u[:, 0], np.cos(end[0]) * end[1]
    stage = 4 * np.sin(a) ** 2 + 4 * (1 - np.cos(a)) ** 2 + 0.09 * w**2 + 0.01 * (u[:, 0] * w) ** 2
    return stage, np.sin(end[0]) ** 2 + (1 - np.cos(end[0])) ** 2 + end[1] ** 4


def full(Cxx, Cux, Cuu):
    """Hessians (T, 3, 3) in (x, u) from their blocks."""
    return np.concatenate([np.concatenate([Cxx[:-1], Cux.transpose(0, 2, 1)], 2), np.concatenate([Cux, Cuu], 2)], 1)


def differenced(cost, x, u):
    """Exact Hessians, (T, 3, 3) and (2, 2), by differences of the gradients."""

    def gradient(z):
        _, cx, cu, *_ = cost.quadratize(np.vstack([z[None, :2], x[-1:]]), z[None, 2:])
        return np.r_[cx[0], cu[0]]

    stages = [difference_jacobian(gradient, np.r_[a, b]) for a, b in zip(x[:-1], u, strict=True)]
    end = difference_jacobian(lambda z: cost.quadratize(np.vstack([x[:1], z[None]]), u[:1])[1][1], x[-1])
    return np.array(stages), end


@pytest.fixture(params=COSTS)
def name(request):
    return request.param


@pytest.fixture
def cost(name):
    return COSTS[name].bind(PLANT)


def test_values_are_those_by_hand(name, cost):
    x, u = trajectory()
    stage, end = by_hand(name, x, u)
    close(cost.stage(x[:-1], u), stage, 1e-14)
    close(cost.terminal(x[-1:]), [end], 1e-14)
    close(cost.trajectory(x, u), stage.sum() + end, 1e-14)
    close(cost.quadratize(x, u)[0], np.r_[stage, end], 1e-14)


def test_gradients_are_finite_differences(name, cost):
    x, u = trajectory(7)
    _, cx, cu, *_ = cost.quadratize(x, u)
    for t in range(7):
        g = difference_jacobian(lambda z: cost.stage(z[None, :2], z[None, 2:])[0], np.r_[x[t], u[t]])
        close(np.r_[cx[t], cu[t]], g)
    close(cx[7], difference_jacobian(lambda z: cost.terminal(z[None])[0], x[7]))


@pytest.mark.parametrize("name", ["quadratic", "least_squares_exact", "symbolic_exact"])
def test_exact_hessians_are_finite_differences_of_the_gradient(name, cost):
    x, u = trajectory(7)
    *_, Cxx, Cux, Cuu = cost.quadratize(x, u)
    stages, end = differenced(cost, x, u)
    close(full(Cxx, Cux, Cuu), stages)
    close(Cxx[-1], end)


def test_gauss_newton_is_twice_the_squared_jacobian():
    x, u = trajectory(7)
    *_, Cxx, Cux, Cuu = COSTS["gauss_newton"].bind(PLANT).quadratize(x, u)
    symbols = ca.SX.sym("x", 2), ca.SX.sym("u", 1)
    stage, end = (
        ca.Function("r", symbols, [residual(*symbols)]),
        ca.Function("r", symbols[:1], [end_residual(symbols[0])]),
    )
    for t in range(7):
        J = difference_jacobian(lambda z: np.array(stage(z[:2], z[2:])).ravel(), np.r_[x[t], u[t]])
        close(full(Cxx, Cux, Cuu)[t], 2 * J.T @ J)
    J = difference_jacobian(lambda z: np.array(end(z)).ravel(), x[7])
    close(Cxx[7], 2 * J.T @ J)


@pytest.mark.parametrize(
    ("projected", "exact"), [("symbolic_project", "symbolic_exact"), ("least_squares_project", "least_squares_exact")]
)
def test_projection_raises_negative_eigenvalues_and_keeps_the_others(projected, exact):
    x, u = trajectory()
    clamped, given = (COSTS[name].bind(PLANT).quadratize(x, u) for name in (projected, exact))
    for part in range(3):
        close(clamped[part], given[part], 0.0)
    for H, H_exact in ((full(*clamped[3:]), full(*given[3:])), (clamped[3][-1:], given[3][-1:])):
        sizes = np.abs(np.einsum("tii->ti", H_exact)).max(axis=0)  # in whose roots coordinates count
        for i in np.flatnonzero(sizes == 0):  # in products alone
            sizes[i] = max(np.abs(H_exact[:, i, j]).max() ** 2 / sizes[j] for j in np.flatnonzero(sizes))
        known = sizes > 0  # what the cost does not depend on stays without a price
        assert not H[:, ~known].any()
        unit = np.outer(sizes, sizes)[np.ix_(known, known)] ** -0.5
        before, after = (np.linalg.eigvalsh(part[:, known][:, :, known] * unit) for part in (H_exact, H))
        largest = np.abs(before).max(axis=1, keepdims=True)
        assert (after > 0.5e-8 * largest).all()
        close(after, np.maximum(before, 1e-8 * largest), 1e-12)
    assert (np.linalg.eigvalsh(full(*given[3:]))[:, 0] < 0).any()


def test_batches_equal_loops(cost):
    x, u = trajectory()
    together = cost.stage(x[:-1], u)
    np.testing.assert_array_equal(together, [cost.stage(a[None], b[None])[0] for a, b in zip(x[:-1], u, strict=True)])
    np.testing.assert_array_equal(cost.terminal(x), [cost.terminal(a[None])[0] for a in x])


def test_a_missing_terminal_cost_is_zero():
    x, u = trajectory(3)
    for given in (ppi.Quadratic(Q, [1.0]), ppi.LeastSquares(residual), ppi.SymbolicCost(wave)):
        bound = given.bind(PLANT)
        assert bound.terminal(x[-1:])[0] == 0.0
        c0, cx, _, Cxx, *_ = bound.quadratize(x, u)
        assert c0[-1] == 0.0
        assert (cx[-1] == 0.0).all()
        assert np.abs(Cxx[-1]).max() == 0.0


def test_vectors_are_diagonals_and_the_goal_is_zero_by_default():
    x, u = trajectory()
    vector, matrix = (ppi.Quadratic(q, r).bind(PLANT) for q, r in (([3.0, 0.2], [0.7]), (np.diag([3.0, 0.2]), [[0.7]])))
    close(vector.stage(x[:-1], u), matrix.stage(x[:-1], u), 0.0)
    close(vector.stage(np.zeros((1, 2)), np.zeros((1, 1))), [0.0], 0.0)


def test_residuals_may_be_a_list():
    x, u = trajectory()
    listed = ppi.LeastSquares(lambda x, u: [x[0], 2.0 * u[0]]).bind(PLANT)
    close(listed.stage(x[:-1], u), x[:-1, 0] ** 2 + 4.0 * u[:, 0] ** 2, 1e-14)


def test_other_weights_reuse_the_compiled_code():
    one, other = (ppi.Quadratic([q, 3.0], [0.7]).bind(PLANT) for q in (4.0, 5.0))
    assert one.kernels is other.kernels
    assert one.stage(np.ones((1, 2)), np.zeros((1, 1)))[0] == 7.0
    assert other.stage(np.ones((1, 2)), np.zeros((1, 1)))[0] == 8.0


def test_a_bound_cost_serves_another_plant():
    class Wide(ppi.SymbolicPlant):
        state_names, control_names, dt = ("a",), ("u", "v"), 0.1

        def derivative(self, x, u):
            return u[0] + u[1]

    bound = ppi.SymbolicCost(lambda x, u: x[0] ** 2 + ppi.sumsqr(u)).bind(PLANT)
    assert bound.bind(Swing()) is bound
    close(bound.bind(Wide()).stage(np.ones((1, 1)), np.ones((1, 2))), [3.0], 0.0)


# -- what cannot be used -----------------------------------------------------------------------------------------------


def foreign(x, u):
    return x[0] ** 2 + ca.SX.sym("mystery")


def namesake(x, u):
    return x[0] ** 2 + ca.SX.sym("x_0")


WRONG = {
    "state weights of another size": (ppi.Quadratic([1.0], [1.0]), r"`state` weights .*shape \(1,\); expected \(2,\)"),
    "control weights of another size": (
        ppi.Quadratic([1.0, 1.0], [1.0, 1.0]),
        r"`control` weights .*'torque'.*shape \(2,\)",
    ),
    "terminal weights of another size": (ppi.Quadratic([1.0, 1.0], [1.0], [1.0]), r"`terminal` weights .*shape \(1,\)"),
    "goal of another size": (ppi.Quadratic([1.0, 1.0], [1.0], goal=[0.0]), r"goal has shape \(1,\); expected \(2,\)"),
    "a number for a matrix": (ppi.Quadratic(1.0, [1.0]), r"`state` weights"),
    "weights not a number": (ppi.Quadratic([1.0, np.nan], [1.0]), r"`state` weights.*non-finite entry at index \(1,\)"),
    "infinite weights": (ppi.Quadratic([1.0, 1.0], [np.inf]), "`control` weights.*non-finite"),
    "goal not a number": (ppi.Quadratic([1.0, 1.0], [1.0], goal=[np.nan, 0.0]), "goal has a non-finite"),
    "indefinite state weights": (ppi.Quadratic([1.0, -1.0], [1.0]), "`state` weights.*indefinite"),
    "indefinite terminal weights": (
        ppi.Quadratic([1.0, 1.0], [1.0], [[0.0, 1.0], [1.0, 0.0]]),
        "`terminal` weights.*indefinite",
    ),
    "asymmetric weights": (ppi.Quadratic([[1.0, 0.5], [0.0, 1.0]], [1.0]), "not symmetric"),
    "singular control weights": (ppi.Quadratic([1.0, 1.0], [0.0]), "`control` weights are singular"),
    "negative control weights": (ppi.Quadratic([1.0, 1.0], [-1.0]), "`control` weights.*indefinite"),
    "weights as text": (ppi.Quadratic("heavy", [1.0]), "`state` weights.*expected an array of numbers"),
    "ragged weights": (ppi.Quadratic([[1.0], [1.0, 2.0]], [1.0]), "`state` weights"),
    "unknown hessian": (ppi.LeastSquares(residual, hessian="newton"), "hessian is 'newton'; choose from gauss_newton"),
    "no residuals": (ppi.SymbolicCost(wave, hessian="gauss_newton"), "no residuals"),
    "a vector for a scalar": (ppi.SymbolicCost(lambda x, u: x), "stage cost has 2 entries; expected a scalar"),
    "a vector at the end": (ppi.SymbolicCost(wave, lambda x: x), "terminal cost has 2 entries"),
    "nothing returned": (ppi.SymbolicCost(lambda x, u: None), "stage cost fails"),
    "a foreign symbol": (ppi.SymbolicCost(foreign), "unknown symbols.*mystery"),
    "a symbol named like the state": (ppi.SymbolicCost(namesake), "symbol"),
    "python's own sine": (ppi.SymbolicCost(lambda x, u: __import__("math").sin(x[0])), "not finite.*ppi.sin"),
    "an index too far": (ppi.SymbolicCost(lambda x, u: x[5]), "out of bounds"),
    "too many arguments": (ppi.LeastSquares(lambda x, u, t: x), "stage cost fails"),
    "terminal of two arguments": (ppi.LeastSquares(residual, residual), "terminal cost fails"),
    "a weight that is not finite": (ppi.SymbolicCost(lambda x, u: np.nan * x[0]), "not finite"),
    "stage not a function": (ppi.SymbolicCost(3.0), "stage"),
    "an operation without counterpart": (ppi.SymbolicCost(lambda x, u: ca.erfinv(x[0])), "cannot be compiled"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_wrong_costs_are_refused_in_one_line(given, message):
    with pytest.raises(ppi.PPIError, match=message) as caught:
        given.bind(PLANT)
    assert isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)
