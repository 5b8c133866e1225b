"""Receding horizon: optimal feedback where it is known, warm starts, failures, and a thread that never blocks.

What a thread does is waited for by its effects, and blocked by events, so that no test depends on how long things take.
"""

import itertools
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg

import ppi_robotics as ppi
from plants import CartPole, Pendulum
from ppi_robotics.mpc.replanning import shifted
from ppi_robotics.steps.base import Schedule
from ppi_robotics.steps.single_shooting import SingleShooting

A, B = np.array([[1.0, 0.1], [0.0, 1.0]]), np.array([[0.0], [0.1]])
Q, R = np.diag([1.0, 0.1]), np.array([[0.1]])
PATIENCE = 60.0  # seconds after which a test that waits for the thread fails


class Slider(ppi.SymbolicPlant):
    """A mass on a line with noise on its velocity."""

    state_names, control_names, dt = ("position", "velocity"), ("force",), 0.1
    noise = (0.0, 0.01)

    def transition(self, x, u):
        return ppi.vertcat(x[0] + self.dt * x[1], x[1] + self.dt * u[0])


class Switched(ppi.ILQG):
    """iLQG that does something else first while it is switched on; solve asks it for its plan where it runs."""

    def __init__(self, **options):
        super().__init__(**options)
        object.__setattr__(self, "before", lambda: None)

    def plan(self, problem):
        self.before()
        return super().plan(problem)

    def switch(self, before):
        object.__setattr__(self, "before", before)


class Gate:
    """Holds whoever passes until it is opened."""

    def __init__(self):
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self):
        self.reached.set()
        assert self.open.wait(PATIENCE)


@pytest.fixture(scope="module")
def regulator():
    """A linear-quadratic problem whose horizon is long beside its time constants."""
    return ppi.Problem(Slider(), ppi.Quadratic(Q, R), [1.0, 0.0], 300)


@pytest.fixture(scope="module")
def balance():
    plant = CartPole(force_limit=5.0)
    cost = ppi.Quadratic([1.0, 1.0, 0.1, 0.1], [0.01], [10.0, 10.0, 1.0, 1.0])
    return ppi.Problem(plant, cost, [0.0, 0.1, 0.0, 0.0], 20)


@pytest.fixture
def method():
    return Switched(limits="box", max_iterations=2, damping=0.0, fresh_gains=False)


def lqr():
    """Gain (1, 2) of the infinite-horizon regulator."""
    P = scipy.linalg.solve_discrete_are(A, B, Q, R)
    return -np.linalg.solve(R + B.T @ P @ B, B.T @ P @ A)


def states(n, seed=0):
    """Measured states (n, 4) near the upright one that no model explains."""
    return np.random.default_rng(seed).normal(0.0, [0.1, 0.05, 0.2, 0.3], (n, 4))


def wait_for(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "the planner did not get there"
        time.sleep(0.002)


# -- what is optimal -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every", [1, 4])
def test_under_a_constant_push_it_is_the_regulator_of_an_infinite_horizon(regulator, every):
    # the horizon's end is 30 s away, where the closed loop's deviations have decayed by more than e^-20
    mpc, x, push = ppi.RecedingHorizon(regulator, ppi.ILQG(), every), np.array([1.0, 0.0]), np.array([0.0, 0.05])
    for _ in range(120):
        u = mpc.command(x)
        np.testing.assert_allclose(u, lqr() @ x, atol=1e-7)
        x = A @ x + B @ u + push
    resting = np.linalg.solve(np.eye(2) - A - B @ lqr(), push)
    np.testing.assert_allclose(x, resting, atol=1e-3)


def test_a_new_goal_is_taken_up_at_once(regulator):
    mpc, goal, x = ppi.RecedingHorizon(regulator, ppi.ILQG(), 10), np.array([2.0, 0.0]), np.array([1.0, 0.3])
    mpc.command(x)
    mpc.retarget(ppi.Problem(regulator.plant, ppi.Quadratic(Q, R, goal=goal), [0.0, 0.0], 300))
    np.testing.assert_allclose(mpc.command(x), lqr() @ (x - goal), atol=1e-7)


def test_a_push_is_recovered_from_within_the_limits(balance):
    far = replace(balance, horizon=50)
    mpc, x = ppi.RecedingHorizon(far, ppi.ILQG(limits="box", max_iterations=3)), balance.initial.mean
    for t in range(300):
        u = mpc.command(x)
        assert u.shape == (1,)
        assert abs(u[0]) <= 5.0
        x = balance.plant.step(x[None], u[None])[0] + np.array([0, 0, 0, 1.0 if t == 50 else 0.0])
    assert np.abs(x).max() < 0.1
    assert mpc.report().failures == 0


# -- plans and what they start from --------------------------------------------------------------------------------


def test_the_first_plan_is_a_full_solve_and_later_ones_take_the_methods_iterations(balance):
    method = ppi.ILQG(limits="box", max_iterations=1)
    mpc = ppi.RecedingHorizon(balance, method, seed=3)
    assert mpc.policy is None
    mpc.prepare()
    full = ppi.solve(balance, replace(method, max_iterations=500), seed=3)
    assert mpc.solution.status is ppi.Status.CONVERGED
    np.testing.assert_array_equal(mpc.policy.K, full.policy.K)
    mpc.command(states(1)[0])  # at the stage that is prepared for
    mpc.command(states(1)[0])
    assert mpc.solution.iterations == 1
    assert len(mpc.solution.starts) == 1


def test_the_first_plan_may_start_from_a_policy(balance):
    given = ppi.solve(balance, ppi.ILQG(limits="box"))
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG(limits="box"), policy=given.policy)
    mpc.prepare()
    assert len(mpc.solution.starts) == 1
    np.testing.assert_allclose(mpc.policy.u_ref, given.u, atol=1e-4)


