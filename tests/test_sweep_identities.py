"""The two sweeps against independent computations: every statement about linear-quadratic-Gaussian models is one test.

Q_t = C_t + R_lS[V_{t+1}],   V_t = R_lP^rho[Q_t],   pi_t ~ rho_t exp(-lP Q_t),   R_l[f] = -(1/l) log E exp(-l f)
"""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from filterpy.kalman import predict, rts_smoother, update
from oracles import (
    SIZES,
    Joint,
    aico_messages,
    box_minimum,
    close,
    dense_optimum,
    dynamic_program,
    entropic,
    expected_cost,
    random_baseline,
    random_model,
    rts_policy,
    stage_form,
    value_at,
    with_cost,
)
from scipy.stats import multivariate_normal

from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.recursion import Baseline, LocalModel, backward, forward
from ppi_robotics.values import marginals

SEEDS = range(10)
SCALAR, NOISELESS, LARGE, HUGE = (1, 1, 1), (3, 2, 0), (11, 5, 6), (93, 2, 3)
LAMBDAS_POLICY = (0.3, 2.0, np.inf)
LAMBDAS_TRANSITION = (-0.05, 0.0, 0.4)
INITIAL = Gaussian(np.array([0.5, -1.0, 0.3]), np.diag([0.4, 0.1, 0.7]))


def form(sweep, t):
    """The value of stage t as a form of (1, x)."""
    assert sweep.breakdown is None
    value = sweep.value
    return np.block([[2 * value.p0[t], value.p[t]], [value.p[t][:, None], value.P[t]]])


def same_policy(sweep, K, k, cov, tolerance=1e-9):
    close(sweep.K, K, tolerance)
    close(sweep.k, k, tolerance)
    close(sweep.cov, cov, tolerance)


def same_gains(a, b, tolerance=1e-9):
    close(a.K, b.K, tolerance)
    close(a.k, b.k, tolerance)


def policy_of(sweep):
    return Baseline(sweep.K, sweep.k, sweep.cov)


def mean_only(sweep, baseline):
    return Baseline(sweep.K, sweep.k, baseline.cov)


def states(seed, n=20):
    return 2.0 * np.random.default_rng([seed, 9]).normal(size=(n, 3))


def entropic_cost(model, policy, weight, x0):
    """R_weight of the cost of a policy from a known state."""
    return float(value_at(Joint(model, policy).value(weight), np.asarray(x0)))


# -- the recursion -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_policy", [0.0, *LAMBDAS_POLICY])
@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
@pytest.mark.parametrize("indefinite", [False, True])
def test_values_and_policies_are_nested_entropic_integrals(lambda_policy, lambda_transition, indefinite):
    for seed in SEEDS:
        model = random_model(seed, indefinite=indefinite)
        baseline = random_baseline(seed, model)
        sweep = backward(model, lambda_policy, lambda_transition, baseline)
        program = dynamic_program(model, lambda_policy, lambda_transition, baseline)
        assert sweep.breakdown is None
        for t in range(5):
            close(form(sweep, t), program.V[t])
        same_policy(sweep, program.K, program.k, program.cov)


@pytest.mark.parametrize("sizes", [LARGE, HUGE])
def test_larger_models_follow_the_same_equations(sizes):
    """Products are computed in tiles, so their borders need sizes that the tiles do not divide."""
    model = random_model(0, sizes=sizes)
    baseline, start = random_baseline(0, model), np.ones(sizes[0])
    for weights in ((np.inf, 0.0), (0.7, 0.05), (np.inf, -0.002), (0.0, 0.05)):
        sweep, program = backward(model, *weights, baseline), dynamic_program(model, *weights, baseline)
        same_policy(sweep, program.K, program.k, program.cov)
        for t in range(5):
            close(form(sweep, t), program.V[t])
    for actual, expected in zip(forward(model, backward(model), start), dense_optimum(model, start)[:2], strict=False):
        close(actual, expected)


@pytest.mark.parametrize("lambda_policy", LAMBDAS_POLICY)
@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
def test_flat_baseline_integrates_over_lebesgue_measure(lambda_policy, lambda_transition):
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, lambda_policy, lambda_transition)
        program = dynamic_program(model, lambda_policy, lambda_transition)
        same_policy(sweep, program.K, program.k, program.cov)
        for t in range(5):
            close(form(sweep, t), program.V[t])


@pytest.mark.parametrize(("eta", "indefinite"), [(0.3, False), (1.0, False), (2.0, False), (0.1, True), (0.3, True)])
def test_value_and_policy_are_joint_gaussian_conditioning(eta, indefinite):
    for seed in SEEDS:
        model = random_model(seed, indefinite=indefinite)
        baseline = random_baseline(seed, model)
        sweep = backward(model, eta, eta, baseline)
        for t in range(4):
            joint = Joint(model, baseline, start=t)
            close(form(sweep, t), joint.value(eta))
            for actual, expected in zip((sweep.K, sweep.k, sweep.cov), joint.first_control(eta), strict=True):
                close(actual[t], expected)


