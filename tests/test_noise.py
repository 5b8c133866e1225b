"""Noise that grows with control and state: exact expected costs, smaller gains, rollouts with the promised moments."""

from dataclasses import replace

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics.linearize import taylor
from ppi_robotics.recursion import backward
from tests.oracles import close, random_model

CONTROL, STATE = np.array([0.6, 0.3]), np.array([[[0.1, 0.05], [0.0, 0.2]]])
PROCESS = np.array([[2e-3, 5e-4], [5e-4, 1e-3]])


def growing_model(seed, growing=2):
    """A random model whose last columns of G grow with state and control."""
    model = random_model(seed)
    (T, nx, nu), rng = model.B.shape, np.random.default_rng([seed, 5])
    return replace(model, E=0.2 * rng.normal(size=(T, growing, nx, nx + nu)))


def expected_cost(model, K, k, x0):
    """E[cost] of u = K x + k by propagating the moments of h = (1, x), without any value function."""
    T, nx, nu = model.B.shape
    h = np.concatenate(([1.0], x0))
    M, total = np.outer(h, h), 0.0
    for t in range(T):
        # (x, u) = Z h and (1, x') = F h + noise
        Z = np.zeros((nx + nu, nx + 1))
        Z[:nx, 1:], Z[nx:, 0], Z[nx:, 1:] = np.eye(nx), k[t], K[t]
        C = np.block([[model.Cxx[t], model.Cux[t].T], [model.Cux[t], model.Cuu[t]]])
        c = np.concatenate((model.cx[t], model.cu[t]))
        total += model.c0[t] + c @ Z @ M[:, 0] + 0.5 * np.trace(C @ Z @ M @ Z.T)
        F = np.zeros((nx + 1, nx + 1))
        F[0, 0], F[1:] = 1.0, np.hstack((model.A[t], model.B[t])) @ Z
        F[1:, 0] += model.d[t]
        after = F @ M @ F.T
        fixed = model.G.shape[2] - model.E.shape[1]
        for i in range(model.G.shape[2]):
            noise = np.zeros((nx, nx + 1))
            noise[:, 0] = model.G[t, :, i]
            if i >= fixed:
                noise += model.E[t, i - fixed] @ Z
            after[1:, 1:] += noise @ M @ noise.T
        M = after
    return total + model.c0[T] + model.cx[T] @ M[1:, 0] + 0.5 * np.trace(model.Cxx[T] @ M[1:, 1:])


@pytest.mark.parametrize("seed", range(5))
def test_value_is_the_exact_expected_cost_and_no_gain_is_better(seed):
    model, rng = growing_model(seed), np.random.default_rng(seed)
    sweep = backward(model)
    x0 = rng.normal(size=model.B.shape[1])
    value = 0.5 * x0 @ sweep.value.P[0] @ x0 + sweep.value.p[0] @ x0 + sweep.value.p0[0]
    close(value, expected_cost(model, sweep.K, sweep.k, x0), 1e-12)
    for _ in range(10):
        K, k = sweep.K + 1e-2 * rng.normal(size=sweep.K.shape), sweep.k + 1e-2 * rng.normal(size=sweep.k.shape)
        assert expected_cost(model, K, k, x0) > value


@pytest.mark.parametrize("weight", [-1e-4, 1e-4])
def test_gains_go_to_the_risk_neutral_ones_with_the_risk_weight(weight):
    model = growing_model(3)
    neutral, near = backward(model), backward(model, np.inf, weight)
    close(near.K, neutral.K, 20 * abs(weight))  # linear in the weight
    close(near.k, neutral.k, 20 * abs(weight))


def test_noise_in_the_control_shrinks_the_gain():
    # T = 1, x' = x + u (1 + s a): u = -q x / (r + q (1 + s^2)) for costs q x'^2 / 2 + r u^2 / 2
    q, r, s, x = 3.0, 0.5, 0.7, 2.0
    model = replace(
        random_model(0, T=1, sizes=(1, 1, 1)),
        **{name: np.ones((1, 1, 1)) for name in ("A", "B")},
        d=np.zeros((1, 1)),
        G=np.zeros((1, 1, 1)),
        E=np.array([[[[0.0, s]]]]),
        Cxx=np.array([[[0.0]], [[q]]]),
        Cux=np.zeros((1, 1, 1)),
        Cuu=np.array([[[r]]]),
        cx=np.zeros((2, 1)),
        cu=np.zeros((1, 1)),
        c0=np.zeros(2),
    )
    sweep = backward(model)
    close(sweep.K[0, 0, 0], -q / (r + q * (1 + s**2)), 1e-14)
    close(0.5 * x * sweep.value.P[0, 0, 0] * x, 0.5 * q * x**2 * (1 - q / (r + q * (1 + s**2))), 1e-14)
    close(sweep.noise_price[0], [[0.0, 0.0], [0.0, q * s**2]], 1e-14)


