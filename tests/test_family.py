"""The family of methods over the two sweeps: AICO, soft policies, baselines, expansions, the limit of aversion."""

import re
from dataclasses import replace

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.guesses import cold_guess
from ppi_robotics.recursion import backward
from ppi_robotics.solver import solve_briefly
from ppi_robotics.status import Breakdown
from ppi_robotics.steps.soft_policy import SoftPolicyIteration
from ppi_robotics.values import initial_value
from tests.oracles import close, random_baseline, random_model

T = 20


class Cart(ppi.SymbolicPlant):
    """Two coupled states, two controls, linear, with noise in one direction only."""

    state_names, control_names, dt, noise = ("a", "b"), ("u", "v"), 0.1, (0.0, 0.04)

    def transition(self, x, u):
        return ppi.vertcat(x[0] + 0.1 * x[1] + 0.02 * u[0], 0.9 * x[1] + 0.3 * u[0] - 0.2 * u[1])


def linear():
    cost = ppi.Quadratic(state=[1.0, 0.2], control=[0.05, 0.1], terminal=[5.0, 1.0], goal=[1.0, 0.0])
    return ppi.Problem(Cart(), cost, [2.0, -1.0], T)


def swing_up(plant):
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, plant.default_horizon)


FREE = {"cart-pole": lambda: swing_up(CartPole()), "pendulum": lambda: swing_up(Pendulum(torque_limit=None))}


# -- linear-quadratic problems: one pass, and the same fixed point -----------------------------------------------------


def test_aico_is_ppi_with_eta_one_in_one_pass():
    problem = linear()
    aico, ppi1 = ppi.solve(problem, ppi.AICO(), starts=1), ppi.solve(problem, ppi.PPI(1.0), starts=1)
    assert aico.status.solved
    assert aico.trace[0].change > 0.1  # the pass
    assert all(row.change < 1e-9 for row in aico.trace[1:])  # and its confirmation
    for a, b in (
        (aico.policy.K, ppi1.policy.K),
        (aico.policy.cov, ppi1.policy.cov),
        (aico.belief.cov, ppi1.belief.cov),
    ):
        close(a, b, 1e-12)
    close(aico.belief.mean, ppi1.belief.mean, 1e-9)


METHODS = {
    "seeking": (ppi.KLControl(3.0, 0.3, "mean_only", tolerance=1e-13), ppi.PPI(0.3)),
    "averse": (ppi.KLControl(3.0, -0.1, "mean_only", tolerance=1e-13), ppi.LEQG(0.1)),
    "neutral": (ppi.PsiIteration(3.0, "mean_only", tolerance=1e-13), ppi.ILQG()),
    "posterior policy": (ppi.PPI(0.3, baseline="mean_only"), ppi.PPI(0.3)),
    "flat": (ppi.KLControl(2.0, 0.3, "flat"), ppi.PPI(0.3)),
    "about the rollout": (ppi.PPI(0.3, about="rollout"), ppi.PPI(0.3)),
    "sigma points": (ppi.PPI(0.3, expansion=ppi.SigmaPoints()), ppi.PPI(0.3)),
}


@pytest.mark.parametrize(("method", "reference"), METHODS.values(), ids=METHODS)
def test_all_ways_lead_to_the_same_gains(method, reference):
    problem = linear()
    found, wanted = ppi.solve(problem, method, starts=1), ppi.solve(problem, reference, starts=1)
    assert found.status.solved
    # mean_only approaches linearly, and the objective, flat at its minimum, is known to 1e-6 by default
    close(found.policy.K, wanted.policy.K, 2e-3 if getattr(method, "baseline", "flat") != "flat" else 1e-8)


def test_a_mean_at_rest_ends_the_iteration_whatever_noise_its_policy_still_has():
    problem = linear()
    solution = ppi.solve(problem, ppi.PsiIteration(1e-3))
    assert solution.status is ppi.Status.CONVERGED
    assert len(solution.starts) == 2
    assert solution.nominal_cost == pytest.approx(ppi.solve(problem, ppi.ILQG(), starts=1).nominal_cost, rel=1e-5)