def test_every_plan_starts_at_the_state_that_was_measured(balance):
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG(limits="box", max_iterations=2))
    for x in states(5):
        mpc.command(x)
        np.testing.assert_array_equal(mpc.solution.x[0], x)


@pytest.mark.parametrize("stages", [0, 1, 3, 19])
def test_a_shifted_policy_drops_the_front_and_holds_the_end(balance, stages):
    solution = ppi.solve(balance, ppi.ILQG(limits="box"))
    policy, x = shifted(balance.plant, solution, stages), solution.x[-1]
    for t in range(20):
        old = min(t + stages, 19)
        np.testing.assert_array_equal(policy.u_ref[t], solution.u[old])
        np.testing.assert_array_equal(policy.K[t], solution.policy.K[old])
        if t + stages <= 20:
            expected = solution.x[t + stages]
        else:
            expected = x = balance.plant.step(x[None], solution.u[-1:])[0]
        np.testing.assert_array_equal(policy.x_ref[t], expected)


def test_a_warm_start_is_no_worse_than_going_on_with_the_last_policy(balance):
    mpc, x = ppi.RecedingHorizon(balance, ppi.ILQG(limits="box", max_iterations=1)), balance.initial.mean
    rng = np.random.default_rng(1)
    mpc.prepare()
    for _ in range(10):
        u, last = mpc.command(x), mpc.solution
        x = balance.plant.step(x[None], u[None])[0] + rng.normal(0.0, [0.0, 0.0, 0.1, 0.3])
        mpc.command(x)
        assert mpc.solution.nominal_cost <= followed(balance, shifted(balance.plant, last, 1), x) * (1 + 1e-9)
        x = mpc.solution.x[1]


def followed(problem, policy, x):
    """Cost of a policy's noise-free closed loop from a state."""
    path, controls = [x], []
    for t in range(problem.horizon):
        controls.append(np.clip(policy.mean(t, path[t]), *problem.plant.control_limits.T))
        path.append(problem.plant.step(path[t][None], controls[t][None])[0])
    return problem.cost.trajectory(np.array(path), np.array(controls))


def test_between_replans_and_beyond_the_end_the_policys_feedback_acts(balance, method):
    mpc = ppi.RecedingHorizon(balance, method, 5)
    limits = balance.plant.control_limits[0]
    for t, x in enumerate(states(15)):
        u, elapsed = mpc.command(x), t % 5
        assert (mpc.solution.x[0] == x).all() == (elapsed == 0)
        np.testing.assert_array_equal(u, np.clip(mpc.policy.mean(elapsed, x), *limits))
    method.switch(broken)
    for elapsed, x in enumerate(states(30), start=5):
        u = mpc.command(x)
        np.testing.assert_array_equal(u, np.clip(mpc.policy.mean(min(elapsed, 19), x), *limits))


