"""The filter and smoother on states and controls: against the sweeps, against filterpy, against AICO's messages."""

from dataclasses import replace

import numpy as np
import pytest
from filterpy.kalman import ExtendedKalmanFilter, KalmanFilter, MerweScaledSigmaPoints, UnscentedKalmanFilter
from oracles import (
    Joint,
    Swing,
    aico_messages,
    close,
    random_baseline,
    random_model,
    rts_policy,
    with_cost,
)

import ppi_robotics as ppi
from ppi_robotics.errors import ProblemError
from ppi_robotics.estimation import smooth
from ppi_robotics.gaussian import Gaussian
from ppi_robotics.linearize import SigmaPoints, statistical, taylor
from ppi_robotics.recursion import Baseline, LocalModel, backward, forward
from ppi_robotics.values import marginals

SEEDS = range(10)
INITIAL = Gaussian(np.array([0.5, -1.0, 0.3]), np.diag([0.4, 0.1, 0.7]))
TINY = Gaussian(INITIAL.mean, 1e-6 * np.eye(3))
ZERO = ("Cxx", "Cux", "Cuu", "cx", "cu", "c0")


def same_policy(policy, sweep, tolerance):
    close(policy.K, sweep.K, tolerance)
    close(policy.k, sweep.k, tolerance)
    close(policy.cov, sweep.cov, tolerance)


def case(seed, kind):
    """A model whose cost is definite, of rank 1 in every block, or negative in some direction, and its eta."""
    model, eta = random_model(seed, T=6), 0.6
    if kind == "singular":
        v = np.random.default_rng([seed, 3]).normal(size=(7, 5))
        C = v[:, :, None] * v[:, None, :]
        model = replace(model, Cxx=C[:, :3, :3].copy(), Cux=C[:6, 3:, :3].copy(), Cuu=C[:6, 3:, 3:].copy())
    if kind == "indefinite":
        model, eta = random_model(seed, T=6, indefinite=True), 0.2
    return model, random_baseline(seed, model), eta


# -- the smoother and the sweeps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["definite", "singular", "indefinite"])
@pytest.mark.parametrize("initial", [INITIAL, TINY], ids=["wide", "tiny"])
def test_smoothing_gives_the_policy_of_the_backward_sweep(kind, initial):
    for seed in SEEDS:
        model, prior, eta = case(seed, kind)
        assert kind != "indefinite" or np.linalg.eigvalsh(model.Cxx)[:, 0].max() < 0
        same_policy(smooth(model, eta, initial, prior).policy, backward(model, eta, eta, prior), 1e-10)


@pytest.mark.parametrize("kind", ["definite", "singular", "indefinite"])
def test_smoothed_beliefs_are_the_marginals_of_the_tilted_dynamics(kind):
    for seed in SEEDS:
        model, prior, eta = case(seed, kind)
        result, belief = smooth(model, eta, INITIAL, prior), marginals(model, backward(model, eta, eta, prior), INITIAL)
        close(np.vstack([result.smoothed.mean[:, :3], result.last.mean]), belief.mean, 1e-10)
        close(np.vstack([result.smoothed.cov[:, :3, :3], result.last.cov[None]]), belief.cov, 1e-10)


def test_smoothed_beliefs_are_those_of_one_joint_gaussian():
    for seed in SEEDS:
        model, prior, eta = case(seed, "definite")
        mean, cov = Joint(model, prior).started(INITIAL.mean, INITIAL.cov).marginals(eta)
        result = smooth(model, eta, INITIAL, prior)
        close(np.vstack([result.smoothed.mean[:, :3], result.last.mean]), mean, 1e-10)
        close(np.vstack([result.smoothed.cov[:, :3, :3], result.last.cov[None]]), cov, 1e-10)


def test_the_textbook_loop_with_inverses_gives_the_same():
    for seed in SEEDS:
        model, prior, eta = case(seed, "definite")
        (K, k, cov), (mean, spread) = rts_policy(model, prior, eta, INITIAL.mean, INITIAL.cov)
        result = smooth(model, eta, INITIAL, prior)
        for actual, expected in zip((result.policy.K, result.policy.k, result.policy.cov), (K, k, cov), strict=True):
            close(actual, expected, 1e-10)
        close(result.smoothed.mean[:, :3], mean[:-1], 1e-10)
        close(result.last.cov, spread[-1], 1e-10)