def test_additive_noise_moves_the_constant_alone():
    model = random_model(2)
    sweep, quiet = backward(model), backward(replace(model, G=0 * model.G))
    close(sweep.K, quiet.K, 1e-14)
    close(sweep.k, quiet.k, 1e-14)
    assert sweep.value.p0[0] > quiet.value.p0[0] + 1e-3


# -- plants ------------------------------------------------------------------------------------------------------------


class Cart(ppi.SymbolicPlant):
    """Two coupled states, two controls, linear."""

    state_names, control_names, dt = ("a", "b"), ("u", "v"), 0.1

    def __init__(self, noise):
        self.noise = noise

    def transition(self, x, u):
        return ppi.vertcat(x[0] + 0.1 * x[1] + 0.02 * u[0], 0.9 * x[1] + 0.3 * u[0] - 0.2 * u[1])


def linear_problem(noise):
    cost = ppi.Quadratic(state=[1.0, 0.2], control=[0.05, 0.1], terminal=[5.0, 1.0], goal=[1.0, 0.0])
    return ppi.Problem(Cart(noise), cost, [2.0, -1.0], 20)


def test_model_of_the_noise_is_its_derivative():
    problem = linear_problem(ppi.Noise(PROCESS, control=CONTROL, state=STATE))
    rng = np.random.default_rng(0)
    x, u = rng.normal(size=(21, 2)), rng.normal(size=(20, 2))
    model, step = taylor(problem, x, u), problem.plant.step
    for i, deviation in enumerate(CONTROL):
        pushed = u * (1 + deviation * (np.arange(2) == i))
        close(model.G[:, :, 2 + i], step(x[:-1], pushed) - step(x[:-1], u), 1e-13)
    close(model.G[:, :, 4], x[:-1] @ STATE[0].T, 1e-13)
    moved = taylor(problem, x + 1.0, u - 0.5)
    change = np.concatenate([np.full(2, 1.0), np.full(2, -0.5)])
    close(moved.G[:, :, 2:] - model.G[:, :, 2:], np.einsum("tirj,j->tri", model.E, change), 1e-13)


@pytest.mark.parametrize("process", [np.zeros(2), np.array([0.0, 0.1]), PROCESS])
def test_factors_are_contiguous_for_any_rank_of_the_process_noise(process):
    """The kernels take nothing else; how numpy lays joined arrays out depends on the number of columns."""
    solution = ppi.solve(linear_problem(ppi.Noise(process, control=[0.2, 0.1], state=[0.0, 0.05])), ppi.ILQG())
    assert solution.model.G.flags.c_contiguous
    assert solution.status.solved


def test_predicted_cost_is_the_sampled_one():
    problem = linear_problem(ppi.Noise(PROCESS, control=CONTROL, state=STATE))
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    assert solution.status.solved
    deviation = problem.initial.mean - solution.policy.x_ref[0]
    value = solution.value
    predicted = 0.5 * deviation @ value.P[0] @ deviation + value.p[0] @ deviation + value.p0[0]
    result = ppi.evaluate(problem, solution.policy, samples=200_000, seed=1)
    assert abs(result.mean - predicted) < 4 * result.standard_error
    # the policy made for this noise beats the one made for additive noise, on the same samples
    plain = ppi.solve(linear_problem(ppi.Noise(PROCESS)), ppi.ILQG(), starts=1)
    assert np.abs(solution.policy.K).sum() < np.abs(plain.policy.K).sum()
    table = ppi.compare(problem, {"plain": plain.policy, "made for it": solution.policy}, 200_000, seed=2)
    difference = table.differences["made for it"]
    assert difference.mean < -4 * difference.standard_error