@pytest.mark.parametrize(
    ("plant", "method"),
    [
        (CartPole(), ppi.ILQG(max_iterations=2)),
        (CartPole(), ppi.PPI(0.1, max_iterations=3)),
        (CartPole(), ppi.LEQG(0.01, max_iterations=2)),
        (CartPole(force_limit=5.0), ppi.ILQG(max_iterations=4)),
    ],
)
def test_the_same_states_give_the_same_bits_also_after_a_reset(balance, plant, method):
    problem = ppi.Problem(plant, balance.cost, balance.initial, 20)
    mpc, other = (ppi.RecedingHorizon(problem, method, 2, seed=5) for _ in range(2))
    first = [mpc.command(x) for x in states(8)]
    mpc.reset()
    assert mpc.policy is None
    np.testing.assert_array_equal([mpc.command(x) for x in states(8)], first)
    np.testing.assert_array_equal([other.command(x) for x in states(8)], first)
    report = mpc.report()
    assert (report.replans, report.adopted, report.failures) == (3, 3, 0)


def test_a_budget_leaves_one_iteration_at_least_and_counts_what_exceeds_it(balance):
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG(limits="box"), budget_ms=1e-6)
    for x in states(5):
        mpc.command(x)
    assert mpc.solution.iterations == 1
    assert mpc.solution.status is ppi.Status.INTERRUPTED
    report = mpc.report()
    assert (report.replans, report.adopted, report.misses, report.deadline) == (4, 4, 4, 1e-9)


@pytest.mark.parametrize("threaded", [False, True])
def test_the_first_plan_of_a_command_keeps_the_budget_and_that_of_prepare_takes_its_time(balance, threaded):
    with ppi.RecedingHorizon(balance, ppi.ILQG(max_iterations=1), budget_ms=1e-6, threaded=threaded) as mpc:
        mpc.command(states(1)[0])
        first = mpc.report()
        assert (len(mpc.solution.starts), mpc.solution.iterations) == (1, 1)
        assert first.first_deadline == 1e-9 < first.first_seconds
        assert str(first).endswith("of 1e-09 s")
        mpc.prepare(states(1)[0])
        assert mpc.solution.status is ppi.Status.CONVERGED
        assert mpc.report().first_deadline == np.inf
        assert str(mpc.report()).endswith(" s")
    ample = ppi.RecedingHorizon(balance, ppi.ILQG(), budget_ms=1e7)
    ample.command(states(1)[0])
    assert ample.solution.status is ppi.Status.CONVERGED
    assert len(ample.solution.starts) == 1


def test_another_method_makes_the_first_plan(balance):
    first = ppi.ILQG(max_iterations=2, limits="box")
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG(max_iterations=1), first=first)
    x = states(2)
    mpc.command(x[0])
    assert mpc.solution.method is first
    assert all(start.iterations <= 2 for start in mpc.solution.starts)
    mpc.command(x[1])
    assert mpc.solution.method.max_iterations == 1
    sampled = ppi.RecedingHorizon(balance, ppi.ILQG(), first=ppi.MPPI(samples=16, max_iterations=3))
    sampled.command(x[0])
    assert sampled.solution.method.name == "mppi"
    sampled.command(x[1])
    assert sampled.solution.method.name == "ilqg"
    assert sampled.report().adopted == 1


# -- failures ------------------------------------------------------------------------------------------------------


def broken():
    raise RuntimeError("no luck")


@pytest.mark.parametrize("threaded", [False, True])
def test_the_last_policy_goes_on_while_replans_raise(balance, method, threaded):
    with ppi.RecedingHorizon(balance, method, threaded=threaded) as mpc:
        mpc.prepare()
        policy = mpc.policy
        method.switch(broken)
        measured = states(3)
        u = [mpc.command(x) for x in measured]
        wait_for(lambda: mpc.report().failures)
        assert mpc.policy is policy
        np.testing.assert_array_equal(u, [np.clip(policy.mean(t, x), -5, 5) for t, x in enumerate(measured)])
        assert mpc.report().message == "RuntimeError: no luck"
        assert "no luck" in str(mpc.report())
        method.switch(lambda: None)
        mpc.command(states(1)[0])
        wait_for(lambda: mpc.report().adopted)
        assert mpc.policy is not policy


def test_a_plan_with_a_lost_status_is_not_adopted(balance):
    plant = CartPole()
    modest = ppi.Problem(plant, balance.cost, balance.initial, 20)
    mpc = ppi.RecedingHorizon(modest, ppi.LEQG(1e-3, max_iterations=20))
    mpc.command(states(1)[0])
    policy = mpc.policy
    dear = ppi.Quadratic([1e5] * 4, [1e3], [1e6] * 4)  # beyond the critical theta
    mpc.retarget(ppi.Problem(plant, dear, balance.initial, 20))
    for x in states(3):
        mpc.command(x)
    assert mpc.policy is policy
    assert mpc.report().failures == 3
    assert "too averse" in mpc.report().message