def test_filtered_beliefs_leave_out_later_costs():
    model, prior, eta = case(0, "definite")
    result = smooth(model, eta, INITIAL, prior)
    for t in range(6):
        early = replace(model, **{name: getattr(model, name).copy() for name in ZERO})
        for name in ZERO:
            getattr(early, name)[t + 1 :] = 0.0
        other = smooth(early, eta, INITIAL, prior).smoothed
        close(result.filtered.mean[t], other.mean[t], 1e-12)
        close(result.filtered.cov[t], other.cov[t], 1e-12)


def test_without_weight_the_policy_is_the_prior():
    model, prior, _ = case(0, "indefinite")
    policy = smooth(model, 0.0, INITIAL, prior).policy
    for name in ("K", "k", "cov"):
        close(getattr(policy, name), getattr(prior, name), 1e-12)


def test_iterating_the_smoother_is_posterior_policy_iteration():
    model, prior, eta = case(1, "definite")
    by_filter = by_sweep = prior
    for _ in range(5):
        by_filter = smooth(model, eta, INITIAL, by_filter).policy
        sweep = backward(model, eta, eta, by_sweep)
        by_sweep = Baseline(sweep.K, sweep.k, sweep.cov)
    same_policy(by_filter, by_sweep, 1e-10)


# -- filterpy ----------------------------------------------------------------------------------------------------------


def test_prediction_without_cost_and_feedback_is_filterpys_kalman_filter():
    for seed in SEEDS:
        model = with_cost(random_model(seed), 0.0)
        prior = replace(random_baseline(seed, model), K=np.zeros_like(model.Cux))
        result, belief = (
            smooth(model, 1.0, INITIAL, prior),
            marginals(model, backward(model, 0.0, 0.0, prior), INITIAL),
        )
        kf = KalmanFilter(3, 1, 3)
        kf.x, kf.P = INITIAL.mean, INITIAL.cov
        for t in range(4):
            close(result.filtered.mean[t, :3], kf.x, 1e-12)
            close(result.filtered.cov[t, :3, :3], kf.P, 1e-12)
            Q = model.G[t] @ model.G[t].T + model.B[t] @ prior.cov[t] @ model.B[t].T
            kf.predict(np.r_[prior.k[t], 1.0], np.c_[model.B[t], model.d[t]], model.A[t], Q)
            close(belief.mean[t + 1], kf.x, 1e-12)
            close(belief.cov[t + 1], kf.P, 1e-12)
        close(result.last.mean, kf.x, 1e-12)
        close(result.last.cov, kf.P, 1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_aico_is_filterpys_smoother_with_costs_as_observations(seed):
    """Weights 1, flat baseline and u'Hu/2: the control is noise of covariance H^-1."""
    model = random_model(seed, T=6)
    model = replace(with_cost(model, control=model.Cuu), d=0 * model.d)
    belief = marginals(model, backward(model, 1.0, 1.0), INITIAL)
    kf = KalmanFilter(3, 3)
    kf.x, kf.P, kf.H = INITIAL.mean, INITIAL.cov, np.eye(3)
    R = np.linalg.inv(model.Cxx)
    z = -np.einsum("tij,tj->ti", R, model.cx)
    Q = model.G @ np.swapaxes(model.G, 1, 2) + model.B @ np.linalg.solve(model.Cuu, np.swapaxes(model.B, 1, 2))
    nothing = np.zeros((1, 3, 3))
    after = [np.concatenate([part, nothing]) for part in (model.A, Q)]
    mean, cov, _, _ = kf.batch_filter(z, Fs=after[0], Qs=after[1], Rs=R, update_first=True)
    before = [np.concatenate([nothing, part]) for part in (model.A, Q)]  # its smoother wants what led to each stage
    mean, cov, _, _ = kf.rts_smoother(mean, cov, *before)
    close(belief.mean, mean, 1e-10)
    close(belief.cov, cov, 1e-10)
    prior = Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(model.Cuu))
    result = smooth(with_cost(model, control=0 * model.Cuu), 1.0, INITIAL, prior)
    close(result.smoothed.mean[:, :3], mean[:-1], 1e-10)
    close(result.last.cov, cov[-1], 1e-10)