def test_posterior_baseline_approaches_as_one_over_the_iterations():
    problem, wanted = linear(), ppi.solve(linear(), ppi.ILQG(), starts=1).policy.K
    errors = {}
    for count in (40, 80):
        method = ppi.PsiIteration(1.0, max_iterations=count, tolerance=1e-15)
        errors[count] = np.abs(ppi.solve(problem, method, starts=1).policy.K - wanted).max()
    assert errors[80] < 0.6 * errors[40]


# -- soft policies on swing-ups ----------------------------------------------------------------------------------------


def iterate(problem, phase, guess, count):
    """Objectives and policies of a phase, from a guess."""
    plant, after = problem.plant, phase.begin(problem, *guess)
    costs, policies = [], []
    names = plant.name, plant.state_names, plant.control_names
    for index in range(count):
        baseline = after.policy.baseline
        policies.append(ppi.LinearGaussianPolicy(after.x[:-1], after.u, baseline.K, baseline.cov, plant.dt, *names))
        costs.append(after.cost)
        if after.status is not None:
            break
        after, _ = phase.advance(problem, after, index)
    return np.array(costs), policies


@pytest.mark.parametrize("lambda_policy", [1.0, 5.0, 20.0])
@pytest.mark.parametrize("lambda_transition", [0.0, 0.05, -0.05])
@pytest.mark.parametrize("name", FREE)
def test_objective_of_soft_policies_never_increases(name, lambda_transition, lambda_policy):
    problem, rng = FREE[name](), np.random.default_rng(0)
    phase = SoftPolicyIteration(lambda_policy, lambda_transition, std={"cart-pole": 1.0, "pendulum": 0.3}[name])
    if lambda_transition < 0:  # averse ones start from the risk-neutral solution
        solution = ppi.solve(problem, ppi.ILQG(), starts=2)
        guess = solution.x.copy(), solution.u + 0.3 * rng.normal(size=solution.u.shape)
    else:
        guess = cold_guess(problem, 0, {"cart-pole": 1, "pendulum": 11}[name])
    costs, policies = iterate(problem, phase, guess, 60)
    assert len(costs) > 30
    assert (np.diff(costs) <= 0.0).all()
    assert costs[-1] < costs[1] < costs[0]
    # sampled: the entropic cost of all noise, the policy's included, on common random numbers. The predicted one leaves
    # the policy's noise out of the exponent; for noise as small as here the two move alike.
    sampled = [ppi.evaluate(problem, policy, 2000, seed=1, stochastic=True).cost for policy in policies]
    for before, after in zip(sampled[:-1], sampled[1:], strict=True):
        rise = risk_weighted(after, before, lambda_transition)
        assert rise.mean() <= 3.5 * rise.std() / np.sqrt(len(rise))


def risk_weighted(after, before, weight):
    """Samples of a variable whose mean is positive exactly if the entropic cost rises."""
    if weight == 0.0:
        return after - before
    worst = min(after.min(), before.min()) if weight > 0 else max(after.max(), before.max())
    return -np.sign(weight) * (np.exp(-weight * (after - worst)) - np.exp(-weight * (before - worst)))


ENDS = {
    "psi": (ppi.PsiIteration(10.0), ppi.ILQG()),
    "mean only": (ppi.PsiIteration(1.0, "mean_only", tolerance=1e-9), ppi.ILQG()),
    "seeking": (ppi.KLControl(10.0, 0.05), ppi.LEQG(-0.05)),
    "averse": (ppi.KLControl(10.0, -0.05), ppi.LEQG(0.05)),
}


