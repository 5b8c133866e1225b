"""Gymnasium both ways: its environments step as their plants do, environments of problems pay what rollouts cost."""

import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
from mujoco_models import arm, drone, random_policy

import ppi_robotics as ppi
from plants import CartPole, Pendulum

gymnasium = pytest.importorskip("gymnasium")
pytest.importorskip("imageio")  # gymnasium's MuJoCo environments load it
from gymnasium.utils.env_checker import check_env  # noqa: E402

WORLDS = ("InvertedPendulum-v5", "InvertedDoublePendulum-v5", "Reacher-v5", "Pusher-v5")
STEPS = 1000  # time limit of the pendulums


class Slider(ppi.SymbolicPlant):
    """A mass on a line with noise of every kind, and a limit."""

    state_names, control_names, dt = ("position", "velocity"), ("force",), 0.1
    control_limits = [(-2.0, 2.0)]
    noise = ppi.Noise([0.0, 0.04], control=[0.5], state=[0.0, 0.3])

    def transition(self, x, u):
        return ppi.vertcat(x[0] + self.dt * x[1], x[1] + self.dt * u[0])


class Runaway(Slider):
    """Grows a hundredfold a stage."""

    noise = None

    def transition(self, x, u):
        return ppi.vertcat(100 * x[0], x[1] + u[0])


class Square(gymnasium.ActionWrapper):
    """Turns actions into others."""

    def action(self, action):
        return 0.5 * action


class Stuck(Square):
    """Leaves actions no room."""

    action_space = gymnasium.spaces.Box(0.0, 0.0, (1,))


def quadratic(plant, **options):
    return ppi.Quadratic(np.ones(plant.ndx), 0.1 * np.ones(plant.nu), 2.0 * np.ones(plant.ndx), **options)


def problem_of(plant, initial=None, horizon=20):
    initial = plant.state() if initial is None and isinstance(plant, ppi.MujocoPlant) else initial
    return ppi.Problem(plant, quadratic(plant), np.zeros(plant.nx) if initial is None else initial, horizon)


def episode(env, act, seed=0):
    """Observations, rewards, the last flags and infos of one episode."""
    observation, info = env.reset(seed=seed)
    observations, rewards, infos, over = [observation], [], [info], False
    while not over:
        observation, reward, *flags, info = env.step(act(len(rewards), observation))
        observations.append(observation)
        rewards.append(reward)
        infos.append(info)
        over = any(flags)
    return np.array(observations), rewards, flags, infos


@pytest.fixture
def make():
    made = []

    def make(name, **options):
        made.append(gymnasium.make(name, **options))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.fixture(scope="module")
def balance():
    """A problem of InvertedPendulum-v5, and a policy: iLQG's of a stage far from the ends, held for all stages."""
    env = gymnasium.make("InvertedPendulum-v5")
    plant = ppi.gym.plant_of(env)
    env.close()
    cost = ppi.Quadratic([1, 1, 0.1, 0.1], [0.01], [1, 1, 0.1, 0.1])
    short = ppi.solve(ppi.Problem(plant, cost, np.zeros(4), 100), ppi.ILQG(), starts=1, policy=resting(plant, 100))
    held = {
        name: np.repeat(getattr(short.policy, name)[40:41], STEPS, axis=0) for name in ("x_ref", "u_ref", "K", "cov")
    }
    return ppi.Problem(plant, cost, np.zeros(4), STEPS), replace(short.policy, **held)


def resting(plant, horizon, u=0.0):
    """A constant control."""
    shapes = (horizon, plant.nx), (horizon, plant.nu), (horizon, plant.nu, plant.ndx), (horizon, plant.nu, plant.nu)
    x_ref, u_ref, K, cov = map(np.zeros, shapes)
    return ppi.LinearGaussianPolicy(x_ref, u_ref + u, K, cov, plant.dt, plant.name)