def test_a_first_plan_that_is_lost_raises(balance):
    dear = ppi.Quadratic([1e5] * 4, [1e3], [1e6] * 4)
    mpc = ppi.RecedingHorizon(ppi.Problem(CartPole(), dear, balance.initial, 20), ppi.LEQG(1e-3))
    with pytest.raises(ppi.RiskBreakdown):
        mpc.command(balance.initial.mean)


def test_a_state_outside_the_state_limits_is_a_failure_and_not_the_end(balance):
    plant = CartPole(track_limit=0.5)
    mpc = ppi.RecedingHorizon(ppi.Problem(plant, balance.cost, balance.initial, 20), ppi.ILQG(max_iterations=5))
    mpc.prepare()
    for position in (0.0, 0.0, 0.6, 0.0):
        assert np.isfinite(mpc.command([position, 0.05, 0.0, 0.0])).all()
    report = mpc.report()
    assert (report.adopted, report.failures) == (2, 1)
    assert "outside its limits" in report.message


def test_when_nothing_is_left_of_the_last_plan_a_replan_starts_cold(balance, method):
    mpc = ppi.RecedingHorizon(balance, method)
    mpc.prepare()
    method.switch(broken)
    for x in states(21):
        mpc.command(x)
    method.switch(lambda: None)
    x = states(1)[0]
    mpc.command(x)
    problem = ppi.Problem(balance.plant, balance.cost, x, 20)
    cold = ppi.solve(problem, ppi.ILQG(limits="box", max_iterations=2, damping=0.0, fresh_gains=False), starts=1)
    np.testing.assert_array_equal(mpc.policy.u_ref, cold.policy.u_ref)


class Interrupted(SingleShooting):
    def advance(self, problem, iterate, index):
        raise KeyboardInterrupt


def test_ctrl_c_during_a_replan_reaches_the_control_loop(balance):
    class Method(ppi.ILQG):
        calls = itertools.count()

        def plan(self, problem):  # 0: constructor; 1, 2: first plan, which takes one warm start
            return super().plan(problem) if next(self.calls) < 3 else Schedule((Interrupted(),))

    given = ppi.solve(balance, ppi.ILQG(limits="box"))
    mpc = ppi.RecedingHorizon(balance, Method(limits="box"), policy=given.policy)
    mpc.prepare()
    mpc.command(balance.initial.mean)
    with pytest.raises(KeyboardInterrupt):
        mpc.command(balance.initial.mean)


# -- the thread ----------------------------------------------------------------------------------------------------


def test_a_slow_planner_never_blocks_and_its_miss_is_counted_once(balance, method):
    gate, limits = Gate(), (-5.0, 5.0)
    with ppi.RecedingHorizon(balance, method, threaded=True) as mpc:
        mpc.prepare()
        first = mpc.policy
        method.switch(gate)
        measured = states(40)
        for t, x in enumerate(measured):  # would wait for the gate if it blocked
            np.testing.assert_array_equal(mpc.command(x), np.clip(first.mean(min(t, 19), x), *limits))
            assert t != 1 or gate.reached.wait(PATIENCE)  # with the state of stage 1
        assert not gate.open.is_set()
        assert mpc.policy is first
        wait_for(lambda: mpc.report().misses)
        assert (mpc.report().misses, mpc.report().replans) == (1, 0)
        method.switch(lambda: None)
        gate.open.set()
        wait_for(lambda: mpc.report().adopted >= 2)  # from the state held back by the gate, then from the newest
        np.testing.assert_array_equal(mpc.solution.x[0], measured[-1])
        assert mpc.report().failures == 0
        gate = Gate()
        method.switch(gate)
        for elapsed, x in enumerate(states(3), start=1):  # stages since the newest state, while the planner is held
            np.testing.assert_array_equal(mpc.command(x), np.clip(mpc.policy.mean(elapsed, x), *limits))
        gate.open.set()