def test_sweep_completes_exactly_where_the_joint_gaussian_exists():
    outcomes = set()
    for seed in range(40):
        model = random_model(seed, indefinite=True)
        baseline = random_baseline(seed, model)
        joint, eta = Joint(model, baseline), np.random.default_rng(seed).uniform(0.5, 3.0)
        exists = np.linalg.eigvalsh(np.eye(joint.n) + eta * joint.cost[4:, 4:])[0] > 0
        assert (backward(model, eta, eta, baseline).breakdown is None) == exists
        outcomes.add(bool(exists))
    assert outcomes == {True, False}


@pytest.mark.parametrize("singular_start", [False, True])
def test_tilted_dynamics_give_smoothed_marginals(singular_start):
    cov = INITIAL.cov * (np.array([1.0, 0.0, 1.0])[:, None] if singular_start else 1.0)
    initial = Gaussian(INITIAL.mean, cov)
    for seed in SEEDS:
        model = random_model(seed)
        baseline = random_baseline(seed, model)
        belief = marginals(model, backward(model, 0.7, 0.7, baseline), initial)
        mean, cov = Joint(model, baseline).started(initial.mean, initial.cov).marginals(0.7)
        close(belief.mean, mean)
        close(belief.cov, cov)


@pytest.mark.parametrize("weight", [-0.05, 0.0, 0.4])
def test_tilted_dynamics_of_a_deterministic_policy_tilt_the_trajectories(weight):
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, np.inf, weight)
        mean, cov = Joint(model, policy_of(sweep)).started(INITIAL.mean, INITIAL.cov).marginals(weight)
        belief = marginals(model, sweep, INITIAL)
        close(belief.mean, mean)
        close(belief.cov, cov)


def test_evidence_of_pseudo_observations_is_the_value():
    """exp(-eta |D z - y|^2 / 2) is a likelihood of y with noise 1 / eta; -log P(y) / eta is V_0(x_0)."""
    eta, x0 = 0.8, INITIAL.mean
    for seed in SEEDS:
        model, root = random_model(seed), []
        baseline = random_baseline(seed, model)
        joint = Joint(model, baseline)
        for t in range(5):
            F = stage_form(model, t)
            D, rows = np.linalg.cholesky(F[1:, 1:]).T, joint.x[t] if t == 4 else np.vstack([joint.x[t], joint.u[t]])
            y = -np.linalg.solve(D.T, F[1:, 0])
            root.append((D @ rows[:, :4] @ np.r_[1.0, x0] - y, D @ rows[:, 4:], 0.5 * (F[0, 0] - y @ y)))
        error, spread = np.concatenate([r[0] for r in root]), np.concatenate([r[1] for r in root])
        log_density = multivariate_normal(np.zeros(len(error)), spread @ spread.T + np.eye(len(error)) / eta).logpdf(
            error
        )
        evidence = log_density + 0.5 * len(error) * np.log(2 * np.pi / eta) - eta * sum(r[2] for r in root)
        close(value_at(form(backward(model, eta, eta, baseline), 0), x0), -evidence / eta)


@pytest.mark.parametrize("eta", [-0.03, 0.5])
def test_value_at_a_gaussian_start_is_one_more_risk_step(eta):
    act = np.block([[1.0, np.zeros((1, 3))], [INITIAL.mean[:, None], np.sqrt(INITIAL.cov)]])
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, np.inf, eta)
        joint = Joint(model, policy_of(sweep)).started(INITIAL.mean, INITIAL.cov)
        close(entropic(act.T @ form(sweep, 0) @ act, 3, eta), joint.value(eta))


@pytest.mark.parametrize("weight", [-0.05, 0.0, 0.4])
def test_value_of_a_hard_minimum_is_its_policys_entropic_cost(weight):
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, np.inf, weight)
        close(value_at(form(sweep, 0), INITIAL.mean), entropic_cost(model, policy_of(sweep), weight, INITIAL.mean))


@pytest.mark.parametrize("weight", [-0.05, 0.0, 0.4])
def test_no_other_gains_have_a_lower_entropic_cost(weight):
    for seed in SEEDS:
        model, rng = random_model(seed), np.random.default_rng(seed)
        sweep = backward(model, np.inf, weight)
        best = value_at(form(sweep, 0), INITIAL.mean)
        for size in (1e-4, 1e-2):
            other = Baseline(
                sweep.K + size * rng.normal(size=sweep.K.shape),
                sweep.k + size * rng.normal(size=sweep.k.shape),
                sweep.cov,
            )
            assert entropic_cost(model, other, weight, INITIAL.mean) > best


# -- smoothers and messages --------------------------------------------------------------------------------------------


