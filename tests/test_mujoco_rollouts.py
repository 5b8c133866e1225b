"""Closed-loop rollouts of MuJoCo plants against plain loops of mj_step, threads, noise, and simulations that fail."""

import math

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi
from ppi_robotics.gaussian import covariance_factor
from ppi_robotics.kernels.lanes import normals
from ppi_robotics.policy import control_factors

T = 15
PROCESS, INITIAL, CONTROL, ACTUATOR = range(4)  # streams


def plant_of(name, noisy=True, **options):
    bare = ppi.MujocoPlant(bodies.MODELS[name])
    noise = ppi.Noise(np.full(bare.ndx, 1e-4), control=np.full(bare.nu, 0.2)) if noisy else None
    return ppi.MujocoPlant(bodies.MODELS[name], substeps=2, noise=noise, name=name, **options)


def problem_of(plant, spread=0.0, horizon=T):
    start = plant.state()
    if "free x" in plant.state_names:
        start[2] = 0.5
    goal = plant.retract(start, 0.2 * np.ones(plant.ndx))
    cost = ppi.Quadratic(np.arange(1.0, plant.ndx + 1), np.full(plant.nu, 0.3), np.full(plant.ndx, 5.0), goal)
    initial = ppi.Gaussian(start, spread * np.eye(plant.ndx), plant.quaternions)
    return ppi.Problem(plant, cost, initial, horizon)


def draws(seed, stream, sample, stage, count):
    z = np.empty((count, 1))
    normals(np.uint64(seed), np.uint64(stream), sample, stage, z)
    return z[:, 0]


def loop(problem, policy, drawn):
    """One closed loop of mj_step in plain Python; drawn(stream, stage, count) gives normal numbers."""
    plant, model = problem.plant, problem.plant.model
    data, cost, noise = mujoco.MjData(model), problem.cost, plant.noise
    x = problem.initial.mean
    factor = covariance_factor(problem.initial.cov)
    if factor.shape[1]:
        x = bodies.moved(model, x, factor @ drawn(INITIAL, 0, factor.shape[1]))
    bodies.set_state(data, x, np.zeros(plant.nu))
    xs, us, S, total = [x], [], control_factors(policy.cov), 0.0
    goal, weights = cost.given.goal, [np.sqrt(w) for w in (cost.given.state, cost.given.control, cost.given.terminal)]
    for t in range(problem.horizon):
        u = policy.mean(t, x)
        if policy.cov.any():
            u = u + S[t] @ drawn(CONTROL, t, plant.nu)
        u = np.clip(u, *plant.control_limits.T)
        data.ctrl = u
        if len(noise.control):
            scales = drawn(ACTUATOR, t, len(noise.control))
            data.ctrl = u + np.einsum("m,mij,j->i", scales, noise.control, u)
        total += np.sum((weights[0] * bodies.apart(model, x, goal)) ** 2) + np.sum((weights[1] * u) ** 2)
        for _ in range(plant.substeps):
            mujoco.mj_step(model, data)
        x = np.r_[data.qpos, data.qvel, data.act]
        if noise.factor.shape[1]:
            x = bodies.moved(model, x, noise.factor @ drawn(PROCESS, t, noise.factor.shape[1]))
            bodies.set_state(data, x, data.ctrl)
        xs.append(x)
        us.append(u)
    return np.array(xs), np.array(us), total + np.sum((weights[2] * bodies.apart(model, x, goal)) ** 2)


def same(a, b):
    for name in ("x", "u", "cost"):
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()


# -- against the loop --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", bodies.MODELS)
def test_without_noise_rollouts_are_the_plain_loop(name):
    plant = plant_of(name, noisy=False)
    problem, policy = problem_of(plant), bodies.policy(plant, T)
    rolled = ppi.rollout(problem, policy)
    for given, expected in zip((rolled.x[0], rolled.u[0], rolled.cost[0]), loop(problem, policy, None), strict=True):
        close(given, expected, 1e-12)
    close(ppi.evaluate(problem, policy, samples=3).cost, np.full(3, rolled.cost[0]), 0.0)