# -- policies in gymnasium's environments ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", WORLDS)
def test_a_step_of_an_environment_is_a_stage_of_its_plant(make, name):
    env = make(name)
    inner, plant = env.unwrapped, ppi.gym.plant_of(env)
    assert (plant.name, plant.substeps, plant.nu) == (name, inner.frame_skip, env.action_space.shape[0])
    assert plant.dt == pytest.approx(inner.dt)
    env.action_space.seed(0)
    for seed in range(3):
        env.reset(seed=seed)
        x, u = plant.read(inner.data), env.action_space.sample()
        env.step(u)
        # the same bits: after a reset both start the constraint solver alike
        np.testing.assert_array_equal(plant.read(inner.data), plant.step(x[None], u[None].astype(float))[0])


def test_the_plant_keeps_its_own_model_and_takes_sensors(make):
    env = make("Reacher-v5")
    plant = ppi.gym.plant_of(env, noise=1e-4 * np.ones(8))
    assert plant.noise.columns == 8
    kind = {"type": 0, "objtype": 0}  # any, to be seen refused below
    env.unwrapped.model.body_mass[1] *= 2
    changed = ppi.gym.plant_of(env)
    assert changed.model.body_mass[1] == 2 * plant.model.body_mass[1]
    assert changed.model is not env.unwrapped.model
    with pytest.raises(ppi.PlantError, match="given as an MjModel"):
        changed.with_sensors({"tip": kind})
    cost = ppi.TaskCost(stage=[ppi.JointPosition("joint0", 0.5, 1.0), ppi.CenterOfMass("body1", [0.1, 0, 0], 1.0)])
    assert ppi.Problem(plant, cost, np.zeros(8), 5).plant.model.nsensor > 0


def test_a_policy_keeps_the_pendulum_up(make, balance):
    problem, policy = balance
    env, plant = make("InvertedPendulum-v5"), problem.plant
    kept = ppi.gym.evaluate(env, policy, plant, episodes=3, seed=5, problem=problem)
    assert kept.returns.tolist() == [STEPS] * 3
    assert kept.lengths.tolist() == [STEPS] * 3
    assert kept.truncated.all()
    assert not kept.terminated.any()
    assert (kept.mean, kept.standard_error, kept.seed) == (STEPS, 0.0, 5)
    fallen = ppi.gym.evaluate(env, lambda data: np.zeros(1), plant, episodes=3, seed=5, problem=problem)
    assert fallen.terminated.all()
    assert (fallen.costs > kept.costs).all()
    assert fallen.standard_error == pytest.approx(np.std(fallen.returns, ddof=1) / np.sqrt(3))
    assert str(kept).splitlines()[:2] == [
        "InvertedPendulum-v5: return 1000 [1000, 1000], 3 episodes of 1000 steps, seed 5",
        "0 terminated, 3 truncated",
    ]
    assert f"episodes of {fallen.lengths.min()} to {fallen.lengths.max()} steps" in str(fallen)


def test_a_regulator_keeps_the_double_pendulum_up(make):
    env = make("InvertedDoublePendulum-v5")
    plant = ppi.gym.plant_of(env)
    A, B = (derivative[0] for derivative in plant.linearize(np.zeros((1, 6)), np.zeros((1, 1))))
    Q, R = np.diag([1, 10, 10, 0.1, 0.1, 0.1]), np.array([[0.1]])
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    K = -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)
    policy = replace(resting(plant, 1), K=K[None])  # of one stage, which goes on acting
    kept = ppi.gym.evaluate(env, policy, plant, episodes=3)
    assert kept.lengths.tolist() == [STEPS] * 3
    assert (kept.returns > 9 * STEPS).all()  # 10 a step upright, less what the tip lacks to the height that is wanted


def test_the_cost_of_an_episode_is_that_of_the_rollout(make, balance):
    problem, policy = balance
    x0 = np.array([0.1, 0.05, 0.0, -0.1])
    problem = ppi.Problem(problem.plant, problem.cost, x0, STEPS)
    run = ppi.gym.evaluate(make("InvertedPendulum-v5"), policy, problem.plant, 1, initial=x0, problem=problem)
    # actions are rounded to 32 bits, 1e-7 of their size; about an optimum that changes the cost by its square
    np.testing.assert_allclose(run.costs, ppi.rollout(problem, policy).cost, rtol=1e-7)
    assert np.isnan(run.standard_error)