def test_kalman_smoother_gives_the_backward_policy():
    for seed in SEEDS:
        model = random_model(seed, sizes=(3, 2, 2))
        baseline = random_baseline(seed, model)
        (K, k, cov), (mean, spread) = rts_policy(model, baseline, 0.6, INITIAL.mean, INITIAL.cov)
        sweep = backward(model, 0.6, 0.6, baseline)
        same_policy(sweep, K, k, cov)
        belief = marginals(model, sweep, INITIAL)
        close(belief.mean, mean)
        close(belief.cov, spread)


def test_aico_messages_are_the_sweep_at_weights_one():
    for seed in SEEDS:
        model = random_model(seed)
        task = with_cost(model, control=np.zeros_like(model.Cuu))
        prior = Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(model.Cuu))
        sweep = backward(task, 1.0, 1.0, prior)
        messages, mean, cov = aico_messages(task, model.Cuu, INITIAL.mean, INITIAL.cov)
        close(sweep.value.P, messages)
        belief = marginals(task, sweep, INITIAL)
        close(belief.mean, mean)
        close(belief.cov, cov)


def test_aico_is_leqg_at_risk_weight_one():
    for seed in SEEDS:
        model = random_model(seed)
        task = with_cost(model, control=np.zeros_like(model.Cuu))
        aico = backward(task, 1.0, 1.0, Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(model.Cuu)))
        leqg = backward(with_cost(model, control=model.Cuu), np.inf, 1.0)
        same_gains(aico, leqg)
        close(aico.value.P, leqg.value.P)
        close(aico.value.p, leqg.value.p)


def test_aico_with_scaled_costs_has_the_gains_of_leqg_at_eta():
    for seed in SEEDS:
        model, eta = random_model(seed), 0.25
        task = with_cost(model, eta, np.zeros_like(model.Cuu))
        aico = backward(task, 1.0, 1.0, Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(eta * model.Cuu)))
        same_gains(aico, backward(with_cost(model, control=model.Cuu), np.inf, eta))


def test_filterpy_predict_is_the_forward_sweep_without_feedback():
    for seed in SEEDS:
        model = random_model(seed)
        baseline = random_baseline(seed, model)
        baseline = replace(baseline, K=0 * baseline.K)
        sweep = backward(model, 0.0, 0.0, baseline)
        belief = marginals(model, sweep, INITIAL)
        x, u, w, _ = forward(model, sweep, INITIAL.mean)
        mean, cov = INITIAL.mean, INITIAL.cov
        for t in range(4):
            Q = model.G[t] @ model.G[t].T + model.B[t] @ baseline.cov[t] @ model.B[t].T
            mean, cov = predict(mean, cov, model.A[t], Q, np.r_[baseline.k[t], 1.0], np.c_[model.B[t], model.d[t]])
            close(x[t + 1], mean)
            close(belief.cov[t + 1], cov)
        assert (w == 0).all()
        close(u, baseline.k)


def test_filterpy_smoother_is_aico_on_a_linear_model():
    """Costs |x - y|^2_R / 2 are observations of the state; controls with a prior are noise."""
    for seed in SEEDS:
        model = random_model(seed)
        task = replace(with_cost(model, control=np.zeros_like(model.Cuu)), d=0 * model.d)
        sweep = backward(task, 1.0, 1.0, Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(model.Cuu)))
        mean, cov, means, covs = INITIAL.mean, INITIAL.cov, [], []
        Q = [G @ G.T + B @ np.linalg.solve(H, B.T) for G, B, H in zip(model.G, model.B, model.Cuu, strict=True)]
        for t in range(5):
            R = np.linalg.inv(model.Cxx[t])
            mean, cov = update(mean, cov, -R @ model.cx[t], R, np.eye(3))
            means.append(mean)
            covs.append(cov)
            if t < 4:
                mean, cov = predict(mean, cov, model.A[t], Q[t])
        mean, cov, _, _ = rts_smoother(np.array(means), np.array(covs), model.A, Q)
        belief = marginals(task, sweep, INITIAL)
        close(belief.mean, mean)
        close(belief.cov, cov)


# -- limits and exchanges ----------------------------------------------------------------------------------------------


def test_flat_gains_do_not_depend_on_lambda_policy():
    for seed in SEEDS:
        model = random_model(seed)
        leqg = backward(model, np.inf, 0.4)
        for lambda_policy in (1e-3, 1.0, 1e3):
            soft = backward(model, lambda_policy, 0.4)
            same_gains(soft, leqg, 0.0)
            close(soft.value.P, leqg.value.P, 0.0)
            close(soft.cov, np.linalg.inv(leqg.H) / lambda_policy)


def test_soft_minimum_of_a_flat_baseline_is_the_hard_one_plus_a_constant():
    for seed in SEEDS:
        model = random_model(seed)
        hard, soft = backward(model, np.inf, 0.4), backward(model, 0.7, 0.4)
        shift = np.linalg.slogdet(0.7 * hard.H / (2 * np.pi))[1] / (2 * 0.7)
        close(soft.value.p0[:-1] - hard.value.p0[:-1], np.cumsum(shift[::-1])[::-1])