def test_rollouts_have_the_moments_of_the_noise():
    noise = ppi.Noise(PROCESS, control=CONTROL, state=STATE)
    problem = linear_problem(noise)
    T, u0, x0 = 20, np.array([1.5, -2.0]), problem.initial.mean
    still = ppi.LinearGaussianPolicy(
        np.zeros((T, 2)), np.tile(u0, (T, 1)), np.zeros((T, 2, 2)), np.zeros((T, 2, 2)), 0.1,
        problem.plant.name, problem.plant.state_names, problem.plant.control_names,
    )  # fmt: skip
    rollouts = ppi.rollout(problem, still, samples=100_000, seed=3)
    assert (rollouts.u == u0).all()  # what was asked for, not what arrived
    B = np.array([[0.02, 0.0], [0.3, -0.2]])
    cov = PROCESS + B @ np.diag(CONTROL**2 * u0**2) @ B.T + STATE[0] @ np.outer(x0, x0) @ STATE[0].T
    after = rollouts.x[:, 1]
    # 4 standard errors of a mean, and of a covariance of normal numbers
    mean = problem.plant.step(x0[None], u0[None])[0]
    assert (np.abs(after.mean(axis=0) - mean) < 4 * np.sqrt(np.diag(cov) / len(after))).all()
    error = np.sqrt((np.outer(np.diag(cov), np.diag(cov)) + cov**2) / len(after))
    assert (np.abs(np.cov(after.T) - cov) < 4 * error).all()
    # the noises of two stages are independent of each other
    residual = rollouts.x[:, 2] - problem.plant.step(after, rollouts.u[:, 1])
    assert (np.abs(np.corrcoef(after.T, residual.T)[:2, 2:]) < 4 / np.sqrt(len(after))).all()


def test_additive_part_meets_the_same_noise_in_any_company():
    plain, loud = linear_problem(ppi.Noise(PROCESS)), linear_problem(ppi.Noise(PROCESS, control=[1e-12, 0.0]))
    policy = ppi.solve(plain, ppi.ILQG(), starts=1).policy
    one, other = (ppi.rollout(problem, policy, samples=100, seed=0) for problem in (plain, loud))
    close(one.x, other.x, 1e-9)


def test_swing_up_under_noise_in_the_motor():
    class Noisy(CartPole):
        def __init__(self):
            super().__init__()
            self.noise = ppi.Noise(self.noise, control=[0.5])

    plans = {}
    for plant in (CartPole(), Noisy()):
        problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)
        for method in (ppi.ILQG(), ppi.PPI(0.0)):
            solution = ppi.solve(problem, method, seed=0, starts=1)
            assert solution.status.solved
            plans[plant.noise.growing > 0, method.name] = solution
    # single and multiple shooting find the same path and gains, and these shrink with the noise
    close(plans[True, "ilqg"].policy.K, plans[True, "ppi"].policy.K, 1e-3)
    close(plans[True, "ilqg"].nominal_cost, plans[True, "ppi"].nominal_cost, 1e-5)
    size = {key: np.abs(solution.policy.K).sum() for key, solution in plans.items()}
    assert size[True, "ilqg"] < 0.999 * size[False, "ilqg"]


BAD = {
    "negative": ({"control": [-0.1, 0.1]}, "control noise has the entry -0.1"),
    "not finite": ({"state": [np.nan, 0.0]}, "state noise has a non-finite entry"),
    "a matrix": ({"control": np.eye(2)}, "control noise has shape"),
    "not square": ({"state": np.ones((1, 2, 3))}, "state noise has shape"),
}


@pytest.mark.parametrize(("arguments", "message"), BAD.values(), ids=BAD)
def test_bad_factors_are_refused_in_one_line(arguments, message):
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        ppi.Noise(PROCESS, **arguments)
    assert "\n" not in str(caught.value)


def test_noise_of_another_plant_is_refused():
    with pytest.raises(ppi.PlantError, match="the control noise is for 3 controls; the plant has 2"):
        Cart(ppi.Noise(PROCESS, control=[0.1, 0.1, 0.1]))
    with pytest.raises(ppi.PlantError, match="the process noise is for 1 states; the plant has 2"):
        Cart(ppi.Noise([0.1]))