def test_the_thread_replans_at_the_stages_that_are_asked_for(balance, method):
    with ppi.RecedingHorizon(balance, method, 3, threaded=True) as mpc:
        for t, x in enumerate(states(10)):
            mpc.command(x)
            wait_for(lambda t=t: mpc.report().replans == t // 3)
            if t % 3 == 0:
                np.testing.assert_array_equal(mpc.solution.x[0], x)


def test_a_plan_from_before_a_reset_is_dropped(balance, method):
    gate = Gate()
    with ppi.RecedingHorizon(balance, method, threaded=True) as mpc:
        mpc.prepare()
        method.switch(gate)
        mpc.command(states(1)[0])
        mpc.command(states(1)[0])
        assert gate.reached.wait(PATIENCE)
        method.switch(lambda: None)
        mpc.reset()
        mpc.prepare()
        policy = mpc.policy
        gate.open.set()
        mpc.command(states(1)[0])
        mpc.command(states(1)[0])
        wait_for(lambda: mpc.report().adopted)
        assert mpc.report().replans == 1
        assert mpc.policy is not policy


def test_closing_stops_the_thread(balance, method):
    before = threading.active_count()
    with ppi.RecedingHorizon(balance, method, threaded=True) as mpc:
        mpc.command(states(1)[0])
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    mpc.close()
    with pytest.raises(ppi.ProblemError, match="closed"):
        mpc.command(states(1)[0])
    with pytest.raises(ppi.ProblemError, match="closed"):
        mpc.reset()
    assert mpc.report().replans == 0


# -- reports and bad input -----------------------------------------------------------------------------------------


def test_the_report_is_two_lines_and_its_numbers_fit_together(balance):
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG(limits="box", max_iterations=1), budget_ms=1e6)
    assert "nan" in str(mpc.report())
    for x in states(6):
        mpc.command(x)
    report = mpc.report()
    assert report.deadline == balance.plant.dt
    assert report.replans == report.adopted + report.failures == len(report.seconds) == 5
    assert 0 < report.mean_seconds <= report.max_seconds
    assert report.first_seconds > 0
    lines = str(report).splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("5 replans: 5 adopted, 0 failed")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"problem": 3}, "expected a Problem"),
        ({"method": "ilqg"}, "method is 'ilqg'; choose from PPI"),
        ({"method": ppi.PsiIteration(1.0)}, "knows no limits"),
        ({"replan_every": 0}, "replan_every is 0"),
        ({"replan_every": 21}, "at most 20"),
        ({"replan_every": 1.5}, "expected a whole number"),
        ({"budget_ms": 0}, "budget_ms is 0; expected a positive"),
        ({"budget_ms": float("nan")}, "expected a positive finite number"),
        ({"seed": -1}, "seed is -1"),
        ({"policy": "policy"}, "expected a LinearGaussianPolicy"),
        ({"first": "ilqg"}, "method is 'ilqg'; choose from PPI"),
        ({"first": ppi.PsiIteration(1.0)}, "knows no limits"),
    ],
)
def test_bad_arguments_are_refused(balance, changes, message):
    with pytest.raises(ppi.ProblemError, match=message):
        ppi.RecedingHorizon(**({"problem": balance, "method": ppi.ILQG()} | changes))


def test_a_policy_or_problem_that_does_not_fit_is_refused(balance, regulator):
    other = ppi.solve(regulator, ppi.ILQG(), starts=1).policy
    with pytest.raises(ppi.ProblemError, match="made for plant 'Slider'"):
        ppi.RecedingHorizon(balance, ppi.ILQG(), policy=other)
    mpc = ppi.RecedingHorizon(balance, ppi.ILQG())
    longer = ppi.Problem(balance.plant, balance.cost, balance.initial, 21)
    for problem in (regulator, longer):
        with pytest.raises(ppi.ProblemError, match="make another RecedingHorizon"):
            mpc.retarget(problem)
    pendulum = Pendulum()
    with pytest.raises(ppi.ProblemError, match="make another RecedingHorizon"):
        mpc.retarget(ppi.Problem(pendulum, pendulum.swing_up_cost(), pendulum.hanging, 20))


BAD_STATES = [np.zeros(3), np.zeros((1, 4)), [0, np.nan, 0, 0], [0, np.inf, 0, 0], [0, 1e300, 0, 0], "state", None]


@pytest.mark.parametrize("x", BAD_STATES)
def test_bad_states_are_refused_and_do_not_count_as_stages(balance, method, x):
    mpc = ppi.RecedingHorizon(balance, method)
    with pytest.raises(ppi.ProblemError, match="x "):
        mpc.command(x)
    assert mpc.policy is None
    mpc.prepare()
    with pytest.raises(ppi.ProblemError, match="x "):
        mpc.command(x)
    if x is not None:
        with pytest.raises(ppi.ProblemError, match="x "):
            mpc.prepare(x)
    good = states(1)[0]
    np.testing.assert_array_equal(mpc.command(good), np.clip(mpc.policy.mean(0, good), -5, 5))
    assert mpc.report().replans == 0