class Augmented(ExtendedKalmanFilter):
    """filterpy's filter of (angle, rate, torque) with the plant's own step."""

    def predict_x(self, u=0):
        self.x = np.r_[Swing().step(self.x[None, :2], self.x[None, 2:])[0], self.x[2]]


def prediction(expand):
    """The predicted state of a pendulum from a belief about (angle, rate, torque), through `smooth` at zero cost."""
    plant = Swing()
    problem = ppi.Problem(plant, ppi.Quadratic([1.0, 1.0], [1.0]), np.zeros(2), 1)
    x, u = np.array([[0.7, -0.4], [0.6, -0.6]]), np.array([[0.3]])
    joint = np.array([[0.3, 0.1, 0.05], [0.1, 0.2, -0.08], [0.05, -0.08, 0.5]])
    model = expand(problem, x, u, joint)
    K = np.linalg.solve(joint[:2, :2], joint[:2, 2:]).T
    prior = Baseline(K[None], np.zeros((1, 1)), (joint[2:, 2:] - K @ joint[:2, 2:])[None])
    result = smooth(with_cost(model, 0.0), 1.0, Gaussian(np.zeros(2), joint[:2, :2]), prior)
    close(result.filtered.cov[0], joint, 1e-14)
    return x[1] + result.last.mean, result.last.cov, np.r_[x[0], u[0]], joint


def test_taylors_prediction_is_filterpys_extended_kalman_filter():
    mean, cov, z, S = prediction(lambda problem, x, u, S: taylor(problem, x, u))
    A, B = Swing().linearize(z[None, :2], z[None, 2:])
    ekf = Augmented(3, 1)
    ekf.x, ekf.P, ekf.Q = z, S, np.diag([*np.diag(Swing().noise.process), 0.0])
    ekf.F = np.block([[A[0], B[0]], [np.zeros((1, 2)), np.eye(1)]])
    ekf.predict()
    close(mean, ekf.x[:2], 1e-12)
    close(cov, ekf.P[:2, :2], 1e-12)


@pytest.mark.parametrize(("alpha", "beta", "kappa"), [(1.0, 0.0, 1.0), (0.5, 2.0, 0.0)])
def test_unscented_prediction_is_filterpys_unscented_kalman_filter(alpha, beta, kappa):
    rule = SigmaPoints("unscented", alpha=alpha, beta=beta, kappa=kappa)
    mean, cov, z, S = prediction(lambda problem, x, u, S: statistical(problem, x, u, (S[None], np.zeros((2, 2))), rule))

    def step(z, dt):
        return np.r_[Swing().step(z[None, :2], z[None, 2:])[0], z[2]]

    ukf = UnscentedKalmanFilter(3, 1, 0.05, None, step, MerweScaledSigmaPoints(3, alpha, beta, kappa))
    ukf.x, ukf.P, ukf.Q = z, S, np.diag([*np.diag(Swing().noise.process), 0.0])
    ukf.predict()
    close(mean, ukf.x[:2], 1e-10)
    close(cov, ukf.P[:2, :2], 1e-10)


# -- AICO's messages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("eta", [1.0, 0.25])
def test_aico_messages_are_values_and_beliefs_of_the_sweep(eta):
    """eta P_t = Lambda_t + R_t with costs eta C, for the flat baseline, where the control's cost makes it noise."""
    for seed in SEEDS:
        model = random_model(seed, T=6)
        model = with_cost(model, control=model.Cuu)
        sweep = backward(model, eta, eta)
        weighted = with_cost(model, eta, eta * model.Cuu)
        messages, mean, cov = aico_messages(weighted, weighted.Cuu, INITIAL.mean, INITIAL.cov)
        close(eta * sweep.value.P, messages, 1e-10)
        belief = marginals(model, sweep, INITIAL)
        close(belief.mean, mean, 1e-10)
        close(belief.cov, cov, 1e-10)