def test_small_eta_gives_lqr_with_an_error_linear_in_eta():
    for seed in SEEDS:
        model = random_model(seed)
        lqr = backward(model, np.inf, 0.0)
        same_gains(backward(model, 1e-11, 1e-11), lqr)
        errors = [np.linalg.norm(backward(model, eta, eta).K - lqr.K) / eta for eta in (1e-3, 1e-4, 1e-5)]
        # what remains of the ratio is of the next order in eta
        assert abs(errors[0] / errors[2] - 1) < 0.02
        assert abs(errors[1] / errors[2] - 1) < 0.002


def test_scaling_cost_and_eta_against_each_other_keeps_the_policy():
    for seed in SEEDS:
        model = random_model(seed)
        baseline, s = random_baseline(seed, model), 3.7
        for rho in (None, baseline):
            one, other = backward(model, 0.5, 0.5, rho), backward(with_cost(model, s), 0.5 / s, 0.5 / s, rho)
            same_policy(other, one.K, one.k, one.cov)
            close(other.value.P, s * one.value.P)
            close(other.value.p, s * one.value.p)
            if rho is not None:
                close(other.value.p0, s * one.value.p0)


@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
def test_control_cost_and_prior_are_exchangeable(lambda_transition):
    weight = 0.6
    for seed in SEEDS:
        model = random_model(seed)
        R = model.Cuu
        priced = backward(with_cost(model, control=R), weight, lambda_transition)
        prior = Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(weight * R))
        free = backward(with_cost(model, control=0 * R), weight, lambda_transition, prior)
        same_policy(free, priced.K, priced.k, priced.cov)
        close(free.value.P, priced.value.P)
        # the values differ by the normalization of the prior
        constant = np.linalg.slogdet(weight * R / (2 * np.pi))[1] / (2 * weight)
        close((priced.value.p0 - free.value.p0)[:-1], np.cumsum(constant[::-1])[::-1])


@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
def test_lambda_policy_zero_evaluates_the_baseline(lambda_transition):
    for seed in SEEDS:
        model = random_model(seed)
        baseline = random_baseline(seed, model)
        sweep = backward(model, 0.0, lambda_transition, baseline)
        for t, V in enumerate(expected_cost(model, baseline, lambda_transition)):
            close(form(sweep, t), V)
        same_policy(sweep, baseline.K, baseline.k, baseline.cov)


@pytest.mark.parametrize("lambda_transition", [-0.02, 0.0, 0.4])
def test_small_lambda_policy_tends_to_the_baseline_linearly(lambda_transition):
    for seed in SEEDS:
        model = random_model(seed)
        baseline = random_baseline(seed, model)
        limit = backward(model, 0.0, lambda_transition, baseline)
        near = [backward(model, weight, lambda_transition, baseline) for weight in (1e-4, 1e-5)]
        for part in (lambda s: s.K, lambda s: s.value.P, lambda s: s.value.p0):
            errors = [np.max(np.abs(part(sweep) - part(limit))) for sweep in near]
            assert 9.0 < errors[0] / errors[1] < 11.0  # linear: 10, but for the next order
        same_gains(backward(model, 1e-12, lambda_transition, baseline), limit)


@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
def test_damping_is_a_baseline_that_stays_at_the_reference(lambda_transition):
    weight, mu = 0.8, 1.9
    for seed in SEEDS:
        model = random_model(seed)
        nominal = Baseline(0 * model.Cux, 0 * model.cu, np.tile(np.eye(2) / (weight * mu), (4, 1, 1)))
        soft, damped = (
            backward(model, weight, lambda_transition, nominal),
            backward(model, np.inf, lambda_transition, damping=(0.0, mu)),
        )
        same_gains(damped, soft)
        close(damped.value.P, soft.value.P)
        close(damped.value.p, soft.value.p)


def test_state_damping_is_a_cost_of_the_state():
    for seed in SEEDS:
        model = random_model(seed)
        damped, priced = backward(model, damping=(0.7, 0.0)), backward(replace(model, Cxx=model.Cxx + 0.7 * np.eye(3)))
        same_gains(damped, priced)
        close(damped.value.P, priced.value.P)


def test_infinite_lambda_policy_ignores_the_baseline():
    for seed in SEEDS:
        model = random_model(seed)
        same_gains(backward(model, np.inf, 0.3, random_baseline(seed, model)), backward(model, np.inf, 0.3))


# -- majorization and iteration ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("lambda_transition", LAMBDAS_TRANSITION)
@pytest.mark.parametrize("lambda_policy", [0.2, 2.0])
def test_each_value_lies_between_the_expected_costs_of_old_and_next_policy(lambda_policy, lambda_transition):
    for seed in SEEDS:
        model, x = random_model(seed), states(seed)
        policy = random_baseline(seed, model)
        old = value_at(expected_cost(model, policy, lambda_transition)[0], x)
        for _ in range(4):
            sweep = backward(model, lambda_policy, lambda_transition, policy)
            policy = policy_of(sweep)
            middle = value_at(form(sweep, 0), x)
            after = value_at(expected_cost(model, policy, lambda_transition)[0], x)
            slack = 1e-9 * (1 + np.abs(old))
            assert (after <= middle + slack).all()
            assert (middle <= old + slack).all()
            assert (after < old).any()
            old = after