@pytest.mark.parametrize("name", bodies.MODELS)
def test_with_noise_rollouts_are_the_plain_loop_with_the_same_numbers(name):
    plant = plant_of(name)
    problem, policy, seed = problem_of(plant, spread=0.01), bodies.policy(plant, T, spread=0.3), 7
    rolled = ppi.rollout(problem, policy, samples=5, seed=seed, first=3, stochastic=True)
    for i in range(5):
        expected = loop(problem, policy, lambda *where, i=i: draws(seed, where[0], 3 + i, *where[1:]))
        for given, of_loop in zip((rolled.x[i], rolled.u[i], rolled.cost[i]), expected, strict=True):
            close(given, of_loop, 1e-10)  # the loop turns by other formulas; contacts amplify the last bit


def test_statistics_with_noise_are_those_of_numbers_from_numpy():
    plant = plant_of("arm")
    problem, policy = problem_of(plant, spread=0.01), bodies.policy(plant, T, spread=0.3)
    rng = np.random.default_rng(11)
    costs = ppi.Evaluation([loop(problem, policy, lambda _s, _t, n: rng.standard_normal(n))[2] for _ in range(400)])
    ours = ppi.evaluate(problem, policy, samples=4000, seed=3, stochastic=True)
    error = math.hypot(costs.standard_error, ours.standard_error)
    assert abs(costs.mean - ours.mean) < 4 * error
    assert abs(costs.variance - ours.variance) < 4 * math.hypot(
        costs.variance_standard_error, ours.variance_standard_error
    )
    quiet = ppi.rollout(problem_of(plant_of("arm", noisy=False)), policy).cost[0]
    assert abs(ours.mean - quiet) > 10 * error  # the noise matters


# -- samples, seeds, threads -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["box", "arm"])
def test_samples_are_found_again_by_their_number(name):
    plant = plant_of(name)
    problem, policy = problem_of(plant, spread=0.01), bodies.policy(plant, T, spread=0.2)
    result = ppi.evaluate(problem, policy, samples=150, seed=4, stochastic=True)
    rolled = ppi.rollout(problem, policy, samples=150, seed=4, stochastic=True)
    np.testing.assert_array_equal(result.cost, rolled.cost)
    for i in (0, 77, 149):
        replayed = result.replay(i)
        np.testing.assert_array_equal(replayed.x[0], rolled.x[i])
        assert replayed.cost[0] == result.cost[i]
    part = ppi.rollout(problem, policy, samples=20, seed=4, first=100, stochastic=True)
    np.testing.assert_array_equal(part.x, rolled.x[100:120])
    assert ppi.evaluate(problem, policy, samples=150, seed=5, stochastic=True).cost[0] != result.cost[0]
    assert len(np.unique(result.cost)) == 150


@pytest.mark.parametrize("name", bodies.MODELS)
def test_threads_give_equal_bits(name):
    plant = plant_of(name)
    problem, policy = problem_of(plant, spread=0.01), bodies.policy(plant, T, spread=0.3)
    same(*(ppi.rollout(problem, policy, samples=90, seed=2, stochastic=True, threads=threads) for threads in (1, 2)))


