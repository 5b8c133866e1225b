"""Time in costs on MuJoCo plants: stage t of a problem is at (first_stage + t) dt wherever its sensors are read."""

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi
from ppi_robotics.discrete import Grid, discretize

SLIDE = bodies.mjcf(
    "<body><joint name='cart' type='slide' axis='1 0 0' damping='.1'/><geom size='.1' mass='1'/></body>",
    "<motor name='force' joint='cart' ctrlrange='-50 50'/>",
    more="<sensor><jointpos name='place' joint='cart'/><clock name='clock'/></sensor>",
)
T, PACE = 12, 4.0


def wave(x, u, y):
    return x[:, :1] - np.sin(PACE * y["clock"])


COST = ppi.TaskCost(
    stage=[ppi.Residual(wave, sensors=("clock",), weight=10.0), ppi.Effort(1e-3)],
    terminal=[ppi.Residual(wave, sensors=("clock",), weight=30.0), ppi.SensorValue("clock", 1.0, 0.5)],
)


def by_hand(plant, x, u, first=0):
    """Costs (T + 1,) of a path by the time of its stages."""
    t = plant.dt * (first + np.arange(len(x)))
    miss = np.square(x[:, 0] - np.sin(PACE * t))
    return np.append(10 * miss[:-1] + 1e-3 * (u**2).sum(axis=1), 30 * miss[-1] + 0.5 * (t[-1] - 1) ** 2)


@pytest.fixture(scope="module")
def plant():
    return ppi.MujocoPlant(SLIDE, substeps=2)


def problem_of(plant, first=0, x=(0.1, 0.3)):
    return ppi.Problem(plant, COST, np.array(x), T, first_stage=first)


@pytest.mark.parametrize("integrator", ["Euler", "RK4"])
def test_a_clock_tells_the_time_of_the_stage(integrator):
    plant = ppi.MujocoPlant(SLIDE.replace("<option", f"<option integrator='{integrator}'"), 3)
    x, u, stages = np.zeros((4, 2)), np.zeros((4, 1)), np.array([0, 7, 1, 1000])
    time = stages * plant.dt
    np.testing.assert_array_equal(plant.sense(x, u, stages)[:, 1], time)
    np.testing.assert_array_equal(plant.differentiate(x, u, stages)[1][:, 1], time)
    np.testing.assert_array_equal(plant.measure(x, u, stage=5)[:, 1], 5 * plant.dt)
    np.testing.assert_array_equal(plant.sense(x)[:, 1], 0.0)
    law = plant.simulations.law(np.zeros((T, 2)), np.zeros((1, T, 1)))
    seen = plant.simulations.roll(law, x, stage=stages)[2][:, :, 1]
    np.testing.assert_array_equal(seen, (stages[:, None] + np.arange(T + 1)) * plant.dt)
    data = mujoco.MjData(plant.model)
    for t in range(T):  # a plain loop reads the time that it has added up
        assert data.time == pytest.approx(seen[0, t], abs=1e-14)
        for s in range(3):
            mujoco.mj_step(plant.model, data)
            assert s > 0 or data.sensordata[1] == pytest.approx(seen[0, t], abs=1e-14)


@pytest.mark.parametrize("first", [0, 31])
def test_costs_of_time_are_the_same_in_rollouts_and_in_expansions(plant, first):
    problem = problem_of(plant, first)
    law = bodies.policy(problem.plant, T)
    x, u = (part[0] for part in (lambda r: (r.x, r.u))(ppi.rollout(problem, law)))
    expected = by_hand(plant, x, u, first)
    close(ppi.evaluate(problem, law, samples=2).mean, expected.sum(), 1e-12)
    close(problem.cost.quadratize(x, u)[0], expected, 1e-12)
    close(problem.cost.trajectory(x, u), expected.sum(), 1e-12)
    close([problem.cost.stage(x[t : t + 1], u[t : t + 1], t)[0] for t in range(T)], expected[:-1], 1e-12)
    close(problem.cost.terminal(x[-1:])[0], expected[-1], 1e-12)
    step, slopes = 1e-6, problem.cost.quadratize(x, u)[1:3]
    for t in range(T):
        for part, of in ((x, slopes[0]), (u, slopes[1])):
            moved = [np.array(part), np.array(part)]
            moved[0][t, 0] += step
            moved[1][t, 0] -= step
            ends = [by_hand(plant, *((p, u) if part is x else (x, p)), first).sum() for p in moved]
            close(of[t, 0], (ends[0] - ends[1]) / (2 * step), 1e-7)


def test_the_cost_of_a_solution_is_that_of_its_rollout(plant):
    problem = problem_of(plant, 5)
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    assert solution.status.solved
    expected = by_hand(plant, solution.x, solution.u, 5).sum()
    close([solution.cost, solution.nominal_cost], [expected] * 2, 1e-9)
    fixed = ppi.solve(problem_of(plant, 0), ppi.ILQG(), starts=1)
    assert by_hand(plant, fixed.x, fixed.u, 5).sum() > 1.1 * expected  # planned for another time


def test_the_time_of_a_receding_horizon_runs_on(plant):
    problem = problem_of(plant)
    mpc, x = ppi.RecedingHorizon(problem, ppi.ILQG(), replan_every=2), problem.initial.mean
    for t in range(5):
        u = mpc.command(x)
        fresh = ppi.solve(problem_of(plant, 2 * (t // 2), mpc.solution.x[0]), ppi.ILQG(), starts=1)
        close(mpc.solution.u, fresh.u, 1e-4)  # both stop at a relative step of 1e-6 in the cost
        x = plant.step(x[None], u[None])[0]
    mpc.retarget(problem_of(plant, 100))
    mpc.command(x)
    close(mpc.solution.u, ppi.solve(problem_of(plant, 105, x), ppi.ILQG(), starts=1).u, 1e-4)


def test_an_episode_pays_by_the_time():
    gymnasium = pytest.importorskip("gymnasium")
    from ppi_robotics.gym import Environment

    problem = problem_of(ppi.MujocoPlant(SLIDE, substeps=2), 3)
    env, paid, u = Environment(problem), 0.0, np.full((T, 1), 0.7)
    assert isinstance(env, gymnasium.Env)
    env.reset(seed=0)
    for control in u:
        paid -= env.step(control)[1]
    law = ppi.LinearGaussianPolicy(np.zeros((T, 2)), u, np.zeros((T, 1, 2)), np.zeros((T, 1, 1)), problem.plant.dt)
    close(paid, ppi.rollout(problem, law).cost[0], 1e-12)


def test_grids_refuse_costs_that_change_with_time():
    plant = ppi.MujocoPlant(SLIDE, substeps=2)
    grid, controls = Grid.regular([-1, -1], [1, 1], (3, 3)), [[-1.0], [1.0]]
    with pytest.raises(ppi.ProblemError, match="the cost reads a clock"):
        discretize(problem_of(plant), grid, controls)
    still = ppi.TaskCost(stage=[ppi.SensorValue("place", 0.0)])
    discretize(ppi.Problem(plant, still, plant.state(), 3), grid, controls)


@pytest.mark.parametrize("stage", [-1, 1.5, None, "2", [0, 1], [0.0, 1.0, 2.0], [0, -1, 2]])
def test_stages_that_are_none_are_refused(stage):
    plant = ppi.MujocoPlant(SLIDE)
    with pytest.raises(ppi.ProblemError, match="stage is"):
        plant.sense(np.zeros((3, 2)), stage=stage)
    if not isinstance(stage, list):
        with pytest.raises(ppi.ProblemError, match="first_stage is"):
            problem_of(plant, stage)