@pytest.mark.parametrize(("method", "reference"), ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("name", FREE)
def test_soft_policies_end_at_the_optimum_of_their_risk_weight(name, method, reference):
    problem = FREE[name]()
    solution, optimum = ppi.solve(problem, method, seed=0), ppi.solve(problem, reference, seed=0)
    assert solution.status.solved
    # paths agree to what the tolerance of the objective, 1e-6 of some 270, leaves
    assert solution.nominal_cost == pytest.approx(optimum.nominal_cost, abs=5e-3)
    close(solution.policy.K, optimum.policy.K, 0.05)
    assert problem.success(solution.x[-1:])[0]


def test_aico_finds_ppi_s_optimum_on_the_cart_pole():
    problem = FREE["cart-pole"]()
    for start in range(2):
        guess = cold_guess(problem, 0, start)
        solution = ppi.solve(problem, ppi.AICO(), trajectory=guess)
        assert solution.status.solved
        assert solution.cost == pytest.approx(255.80, abs=0.01)
        # what is accepted never costs more; refused beliefs have step 0
        accepted = [row.cost for row in solution.trace[:-1] if row.step > 0]
        assert (np.diff(accepted) <= 1e-6).all()


# -- sigma points ------------------------------------------------------------------------------------------------------

RULES = {
    "cubature": ppi.SigmaPoints(),
    "unscented": ppi.SigmaPoints("unscented"),
    "gauss_hermite": ppi.SigmaPoints("gauss_hermite", order=2),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("plant", [CartPole, Pendulum, Acrobot, DoubleCartPole])
def test_sigma_points_solve_the_swing_ups(plant, rule):
    problem = swing_up(plant())
    solution, taylor = (ppi.solve(problem, ppi.PPI(0.1, expansion=how), seed=0) for how in (RULES[rule], "taylor"))
    assert solution.status.solved
    assert problem.success(solution.x[-1:])[0]
    assert solution.nominal_cost == pytest.approx(taylor.nominal_cost, rel=1e-3)
    assert np.abs(solution.policy.K - taylor.policy.K).max() > 1e-6  # they do act


def test_fitted_temperature_does_not_depend_on_its_start():
    problem = FREE["cart-pole"]()
    fitted = []
    for eta in (0.05, 2.0):
        solution = ppi.solve(problem, ppi.PPI(eta, temperature="adaptive"), starts=1)
        assert solution.status.solved
        fitted.append(solution.sweep.lambda_transition)
    assert fitted[0] == pytest.approx(fitted[1], rel=1e-4)
    # at the fit, eta times the expected cost is half the number of squares: theta, its rate and the force at 150
    # stages, the first two at the end
    expected = (150 * 3 + 2) / (2.0 * fitted[0])
    model, sweep = solution.model, solution.sweep
    assert expected == pytest.approx(expected_under_belief(model, sweep), rel=1e-4)


def expected_under_belief(model, sweep):
    """E[C] under the smoothed belief, by plain loops."""
    T, nx, nu = model.B.shape
    S, lS, total = np.zeros((nx, nx)), sweep.lambda_transition, 0.0
    for t in range(T):
        K, cov, G = sweep.K[t], sweep.cov[t], model.G[t]
        Z = np.block([[S, S @ K.T], [K @ S, K @ S @ K.T + cov]])
        C = np.block([[model.Cxx[t], model.Cux[t].T], [model.Cux[t], model.Cuu[t]]])
        total += model.c0[t] + 0.5 * np.trace(C @ Z)
        F = np.hstack((model.A[t], model.B[t]))
        predicted = F @ Z @ F.T + G @ G.T
        S = np.linalg.inv(np.eye(nx) + lS * G @ G.T @ sweep.value.P[t + 1])
        W = S @ G @ G.T
        S = S @ (predicted - G @ G.T) @ S.T + W
    return total + model.c0[T] + 0.5 * np.trace(model.Cxx[T] @ S)


# -- the limit of aversion ---------------------------------------------------------------------------------------------


def test_critical_theta_of_the_swing_up():
    solution = ppi.solve(FREE["cart-pole"](), ppi.ILQG(), seed=0)
    star = ppi.critical_theta(solution)
    assert star == pytest.approx(1.084, abs=0.01)
    assert backward(solution.model, np.inf, -0.999 * star).breakdown is None
    assert backward(solution.model, np.inf, -1.001 * star).breakdown.kind == "risk"


def test_critical_theta_of_one_step_is_the_inverse_of_weight_times_variance():
    q, std = 3.0, 0.4
    one = np.ones((1, 1, 1))
    model = replace(
        random_model(0, T=1, sizes=(1, 1, 1)), A=one, B=0 * one, d=np.zeros((1, 1)), G=std * one,
        Cxx=np.array([[[0.0]], [[q]]]), Cux=0 * one, Cuu=one, cx=np.zeros((2, 1)), cu=np.zeros((1, 1)), c0=np.zeros(2),
    )  # fmt: skip
    close(ppi.critical_theta(model), 1 / (q * std**2), 1e-12)
    assert ppi.critical_theta(replace(model, G=0 * one)) == np.inf


@pytest.mark.parametrize("weight", [-0.02, 0.0, 0.3])
def test_uncertain_start_is_one_more_risk_step(weight):
    for seed in range(5):
        model, rng = random_model(seed), np.random.default_rng(seed)
        T, nx, nu = model.B.shape
        mean, factor = rng.normal(size=nx), 0.5 * rng.normal(size=(nx, 2))
        value = initial_value(backward(model, np.inf, weight), Gaussian(mean, factor @ factor.T))
        # a stage before the first that does nothing but add the noise of the start
        padded = np.zeros((T + 1, nx, model.G.shape[2]))
        padded[0, :, :2], padded[1:] = factor, model.G
        longer = replace(
            model,
            A=np.concatenate((np.eye(nx)[None], model.A)),
            B=np.concatenate((np.zeros((1, nx, nu)), model.B)),
            d=np.concatenate((np.zeros((1, nx)), model.d)),
            G=padded,
            Cxx=np.concatenate((np.zeros((1, nx, nx)), model.Cxx)),
            Cux=np.concatenate((np.zeros((1, nu, nx)), model.Cux)),
            Cuu=np.concatenate((np.eye(nu)[None], model.Cuu)),
            cx=np.concatenate((np.zeros((1, nx)), model.cx)),
            cu=np.concatenate((np.zeros((1, nu)), model.cu)),
            c0=np.concatenate((np.zeros(1), model.c0)),
        )
        V = backward(longer, np.inf, weight).value
        close(value, 0.5 * mean @ V.P[0] @ mean + V.p[0] @ mean + V.p0[0], 1e-10)


def test_uncertain_start_can_break_down_and_lowers_the_critical_theta():
    plant, wide = CartPole(), 0.05 * np.eye(4)
    certain = ppi.solve(swing_up(plant), ppi.ILQG(), seed=0)
    problem = ppi.Problem(plant, plant.swing_up_cost(), ppi.Gaussian(plant.hanging, wide), 150)
    solution = ppi.solve(problem, ppi.ILQG(), seed=0)
    star = ppi.critical_theta(solution)
    assert 0 < star < ppi.critical_theta(certain)
    sweep = backward(solution.model, np.inf, -1.01 * star)
    broken = initial_value(sweep, Gaussian(np.zeros(4), wide))
    assert isinstance(broken, Breakdown)
    assert "the initial state" in str(broken)
    failed = ppi.solve(problem, ppi.LEQG(1.5 * star), starts=1)
    assert failed.status is ppi.Status.RISK_BREAKDOWN
    assert failed.nominal_cost == pytest.approx(certain.nominal_cost, abs=1e-3)  # the risk-neutral policy is kept


@pytest.mark.parametrize("plant", [Pendulum, DoubleCartPole])
def test_averse_weights_keep_limits_and_lower_the_variance(plant):
    problem = swing_up(plant())
    neutral, averse = (ppi.solve(problem, method, seed=0) for method in (ppi.PPI(0.0), ppi.LEQG(0.5)))
    assert averse.status.solved
    assert problem.success(averse.x[-1:])[0]
    limits = problem.plant.control_limits
    assert (averse.u >= limits[:, 0]).all()
    assert (averse.u <= limits[:, 1]).all()
    results = ppi.compare(problem, {"neutral": neutral.policy, "averse": averse.policy}, 50_000, seed=0).evaluations
    a, b = results["averse"], results["neutral"]
    error = np.hypot(a.variance_standard_error, b.variance_standard_error)
    assert a.variance < b.variance + 4 * error
    assert a.entropic(-0.5) <= b.entropic(-0.5) + 1e-3 * b.mean


# -- bad input ---------------------------------------------------------------------------------------------------------


def singular():
    """A baseline with a singular covariance at one stage."""
    baseline = random_baseline(0, random_model(0))
    baseline.cov[2] = np.ones_like(baseline.cov[2])
    return baseline


BAD = {
    "negative lambda_policy": (lambda: ppi.KLControl(-1.0), "lambda_policy is -1.0"),
    "lambda_policy zero": (lambda: ppi.KLControl(0.0), "lambda_policy is 0.0"),
    "lambda_policy not a number": (lambda: ppi.KLControl(float("nan")), "lambda_policy is nan"),
    "lambda_transition infinite": (lambda: ppi.KLControl(1.0, float("inf")), "lambda_transition is inf"),
    "unknown baseline": (lambda: ppi.KLControl(1.0, baseline="prior"), "choose from flat, posterior, mean_only"),
    "singular baseline": (lambda: ppi.KLControl(1.0, spread=0.0), "singular"),
    "singular covariance": (lambda: backward(random_model(0), 1.0, 0.0, singular()), "covariance at stage 2"),
    "spread of the wrong size": (
        lambda: ppi.solve(linear(), ppi.KLControl(1.0, spread=(1.0, 1.0, 1.0))),
        "spread has 3 entries; the plant has 2 controls",
    ),
    "psi without weight": (lambda: ppi.PsiIteration(0.0), "eta is 0.0"),
    "posterior at eta 0": (lambda: ppi.PPI(0.0, baseline="posterior"), "eta is 0"),
    "posterior with limits": (
        lambda: ppi.solve(swing_up(Pendulum()), ppi.PsiIteration(1.0)),
        "knows no limits",
    ),
    "unknown expansion": (lambda: ppi.PPI(0.1, expansion="ukf"), "expansion is 'ukf'"),
    "unknown path": (lambda: ppi.PPI(0.1, about="nominal"), "choose from belief, rollout"),
    "wrong order": (lambda: ppi.SigmaPoints("gauss_hermite", order=0), "order is 0"),
    "adaptive and averse": (lambda: ppi.PPI(-0.1, temperature="adaptive"), "expected eta above 0"),
    "adaptive with limits": (
        lambda: ppi.solve(swing_up(Pendulum()), ppi.PPI(0.1, temperature="adaptive")),
        "knows no limits",
    ),
    "critical theta of a number": (lambda: ppi.critical_theta(0.1), "solution is 0.1"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ppi.ProblemError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# -- breakdown: the critical theta that a solve names ------------------------------------------------------------------


@pytest.mark.parametrize(
    "plant", [CartPole(), Pendulum(), CartPole(force_limit=15.0)], ids=["cart-pole", "pendulum", "limited"]
)
def test_a_breakdown_names_the_same_critical_theta_whatever_was_asked_for(plant):
    """A solve at it converges and one a percent above breaks down; along the fixed risk-neutral path it is higher."""
    problem = swing_up(plant)
    along = ppi.critical_theta(ppi.solve(problem, ppi.ILQG(), starts=1))
    asked = [ppi.LEQG(along * factor) for factor in (1.1, 2.0, 5.0)] + [ppi.PPI(-3.0 * along)]
    solutions = [ppi.solve(problem, method, starts=1) for method in asked]
    assert {solution.status for solution in solutions} == {ppi.Status.RISK_BREAKDOWN}
    critical = {solution.breakdown.critical for solution in solutions}
    assert len(critical) == 1
    (critical,) = critical
    assert 0.1 * along < critical < along
    assert ppi.solve(problem, ppi.LEQG(critical), starts=1).status is ppi.Status.CONVERGED
    above = ppi.solve(problem, ppi.LEQG(1.01 * critical), starts=1)
    assert above.breakdown.critical == critical
    said = float(re.search(r"critical theta \(-eta\) is ([\d.]+)\)", above.explain())[1])
    assert 0.99 * critical < said <= critical  # three digits, rounded down
    with pytest.raises(ppi.RiskBreakdown) as caught:
        above.raise_for_status()
    assert caught.value.critical == critical


def test_on_a_linear_quadratic_problem_the_path_does_not_matter():
    problem = linear()
    along = ppi.critical_theta(ppi.solve(problem, ppi.ILQG()))
    critical = ppi.solve(problem, ppi.LEQG(2.0 * along), starts=1).breakdown.critical
    assert 0.994 * along < critical < along  # found to half a percent, from below


def test_a_controller_does_not_spend_time_on_the_critical_theta():
    problem = swing_up(Pendulum())
    assert solve_briefly(problem, ppi.LEQG(10.0), 0, starts=1).breakdown.critical is None