@pytest.mark.parametrize("name", ["arm", "box", "runge kutta"])
def test_sensors_and_disturbances_of_a_law_are_those_of_a_plain_loop(name):
    plant, rng, n, nw = plant_of(name), np.random.default_rng(0), 6, 2
    ndx, nu, model = plant.ndx, plant.nu, plant.model
    law = {"K": 0.1 * rng.normal(size=(T, nu, ndx)), "k": rng.normal(size=(T, nu)), "C": plant.noise.control}
    law |= {"G": plant.noise.factor, "S": 0.1 * rng.normal(size=(T, nu, nu)), "F": 0.01 * rng.normal(size=(T, ndx, nw))}
    law |= {"v": rng.normal(size=(T, nw)), "h": rng.normal(size=(T, nw)), "D": 0.1 * rng.normal(size=(T, nw, ndx))}
    x_ref, u_ref = np.tile(plant.state(), (T, 1)), 0.1 * rng.normal(size=(n, T, nu))
    x0, a, last_u = np.tile(plant.state(), (n, 1)), rng.uniform(size=n), rng.normal(size=(n, nu))
    given = plant.simulations.law(x_ref, u_ref, plant.control_limits, **law)
    xs, us, ys, lost = plant.simulations.roll(given, x0, seed=9, first=4, a=a, last_u=last_u)
    assert (lost < 0).all()
    assert ys.shape == (n, T + 1, model.nsensordata)
    for i in range(n):
        data, x = mujoco.MjData(model), x0[i]
        bodies.set_state(data, x, np.zeros(nu))
        for t in range(T):
            dx = bodies.apart(model, x, x_ref[t])
            u = u_ref[i, t] + a[i] * law["k"][t] + law["K"][t] @ dx + law["S"][t] @ draws(9, CONTROL, 4 + i, t, nu)
            u = np.clip(u, *plant.control_limits.T)
            data.ctrl = u + np.einsum("m,mij,j->i", draws(9, ACTUATOR, 4 + i, t, len(law["C"])), law["C"], u)
            for s in range(plant.substeps):
                mujoco.mj_step(model, data)
                if s == 0:
                    close(ys[i, t], data.sensordata, 1e-8)  # forces of contacts amplify the last bit
            w = law["F"][t] @ (law["v"][t] + a[i] * law["h"][t] + law["D"][t] @ dx)
            w = w + law["G"] @ draws(9, PROCESS, 4 + i, t, law["G"].shape[1])
            x = bodies.moved(model, np.r_[data.qpos, data.qvel, data.act], w)
            bodies.set_state(data, x, data.ctrl)
            close(us[i, t], u, 1e-10)
            close(xs[i, t + 1], x, 1e-10)
        data.ctrl = last_u[i]
        mujoco.mj_forward(model, data)
        close(ys[i, T], data.sensordata, 1e-8)


def test_controls_are_clipped_to_the_limits_of_the_model():
    plant = plant_of("arm", noisy=False)
    policy = bodies.policy(plant, T, spread=5.0)
    u = ppi.rollout(problem_of(plant), policy, samples=100, stochastic=True).u
    np.testing.assert_array_equal(u.min(axis=(0, 1)), plant.control_limits[:, 0])
    np.testing.assert_array_equal(u.max(axis=(0, 1)), plant.control_limits[:, 1])


def test_comparisons_meet_the_same_noise():
    plant = plant_of("arm")
    problem = problem_of(plant)
    policies = {"one": bodies.policy(plant, T), "same": bodies.policy(plant, T), "other": bodies.policy(plant, T, 1)}
    table = ppi.compare(problem, policies, samples=50)
    assert table.differences["same"].mean == 0.0
    assert table.differences["other"].mean != 0.0


# -- simulations that fail ---------------------------------------------------------------------------------------------


UNSTABLE = bodies.mjcf(
    "<body><joint name='run' type='slide' axis='1 0 0' stiffness='-60'/><geom size='0.1' mass='1'/></body>",
    "<motor name='force' joint='run'/>",
).replace("timestep='0.01'", "timestep='0.1'")


def failing(scale=2.0, horizon=40):
    """A mass that a spring pushes away, with noise: it leaves all bounds, sooner or later by the noise."""
    plant = ppi.MujocoPlant(UNSTABLE, noise=[0.0, scale], name="mass")
    cost = ppi.Quadratic([1.0, 1.0], [1.0])
    still = [np.zeros((horizon, *shape)) for shape in ((2,), (1,), (1, 2), (1, 1))]
    return ppi.Problem(plant, cost, [0.0, 0.0], horizon), ppi.LinearGaussianPolicy(*still, dt=0.1)