@pytest.mark.parametrize("eta", [0.2, 1.0])
def test_posterior_iteration_interlaces_entropic_and_expected_cost(eta):
    """F(pi_k) >= N(pi_{k+1}) >= F(pi_{k+1}) >= ..., F exponentiating the policy's noise too, and F(pi_k) = V^(k)."""
    for seed in SEEDS:
        model, x = random_model(seed), states(seed)
        policy = random_baseline(seed, model)
        last = np.inf
        for _ in range(5):
            sweep = backward(model, eta, eta, policy)
            risky = value_at(Joint(model, policy).value(eta), x)
            expected = value_at(expected_cost(model, policy, eta)[0], x)
            slack = 1e-9 * (1 + np.abs(expected))
            close(value_at(form(sweep, 0), x), risky)
            assert (expected <= last + slack).all()
            assert (risky <= expected + slack).all()
            policy, last = policy_of(sweep), risky


def test_posterior_precision_grows_by_the_curvature_of_each_iteration():
    weight = 0.5
    for seed in SEEDS:
        model = random_model(seed)
        policy = random_baseline(seed, model)
        precision, last = np.linalg.inv(policy.cov), np.linalg.inv(policy.cov[-1])
        for count in range(1, 6):
            program = dynamic_program(model, weight, 0.3, policy)
            precision += weight * np.array([Q[4:, 4:] for Q in program.Q])
            policy = policy_of(backward(model, weight, 0.3, policy))
            close(np.linalg.inv(policy.cov), precision)
            # the last stage sees the same Q_uu every time
            close(np.linalg.inv(policy.cov[-1]), last + count * weight * program.Q[-1][4:, 4:])


def test_posterior_baseline_converges_like_one_over_the_iterations():
    model = random_model(3)
    leqg, policy, errors = backward(model, np.inf, 0.4), random_baseline(3, model), {}
    for count in range(1, 801):
        policy = policy_of(backward(model, 0.4, 0.4, policy))
        errors[count] = np.max(np.abs(policy.K - leqg.K))
    assert abs(800 * errors[800] / (400 * errors[400]) - 1) < 0.02  # the next order is 1 / 400 in relation


def test_mean_only_baseline_converges_linearly():
    """At the last stage the error shrinks by (I + lP S Q_uu)^-1 exactly in every iteration."""
    weight = 0.5
    for seed in SEEDS:
        model = random_model(seed)
        policy, leqg = random_baseline(seed, model), backward(model, np.inf, 0.3)
        factor = np.linalg.inv(np.eye(2) + weight * policy.cov[-1] @ leqg.H[-1])
        for _ in range(5):
            after = mean_only(backward(model, weight, 0.3, policy), policy)
            close(after.K[-1] - leqg.K[-1], factor @ (policy.K[-1] - leqg.K[-1]))
            close(after.k[-1] - leqg.k[-1], factor @ (policy.k[-1] - leqg.k[-1]))
            policy = after


@pytest.mark.parametrize("sign", [-0.1, 1.0])
def test_fixed_point_of_posterior_iteration_is_leqg(sign):
    eta = 0.5
    for seed in range(20):
        model = random_model(seed)
        policy, leqg = random_baseline(seed, model), backward(model, np.inf, sign * eta)
        policy = replace(policy, cov=policy.cov + 5 * np.eye(2))
        for _ in range(150):
            policy = mean_only(backward(model, eta, sign * eta, policy), policy)
        same_gains(policy, leqg)
        # and a fixed point stays where it is, whatever the weight and the covariance
        same_gains(backward(model, 0.01, sign * eta, Baseline(leqg.K, leqg.k, 0.1 * policy.cov)), leqg)


def test_value_does_not_increase_with_either_weight():
    grid = np.array([-0.02, -0.01, 0.0, 0.1, 0.5, 2.0])
    for seed in SEEDS:
        model, x = random_model(seed), states(seed)
        baseline = random_baseline(seed, model)
        V = [[value_at(form(backward(model, lP, lS, baseline), 0), x) for lS in grid] for lP in (0.0, 0.1, 0.5, 3.0)]
        slack = 1e-9 * (1 + np.abs(V))
        assert (np.diff(V, axis=1) <= slack[:, 1:]).all()
        assert (np.diff(V, axis=0) <= slack[1:]).all()


# -- breakdown ---------------------------------------------------------------------------------------------------------


def scalar_model(q, std, T=1):
    """x' = x + u + std w with cost q x_T^2 / 2, and u^2 / 2 per stage."""
    one, zero = np.ones((T, 1, 1)), np.zeros((T, 1))
    end = np.zeros((T + 1, 1, 1))
    end[-1] = q
    return LocalModel(one, one, zero, std * one, end, 0 * one, one, np.zeros((T + 1, 1)), zero, np.zeros(T + 1))