def test_all_kinds_of_policies_act(make, balance):
    problem, policy = balance
    env, plant, x0 = make("InvertedPendulum-v5"), problem.plant, np.array([0.0, 0.05, 0.0, 0.0])

    def costs(policy):
        return ppi.gym.evaluate(env, policy, plant, 2, horizon=40, initial=x0, problem=problem).costs

    plain = costs(policy)
    assert plain[0] == plain[1]
    np.testing.assert_allclose(costs(ppi.Controller(policy, plant)), plain, rtol=1e-6)
    short = ppi.Problem(plant, problem.cost, np.zeros(4), 60)
    with ppi.RecedingHorizon(short, ppi.ILQG(max_iterations=2), replan_every=10, policy=resting(plant, 60)) as mpc:
        planned = costs(mpc)
        assert planned[0] == planned[1]  # both episodes start with a first plan
        assert costs(ppi.Controller(mpc, plant))[1] == planned[1]
    assert planned[0] < 2 * plain[0]  # a horizon of 60 stages is long beside the fall


def test_episodes_are_seeded_one_by_one(make):
    env = make("InvertedDoublePendulum-v5")
    plant = ppi.gym.plant_of(env)
    policy = resting(plant, 50)
    first, again = (ppi.gym.evaluate(env, policy, plant, 4, seed=3).returns for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert len(set(first)) == 4
    np.testing.assert_array_equal(ppi.gym.evaluate(env, policy, plant, 2, seed=5).returns, first[2:])


def test_ctrl_c_keeps_the_episodes_that_are_finished(make):
    env, before = make("Reacher-v5"), signal.signal(signal.SIGINT, signal.default_int_handler)
    plant, calls = ppi.gym.plant_of(env), []

    def policy(_data):
        calls.append(0)
        if len(calls) == 120:  # in the third episode of 50 steps
            signal.raise_signal(signal.SIGINT)
        return np.zeros(plant.nu)

    part = ppi.gym.evaluate(env, policy, plant, episodes=8, seed=3)
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler
    assert part.interrupted
    assert "interrupted" in str(part)
    whole = ppi.gym.evaluate(env, lambda _: np.zeros(plant.nu), plant, episodes=3, seed=3)
    assert not whole.interrupted
    np.testing.assert_array_equal(part.returns, whole.returns)


def test_initial_states_and_horizons_are_those_given(make):
    env = make("Reacher-v5")
    plant, goal = ppi.gym.plant_of(env), np.array([0.1, -0.05])
    starts = np.zeros((2, 8))
    starts[:, 2:4], starts[1, 0] = goal, 1.0
    seen = []

    def still(data):
        seen.append(plant.read(data))
        return np.zeros(2)

    runs = ppi.gym.evaluate(env, still, plant, 2, horizon=7, initial=starts)
    np.testing.assert_array_equal(seen[::7], starts)
    assert runs.lengths.tolist() == [7, 7]
    assert runs.truncated.all()
    assert runs.costs is None
    assert ppi.gym.evaluate(env, still, plant, 1).lengths.tolist() == [50]  # the environment's own limit
    assert runs.returns[0] == pytest.approx(-7 * np.hypot(0.21 - 0.1, 0.05))  # a straight arm of 0.21 m, far from goal


def test_a_simulation_that_breaks_down_ends_the_episode(make, balance, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log
    problem, policy = balance
    x0 = np.array([0.0, 0.0, 1e11, 0.0])
    run = ppi.gym.evaluate(make("InvertedPendulum-v5"), policy, problem.plant, 2, initial=x0, problem=problem)
    assert run.diverged.all()
    assert run.lengths.tolist() == [1, 1]
    assert np.isinf(run.costs).all()
    assert "2 diverged" in str(run)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"env": 3}, "env is 3; expected a gymnasium environment with a MuJoCo model"),
        ({"env": "CartPole-v1"}, "expected a gymnasium environment with a MuJoCo model"),
        ({"env": "Reacher-v5"}, "positions, velocities, activations and controls, the environment"),
        ({"frame_skip": 5}, "lasts 0.04 s, a step of the environment 0.1 s"),
        ({"wrap": Square}, "the environment turned the action"),
        ({"wrap": lambda env: env.unwrapped}, "has no time limit"),
        ({"wrap": Stuck}, "the action space .* is empty; give the model's actuators a ctrlrange"),
        ({"plant": None}, "plant is None; expected a MujocoPlant"),
        ({"policy": 3}, "policy is 3; expected a LinearGaussianPolicy"),
        ({"policy": lambda data: [np.nan]}, "the control of the policy has a non-finite entry"),
        ({"policy": lambda data: np.zeros(2)}, r"the control of the policy has shape \(2,\); expected \(1,\)"),
        ({"episodes": 0}, "episodes is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"horizon": 0}, "horizon is 0"),
        ({"initial": np.zeros(3)}, r"initial has shape \(3,\); expected \(4,\)"),
        ({"initial": np.zeros((3, 4))}, r"initial has shape \(3, 4\); expected \(2, 4\)"),
        ({"problem": 3}, "problem is 3; expected a Problem, or None"),
        ({"problem": problem_of(Slider())}, "state it for that one"),
    ],
)
def test_evaluation_refuses_what_does_not_fit(make, balance, options, message):
    problem, policy = balance
    options = dict(options)
    env, frame_skip = options.pop("env", "InvertedPendulum-v5"), options.pop("frame_skip", None)
    env = make(env, **({} if frame_skip is None else {"frame_skip": frame_skip})) if isinstance(env, str) else env
    env = options.pop("wrap", lambda env: env)(env)
    arguments = {"policy": lambda data: np.ones(1), "plant": problem.plant, "episodes": 2} | options
    with pytest.raises(ppi.ProblemError, match=message) as error:
        ppi.gym.evaluate(env, **arguments)
    assert "\n" not in str(error.value)