def test_samples_that_diverge_are_counted_cost_infinitely_much_and_tell_when(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    problem, policy = failing(horizon=34, scale=1.0)
    rolled = ppi.rollout(problem, policy, samples=300, seed=1)
    result = ppi.evaluate(problem, policy, samples=300, seed=1)
    lost = np.isinf(result.cost)
    assert 10 < lost.sum() < 290
    assert result.diverged == lost.sum()
    np.testing.assert_array_equal(result.cost, rolled.cost)
    assert list(rolled.diverged) == np.flatnonzero(lost).tolist()
    for i, time in rolled.diverged.items():
        t = round(time / 0.1)
        assert time == pytest.approx(0.1 * t)
        assert np.isfinite(rolled.x[i, :t]).all()
        assert np.isnan(rolled.x[i, t:]).all()
    assert np.isfinite(rolled.x[~lost]).all()
    assert f"infinite cost: {lost.sum()} (samples {np.flatnonzero(lost)[0]}, " in str(result)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_a_reset_of_the_model_hides_nothing(capfd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wild = bodies.PENDULUM.replace("joint='swing'/>", "joint='swing' gear='1e9'/>")
    plant = ppi.MujocoPlant(wild, name="wild")
    for t in (0, 1, 5):
        u_ref = np.zeros((8, 1))
        u_ref[t] = 5e4  # MuJoCo finds the acceleration too large, resets the model and would go on from there
        policy = ppi.LinearGaussianPolicy(np.zeros((8, 2)), u_ref, np.zeros((8, 1, 2)), np.zeros((8, 1, 1)), plant.dt)
        problem = ppi.Problem(plant, ppi.Quadratic([1.0, 1.0], [1e-9]), [0.3, 0.0], 8)
        rolled = ppi.rollout(problem, policy)
        assert rolled.cost[0] == math.inf
        assert rolled.diverged == {0: pytest.approx(0.01 * (t + 1))}
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_states_far_off_are_no_states():
    problem, policy = failing()
    far = ppi.Problem(problem.plant, problem.cost, [2e5, 0.0], 40)
    rolled = ppi.rollout(far, policy, samples=2)
    assert np.isinf(rolled.cost).all()


def test_solves_of_what_diverges_end_in_a_status():
    problem, _ = failing(scale=0.0, horizon=40)
    away = ppi.Problem(problem.plant, problem.cost, [100.0, 0.0], 40)
    solution = ppi.solve(away, ppi.ILQG(), trajectory=(None, np.zeros((40, 1))))
    assert solution.status is ppi.Status.DIVERGED
    with pytest.raises(ppi.SolveError):
        solution.raise_for_status()
    assert ppi.solve(away, ppi.ILQG(), starts=1).status.solved  # cold starts hold the mass where it is


# -- wrong calls -------------------------------------------------------------------------------------------------------


def test_policies_for_other_plants_are_refused():
    arm, ball = plant_of("arm"), plant_of("ball")
    with pytest.raises(ppi.ProblemError, match="solve for this plant"):
        ppi.rollout(problem_of(arm), bodies.policy(ball, T))


@pytest.mark.parametrize(
    ("initial", "message"),
    [
        (np.zeros(3), "initial has shape"),
        (np.zeros(9), "quaternion of length 0"),
        (np.full(9, np.nan), "non-finite"),
        (ppi.Gaussian(np.ones(9), np.eye(9)), "initial has mean of shape"),
    ],
)
def test_starts_that_are_no_states_are_refused(initial, message):
    plant = plant_of("ball")
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        ppi.Problem(plant, ppi.Quadratic(np.ones(plant.ndx), np.ones(plant.nu)), initial, T)
    assert "\n" not in str(caught.value)