def critical_theta(works, high=100.0):
    low = 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if works(middle) else (low, middle)
    return low


def sweep_works(model):
    return lambda theta: backward(model, np.inf, -theta).breakdown is None


def oracle_works(model):
    def works(theta):
        try:
            program = dynamic_program(model, np.inf, -theta)
        except np.linalg.LinAlgError:
            return False
        return all(np.isfinite(V).all() for V in program.V)

    return works


def test_scalar_breakdown_is_at_the_inverse_of_weight_times_variance():
    q, std = 3.0, 0.7
    star = 1 / (q * std**2)
    close(critical_theta(sweep_works(scalar_model(q, std))), star, 1e-14)
    assert backward(scalar_model(q, std), np.inf, -0.999 * star).breakdown is None
    breakdown = backward(scalar_model(q, std), np.inf, -1.001 * star).breakdown
    assert (breakdown.kind, breakdown.stage) == ("risk", 0)
    close(breakdown.bound, q * std**2, 1e-14)


def test_breakdown_reports_the_first_failing_stage_and_its_bound():
    stages = set()
    for seed in SEEDS:
        model = random_model(seed)
        theta = 1.5 * critical_theta(oracle_works(model))
        breakdown = backward(model, np.inf, -theta).breakdown
        t = breakdown.stage
        # without the noise of this and earlier stages the sweep gets through, so none later fails
        quiet = backward(replace(model, G=np.where(np.arange(4)[:, None, None] > t, model.G, 0.0)), np.inf, -theta)
        bound = np.linalg.eigvalsh(model.G[t].T @ quiet.value.P[t + 1] @ model.G[t])[-1]
        assert quiet.breakdown is None
        assert breakdown.kind == "risk"
        close(breakdown.bound, bound)
        assert theta * bound >= 1
        assert f"stage {t}: theta exceeds {1 / bound:.4g}" in str(breakdown)
        stages.add(t)
    assert len(stages) > 2


def test_bisection_of_the_critical_theta_agrees_with_the_oracle():
    for seed in SEEDS:
        model = random_model(seed)
        close(critical_theta(sweep_works(model)), critical_theta(oracle_works(model)))


def test_values_increase_with_theta_up_to_the_breakdown():
    for seed in SEEDS:
        model = random_model(seed)
        star = critical_theta(sweep_works(model))
        P = [backward(model, np.inf, -share * star).value.P for share in (0.0, 0.3, 0.6, 0.9, 0.99)]
        assert np.linalg.eigvalsh(np.diff(P, axis=0)).min() > -1e-10
        assert not any(sweep_works(model)(share * star) for share in (1.01, 1.5, 4.0, 50.0))


def test_a_fixed_policy_breaks_down_no_later_than_the_best_one():
    for seed in SEEDS:
        model = random_model(seed)
        lqr = Baseline(*(getattr(backward(model), name) for name in ("K", "k")), np.tile(np.eye(2), (4, 1, 1)))
        star = critical_theta(lambda theta, m=model, rho=lqr: backward(m, 0.0, -theta, rho).breakdown is None)
        assert star <= critical_theta(sweep_works(model)) + 1e-12


def test_seeking_risk_breaks_down_where_the_value_is_concave():
    model = replace(scalar_model(-3.0, 0.7), Cuu=50 * np.ones((1, 1, 1)))
    star = 1 / (3.0 * 0.7**2)
    assert backward(model, np.inf, 0.9 * star).breakdown is None
    breakdown = backward(model, np.inf, 1.1 * star).breakdown
    assert (breakdown.kind, breakdown.stage) == ("risk", 0)
    close(breakdown.bound, -3.0 * 0.7**2)
    assert f"{star:.4g}" in str(breakdown)


def test_indefinite_control_hessian_is_reported_with_its_eigenvalue():
    model = random_model(0)
    Cuu = model.Cuu.copy()
    Cuu[2] -= 50 * np.eye(2)
    sweep = backward(replace(model, Cuu=Cuu))
    Q = dynamic_program(replace(model, Cuu=model.Cuu)).Q[2][4:, 4:]
    assert (sweep.breakdown.kind, sweep.breakdown.stage) == ("indefinite", 2)
    close(sweep.breakdown.bound, np.linalg.eigvalsh(Q)[0] - 50)


@pytest.mark.parametrize("name", ["A", "B", "d", "Cxx", "Cux", "Cuu", "cx", "cu"])
def test_non_finite_models_break_down_instead_of_giving_gains(name):
    model, bounds = random_model(0), np.tile([-1.0, 1.0], (4, 2, 1))
    for stage, weight, box in itertools.product((0, 1, 3), (0.0, 0.3, -0.01), (None, bounds)):
        array = getattr(model, name).copy()
        array[stage].flat[0] = np.nan
        breakdown = backward(replace(model, **{name: array}), np.inf, weight, box=box).breakdown
        assert breakdown is not None
        assert "stay below 0 " not in str(breakdown)