def test_policies_of_other_plants_and_given_substeps_are_refused(make, balance):
    env, problem = make("InvertedPendulum-v5"), balance[0]
    with pytest.raises(ppi.ProblemError, match="made for plant 'arm'"):
        ppi.gym.evaluate(env, random_policy(arm(), 5), problem.plant)
    for given in ({"substeps": 2}, {"dt": 0.04}):
        with pytest.raises(ppi.ProblemError, match="leave it out"):
            ppi.gym.plant_of(env, **given)


# -- problems as environments ------------------------------------------------------------------------------------------

PLANTS = {
    "cart-pole": lambda: CartPole(force_limit=5.0),
    "cart-pole without limits": CartPole,
    "pendulum": Pendulum,
    "arm": lambda: arm(noise=1e-4 * np.ones(4)),
    "drone": drone,
}


@pytest.mark.filterwarnings("ignore:.*Box (observation|action) space (minimum|maximum) value is -?infinity")
@pytest.mark.filterwarnings("ignore:.*we recommend using a symmetric and normalized space")
@pytest.mark.filterwarnings("ignore:.*Not able to test alternative render modes")
@pytest.mark.parametrize("name", PLANTS)
def test_environments_pass_the_checks_of_gymnasium(name):
    plant = PLANTS[name]()
    env = ppi.gym.Environment(problem_of(plant))
    check_env(env)
    np.testing.assert_array_equal(np.stack([env.action_space.low, env.action_space.high], axis=1), plant.control_limits)
    assert env.observation_space.shape == (plant.nx,)