def test_aico_messages_are_the_smoother():
    for seed in SEEDS:
        model = random_model(seed, T=6)
        task = with_cost(model, control=0 * model.Cuu)
        _, mean, cov = aico_messages(task, model.Cuu, INITIAL.mean, INITIAL.cov)
        result = smooth(task, 1.0, INITIAL, Baseline(0 * model.Cux, 0 * model.cu, np.linalg.inv(model.Cuu)))
        close(np.vstack([result.smoothed.mean[:, :3], result.last.mean]), mean, 1e-10)
        close(np.vstack([result.smoothed.cov[:, :3, :3], result.last.cov[None]]), cov, 1e-10)


# -- inference for control as published --------------------------------------------------------------------------------


def lqr_equivalence():
    """The linear-quadratic settings of Watson, Abdulsamad and Peters' i2c code, with costs of factor 1/2.

    The goal is an equilibrium by choice of the drift, so that deviations from it have none.
    """
    T, Q = 60, 10.0 * np.eye(2)
    return LocalModel(
        A=np.tile([[1.1, 0.0], [0.1, 1.1]], (T, 1, 1)),
        B=np.tile([[0.1], [0.0]], (T, 1, 1)),
        d=np.zeros((T, 2)),
        G=np.tile(1e-10 * np.eye(2), (T, 1, 1)),
        Cxx=np.tile(Q, (T + 1, 1, 1)),
        Cux=np.zeros((T, 1, 2)),
        Cuu=np.ones((T, 1, 1)),
        cx=np.zeros((T + 1, 2)),
        cu=np.zeros((T, 1)),
        c0=np.zeros(T + 1),
    )


def test_inference_for_control_is_lqr_at_a_large_eta():
    """eta = 1e5, noise 1e-20 and a prior of variance 100, whose precision over eta is 1e-7 of the control's weight."""
    model, eta = lqr_equivalence(), 1e5
    prior = Baseline(np.zeros((60, 1, 2)), np.zeros((60, 1)), np.full((60, 1, 1), 100.0))
    sweep = backward(model, eta, eta, prior)
    close(sweep.K[0], [[-5.877787, -8.225363]], 1e-6)
    close(sweep.value.P[0], [[87.39439, 140.12612], [140.12612, 556.11841]], 1e-6)
    exact = backward(model)
    close(sweep.K, exact.K, 1e-6)
    start = np.array([-5.0, -5.0])  # from (5, 5) to the goal (10, 10)
    x, u, _, _ = forward(model, sweep, start)
    best_x, best_u, _, _ = forward(model, exact, start)
    close(x, best_x, 1e-6)
    close(u, best_u, 1e-6)


# -- bad input ---------------------------------------------------------------------------------------------------------


def test_what_has_no_posterior_is_refused():
    model, prior, eta = case(0, "definite")
    for bad in (-0.1, np.inf, np.nan):
        with pytest.raises(ProblemError, match="eta is"):
            smooth(model, bad, INITIAL, prior)
    with pytest.raises(ProblemError, match="initial state is singular"):
        smooth(model, eta, Gaussian(INITIAL.mean, 0 * INITIAL.cov), prior)
    with pytest.raises(ProblemError, match=r"mean of shape \(2,\); the model has 3 states"):
        smooth(model, eta, Gaussian(np.zeros(2), np.eye(2)), prior)
    with pytest.raises(ProblemError, match=r"gains of shape \(5, 2, 3\)"):
        smooth(model, eta, INITIAL, replace(prior, K=prior.K[:5]))
    with pytest.raises(ProblemError, match="not positive definite; give every control"):
        smooth(model, eta, INITIAL, replace(prior, cov=0 * prior.cov))
    concave = replace(model, Cxx=model.Cxx.copy())
    concave.Cxx[3] -= 100 * np.eye(3)
    with pytest.raises(ProblemError, match="not positive definite at stage 3"):
        smooth(concave, eta, INITIAL, prior)
    still = replace(model, A=0 * model.A, G=0 * model.G)
    with pytest.raises(ProblemError, match="stage 1 has a direction without spread"):
        smooth(still, eta, INITIAL, prior)