@pytest.mark.parametrize(
    ("policy", "transition"), [(-1.0, 0.0), (np.nan, 0.0), (0.0, 0.0), (1.0, np.nan), (1.0, np.inf)]
)
def test_weights_out_of_range_are_refused(policy, transition):
    with pytest.raises(ProblemError, match="lambda_policy"):
        backward(random_model(0), policy, transition)


# -- classical control -------------------------------------------------------------------------------------------------


def test_additive_noise_only_shifts_the_constant():
    for seed in SEEDS:
        model = random_model(seed)
        noisy, calm = backward(model), backward(replace(model, G=0 * model.G))
        same_gains(noisy, calm, 0.0)
        close(noisy.value.P, calm.value.P, 0.0)
        close(noisy.value.p, calm.value.p, 0.0)
        shift = [0.5 * np.trace(G.T @ P @ G) for G, P in zip(model.G, noisy.value.P[1:], strict=True)]
        close((noisy.value.p0 - calm.value.p0)[:-1], np.cumsum(shift[::-1])[::-1])


def test_deterministic_dynamics_do_not_feel_the_risk_weight():
    for seed in SEEDS:
        model = random_model(seed, sizes=NOISELESS)
        neutral = backward(model)
        for weight in (-3.0, 5.0):
            risky = backward(model, np.inf, weight)
            same_gains(risky, neutral, 0.0)
            close(risky.value.p0, neutral.value.p0, 0.0)
            close(forward(model, risky, INITIAL.mean)[0], forward(model, neutral, INITIAL.mean)[0], 0.0)


def test_lqr_is_exact_in_one_sweep():
    """From any reference one full step reaches the optimum, and the next one has nothing left to do."""
    for seed in SEEDS:
        model = random_model(seed)
        x, u, _, y = forward(model, backward(model), INITIAL.mean)
        best_x, best_u, _, cost = dense_optimum(model, INITIAL.mean)
        close(x, best_x)
        close(u, best_u)
        value = value_at(form(backward(replace(model, G=0 * model.G)), 0), INITIAL.mean)
        close(value, cost)
        cx = model.cx + np.einsum("tij,tj->ti", model.Cxx, x)
        cx[:-1] += np.einsum("tij,ti->tj", model.Cux, u)
        cu = model.cu + np.einsum("tij,tj->ti", model.Cuu, u) + np.einsum("tij,tj->ti", model.Cux, x[:-1])
        again = backward(replace(model, d=0 * model.d, cx=cx, cu=cu))
        close(again.k, 0 * u)
        close(again.value.p[1:], y)


@pytest.mark.parametrize("eta", [0.05, 0.7])
def test_forward_sweep_minimizes_cost_plus_priced_noise(eta):
    """The mean path is the minimizer of sum C + sum |w|^2 / 2 eta, with its multipliers."""
    for seed in SEEDS:
        model = random_model(seed)
        x, u, w, y = forward(model, backward(model, np.inf, eta), INITIAL.mean)
        for actual, expected in zip((x, u, w), dense_optimum(model, INITIAL.mean, eta), strict=False):
            close(actual, expected)
        close(w, -eta * np.einsum("tij,ti->tj", model.G, y))
        stationary = model.cu + np.einsum("tij,tj->ti", model.Cuu, u) + np.einsum("tij,tj->ti", model.Cux, x[:-1])
        close(stationary + np.einsum("tij,ti->tj", model.B, y), 0 * u)


def test_risk_averse_noise_is_the_worst_case_against_the_policy():
    """For lS < 0 the path is a saddle: stationary in the controls, and in noise that maximises."""
    theta = 0.05
    for seed in SEEDS:
        model = random_model(seed)
        x, u, w, y = forward(model, backward(model, np.inf, -theta), INITIAL.mean)
        saddle = dense_optimum(model, INITIAL.mean, -theta)
        for actual, expected in zip((x, u, w), saddle, strict=False):
            close(actual, expected)
        close(w, theta * np.einsum("tij,ti->tj", model.G, y))


def test_noise_as_a_priced_control_gives_leqg():
    """Riccati with controls (u, w) and price |w|^2 / 2 eta has LEQG's P, p and gains."""
    eta = 0.4
    for seed in SEEDS:
        model = random_model(seed)
        T, nw = 4, 2
        Cuu = np.zeros((T, 4, 4))
        Cuu[:, :2, :2], Cuu[:, 2:, 2:] = model.Cuu, np.eye(2) / eta
        wide = LocalModel(
            model.A,
            np.concatenate([model.B, model.G], axis=2),
            model.d,
            np.zeros((T, 3, nw)),
            model.Cxx,
            np.concatenate([model.Cux, np.zeros((T, nw, 3))], axis=1),
            Cuu,
            model.cx,
            np.concatenate([model.cu, np.zeros((T, nw))], axis=1),
            model.c0,
        )
        riccati, sweep = dynamic_program(wide), backward(model, np.inf, eta)
        close(sweep.K, riccati.K[:, :2])
        close(sweep.k, riccati.k[:, :2])
        close(sweep.value.P, [V[1:, 1:] for V in riccati.V])
        close(sweep.value.p, [V[1:, 0] for V in riccati.V])