@pytest.mark.parametrize(
    "plant", [CartPole(sigma=0, cart_sigma=0, force_limit=1.0), Pendulum(sigma=0), arm(), drone()], ids=lambda p: p.name
)
def test_the_return_is_minus_the_cost_of_the_rollout(plant):
    problem = problem_of(plant)
    policy = random_policy(plant, 20, scale=0.5, x_ref=problem.initial.mean)
    record = ppi.rollout(problem, policy)
    x, rewards, flags, infos = episode(ppi.gym.Environment(problem), policy.mean)
    # up to rounding: the compiled loops of symbolic plants fuse and order sums in another way
    np.testing.assert_allclose(x, record.x[0], rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(-sum(rewards), record.cost[0], rtol=1e-12)
    assert infos[-1]["cost"] == pytest.approx(record.cost[0], rel=1e-12)
    assert flags == [False, True]
    assert [info["time"] for info in infos] == pytest.approx(plant.dt * np.arange(21))


def test_a_mujoco_plant_takes_the_same_steps_bit_by_bit():
    problem = problem_of(arm())
    record = ppi.rollout(problem, random_policy(problem.plant, 20))
    x, *_ = episode(ppi.gym.Environment(problem), lambda t, _: record.u[0, t])
    np.testing.assert_array_equal(x, record.x[0])


def test_the_terminal_cost_is_paid_with_the_last_stage():
    problem = problem_of(Slider(), [1.0, 0.0], 3)
    x, rewards, *_ = episode(ppi.gym.Environment(problem), lambda *_: [1.0])
    stages = (x[:-1] ** 2).sum(axis=1) + 0.1
    stages[-1] += 2.0 * (x[-1] ** 2).sum()
    np.testing.assert_allclose(rewards, -stages, rtol=1e-12)


def test_controls_are_clipped_where_rollouts_clip_them():
    env = ppi.gym.Environment(problem_of(Runaway()))
    ends = [episode(env, lambda *_, u=u: [u])[:2] for u in (2.0, 7.0)]
    np.testing.assert_array_equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


def test_seeds_reproduce_noise_and_initial_state():
    initial = ppi.Gaussian([1.0, 0.0], np.diag([0.1, 0.2]))
    env = ppi.gym.Environment(problem_of(Slider(), initial))
    one, same, other = (episode(env, lambda *_: [0.5], seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    np.testing.assert_array_equal(episode(env, lambda *_: [0.5], None)[0], episode_after(env, 2))


def episode_after(env, seed):
    """Observations of the episode after a seeded one."""
    episode(env, lambda *_: [0.5], seed)
    return episode(env, lambda *_: [0.5], None)[0]


def test_noise_and_initial_state_have_their_distributions():
    mean, cov, plant = np.array([1.0, -1.0]), np.array([[0.2, 0.1], [0.1, 0.3]]), Slider()
    env = ppi.gym.Environment(problem_of(plant, ppi.Gaussian(mean, cov)))
    N = 4000
    starts = np.array([env.reset(seed=i)[0] for i in range(N)])
    at, u = np.array([0.5, 2.0]), np.array([1.5])
    ends = []
    for i in range(N):
        env.reset(seed=i, options={"initial": at})
        ends.append(env.step(u)[0])
    G, _ = plant.noise.local(at[None], u[None], np.array([[[0.0], [0.1]]]))
    for sample, m, V in ((starts, mean, cov), (np.array(ends), plant.step(at[None], u[None])[0], G[0] @ G[0].T)):
        # five standard errors of means and covariances of normal samples
        assert (np.abs(sample.mean(axis=0) - m) <= 5 * np.sqrt(np.diag(V) / N) + 1e-12).all()
        spread = np.sqrt((np.outer(np.diag(V), np.diag(V)) + V**2) / N)
        assert (np.abs(np.cov(sample.T) - V) <= 5 * spread + 1e-12).all()


def test_a_state_that_runs_away_terminates_as_its_rollout_diverges():
    problem = problem_of(Runaway(), [1.0, 0.0])
    x, rewards, flags, infos = episode(ppi.gym.Environment(problem), lambda *_: [0.0])
    assert flags == [True, False]
    assert np.isfinite(x).all()
    assert sum(rewards) == -np.inf == -infos[-1]["cost"] == -ppi.rollout(problem, resting(problem.plant, 20)).cost[0]


def test_observations_successes_and_initial_states_are_as_asked_for():
    plant = Slider()
    problem = ppi.Problem(plant, quadratic(plant), [1.0, 0.0], 2, success=lambda x: x[:, 0] > 3)
    env = ppi.gym.Environment(problem, observation=lambda x: [np.sin(x[0]), x[0], x[1]])
    assert env.observation_space.shape == (3,)
    observation, info = env.reset(options={"initial": [4.0, 0.0]})
    np.testing.assert_array_equal(observation, [np.sin(4.0), 4.0, 0.0])
    assert info == {"time": 0.0, "cost": 0.0}
    assert "success" not in env.step([0.0])[-1]
    assert env.step([0.0])[-1]["success"] is True
    assert episode(env, lambda *_: [0.0])[-1][-1]["success"] is False


@pytest.mark.filterwarnings("ignore:.*Box (observation|action) space")
def test_wrappers_and_vectors_of_gymnasium_work():
    problem = problem_of(Slider(), [1.0, 0.0])
    env = gymnasium.wrappers.TimeAwareObservation(
        gymnasium.wrappers.TimeLimit(ppi.gym.Environment(problem), problem.horizon)
    )
    assert episode(env, lambda *_: [0.0])[0].shape == (21, 3)
    several = gymnasium.vector.SyncVectorEnv([lambda: ppi.gym.Environment(problem)] * 3)
    several.reset(seed=0)
    rewards = several.step(np.zeros((3, 1)))[1]
    np.testing.assert_allclose(rewards, -np.ones(3))


def test_pictures_show_the_present_state(monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")  # a stick figure, the same on every machine
    for plant, start in ((CartPole(), [0.0, 0.0, 0.0, 0.0]), (arm(), np.zeros(4))):
        env = ppi.gym.Environment(problem_of(plant, start), render_mode="rgb_array")
        with pytest.raises(ppi.ProblemError, match="reset"):
            env.render()
        pictures = []
        for angle in (0.0, 1.0, 0.0):
            env.reset(options={"initial": [0.0, angle, 0.0, 0.0]})
            pictures.append(env.render())
        assert pictures[0].dtype == np.uint8
        assert pictures[0].shape[2] == 3
        np.testing.assert_array_equal(pictures[0], pictures[2])
        assert (pictures[0] != pictures[1]).any()
        env.step(np.ones(plant.nu))
        assert (env.render() != pictures[2]).any()
        env.close()
        env.close()
        with pytest.raises(ppi.ProblemError, match="close it last"):
            env.render()
    assert ppi.gym.Environment(problem_of(CartPole())).render() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"problem": 3}, "problem is 3; expected a Problem"),
        ({"observation": 3}, "observation is 3; expected a function"),
        ({"observation": lambda x: x[0]}, "observation.x. has shape"),
        ({"observation": lambda x: [np.nan]}, "observation.x. has a non-finite entry"),
        ({"render_mode": "human"}, "render_mode is 'human'; expected None or 'rgb_array'"),
        ({"render_mode": "rgb_array"}, "has no draw.x. and view"),
        ({"problem": problem_of(CartPole()), "render_mode": "rgb_array", "camera": "top"}, "draws itself"),
        ({"problem": problem_of(arm()), "render_mode": "rgb_array", "camera": "top"}, "camera is 'top'"),
    ],
)
def test_environments_refuse_what_does_not_fit(options, message):
    with pytest.raises(ppi.ProblemError, match=message) as error:
        ppi.gym.Environment(**{"problem": problem_of(Slider())} | options)
    assert "\n" not in str(error.value)