@pytest.mark.parametrize("weight", [-0.05, 0.0, 0.4])
def test_predicted_change_is_exact_along_the_feedforward(weight):
    """R of the cost under the feedforward a k and the gains K changes by a slope + a^2 curvature / 2 from a = 0."""
    for seed in SEEDS:
        model = random_model(seed)
        sweep = backward(model, np.inf, weight)
        costs = [
            entropic_cost(model, replace(policy_of(sweep), k=a * sweep.k), weight, INITIAL.mean)
            for a in (0.0, 0.3, 1.0, 2.0)
        ]
        for a, cost in zip((0.0, 0.3, 1.0, 2.0), costs, strict=True):
            close(cost - costs[0], a * sweep.slope + a**2 * sweep.curvature / 2)


# -- box ---------------------------------------------------------------------------------------------------------------


def boxes(seed, width, nu):
    rng = np.random.default_rng([seed, 3])
    center, below, above = 0.3 * rng.normal(size=(4, nu)), rng.uniform(size=(4, nu)), rng.uniform(size=(4, nu))
    return np.stack([center - width * below, center + width * above], axis=2)


def action_cost(model, sweep, t):
    """Q_t as a form of (1, x, u), from the value of the stage after."""
    stage = {n: getattr(model, n)[t : t + 1] for n in ("A", "B", "d", "G", "Cux", "Cuu", "cu")}
    after = (("Cxx", "P"), ("cx", "p"), ("c0", "p0"))
    ends = {n: np.stack([getattr(model, n)[t], getattr(sweep.value, v)[t + 1]]) for n, v in after}
    return dynamic_program(replace(model, **stage, **ends), np.inf, sweep.lambda_transition).Q[0]


@pytest.mark.parametrize("width", [0.1, 0.5, 2.0])
@pytest.mark.parametrize(("sizes", "weight", "count"), [(SIZES, 0.0, 25), (SIZES, 0.4, 25), (LARGE, 0.05, 3)])
def test_boxed_feedforward_solves_each_stages_quadratic_program(width, sizes, weight, count):
    (nx, nu, _), bound = sizes, set()
    for seed, t in itertools.product(range(count), range(4)):
        model, box = random_model(seed, sizes=sizes), boxes(seed, width, nu)
        sweep = backward(model, np.inf, weight, box=box)
        Q = action_cost(model, sweep, t)
        H, g, (low, high), k = Q[1 + nx :, 1 + nx :], Q[1 + nx :, 0], box[t].T, sweep.k[t]
        # KKT: zero gradient inside, pointing outward on a bound
        assert np.max(np.abs(k - np.clip(k - g - H @ k, low, high))) < 1e-7
        close(k, box_minimum(H, g, low, high), 1e-7)
        assert ((low <= k) & (k <= high)).all()
        free = (low < k) & (k < high)
        expected = np.zeros((nu, nx))
        expected[free] = -np.linalg.solve(H[np.ix_(free, free)], Q[1 + nx :, 1 : 1 + nx][free])
        close(sweep.K[t], expected)
        act = np.block([[np.eye(1 + nx)], [k[:, None], sweep.K[t]]])
        close(form(sweep, t), act.T @ Q @ act)
        bound.add(int(free.sum()))
    assert len(bound) > 1


def test_infinite_box_is_no_box():
    for seed in SEEDS:
        model = random_model(seed)
        boxed, free = backward(model, box=np.tile([-np.inf, np.inf], (4, 2, 1))), backward(model)
        same_gains(boxed, free)
        close(boxed.value.P, free.value.P)
        close(boxed.value.p0, free.value.p0)


def test_closed_box_leaves_the_given_controls_and_no_gains():
    for seed in SEEDS:
        model = random_model(seed)
        k = 0.2 * np.random.default_rng(seed).normal(size=(4, 2))
        sweep = backward(model, box=np.stack([k, k], axis=2))
        close(sweep.k, k, 0.0)
        assert (sweep.K == 0).all()


# -- one state, one control --------------------------------------------------------------------------------------------


def test_scalar_sweep_matches_the_formulas_by_hand():
    """One stage: P = q~ / (1 + q~) with the softened q~ = q / (1 + lS q W)."""
    q, std = 2.0, 0.6
    for weight in (-0.3, 0.0, 0.9):
        sweep = backward(scalar_model(q, std), np.inf, weight)
        soft = q / (1 + weight * q * std**2)
        close(sweep.value.P[0], [[soft / (1 + soft)]])
        close(sweep.K[0], [[-soft / (1 + soft)]])
        constant = 0.5 * q * std**2 if weight == 0 else np.log(1 + weight * q * std**2) / (2 * weight)
        close(sweep.value.p0[0], constant)