def test_steps_and_resets_refuse_what_does_not_fit():
    env = ppi.gym.Environment(problem_of(Slider(), horizon=2))
    with pytest.raises(ppi.ProblemError, match="call reset first"):
        env.step([0.0])
    episode(env, lambda *_: [0.0])
    with pytest.raises(ppi.ProblemError, match="call reset first"):
        env.step([0.0])
    for options, message in (({"start": 0}, "options has 'start'"), ({"initial": [0.0]}, "initial has shape")):
        with pytest.raises(ppi.ProblemError, match=message):
            env.reset(options=options)
    env.reset()
    for action, message in (([np.nan], "non-finite"), ([0.0, 0.0], "shape"), ("left", "array of numbers")):
        with pytest.raises(ppi.ProblemError, match=f"action .*{message}"):
            env.step(action)


# -- access ------------------------------------------------------------------------------------------------------------


def test_the_module_is_found_and_says_what_it_lacks():
    assert "gym" in dir(ppi)
    assert "gym" not in ppi.__all__  # so that `import *` works without gymnasium
    program = "import sys; sys.modules['gymnasium'] = None\nimport ppi_robotics as ppi\n"
    program += "try: ppi.gym\nexcept ppi.ProblemError as error: print(error)"
    said = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout
    assert said == "ppi.gym needs the package gymnasium; pip install ppi-robotics[gym]\n"
