"""Policies in MuJoCo loops of any rate, and the loop that the package offers."""

import types

import mujoco
import numpy as np
import pytest
from mujoco_models import arm, drone, random_policy

import ppi_robotics as ppi
from ppi_robotics.mujoco import loop

EVERYTHING = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@pytest.fixture(scope="module")
def plant():
    return arm()


@pytest.fixture
def data(plant):
    return mujoco.MjData(plant.model)


def moved(data, seed=0):
    """The data at a random state."""
    rng = np.random.default_rng(seed)
    data.qpos[:] = 0.1 * rng.standard_normal(data.qpos.size)
    data.qvel[:] = 0.1 * rng.standard_normal(data.qvel.size)
    return data


# -- the controller ----------------------------------------------------------------------------------------------------


def test_between_stages_reference_and_gain_are_linear(plant, data):
    policy = random_policy(plant, 6)
    controller = ppi.Controller(policy, plant)
    controller.reset(0.0)
    x = plant.read(moved(data))
    stages = plant.dt * np.arange(6)
    for data.time in np.random.default_rng(1).uniform(
        -0.01, 0.15, 40
    ):  # before the first stage and after the last, too
        x_ref, u_ref, K = (
            np.apply_along_axis(lambda values: np.interp(data.time, stages, values), 0, array)
            for array in (policy.x_ref, policy.u_ref, policy.K)
        )
        expected = np.clip(u_ref + K @ (x - x_ref), plant.control_limits[:, 0], plant.control_limits[:, 1])
        np.testing.assert_allclose(controller(data), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("interpolate", [True, False])
def test_on_a_stage_it_is_the_policy(plant, data, interpolate):
    policy = random_policy(plant, 6, scale=0.1)
    controller = ppi.Controller(policy, plant, interpolate)
    controller.reset(0.3)
    x = plant.read(moved(data))
    for t in range(6):
        data.time = 0.3 + t * plant.dt
        expected = np.clip(policy.mean(t, x), *plant.control_limits.T)
        np.testing.assert_allclose(controller(data), expected, rtol=0, atol=1e-10)  # times round


def test_a_held_policy_keeps_every_stage_for_the_same_number_of_steps(plant, data):
    """Simulation time is a sum of thousands of rounded timesteps."""
    horizon = 1000
    policy = random_policy(plant, horizon, scale=0.0)
    controller = ppi.Controller(policy, plant, interpolate=False)
    for step in range(plant.substeps * horizon):
        expected = np.clip(policy.u_ref[step // plant.substeps], *plant.control_limits.T)
        np.testing.assert_array_equal(controller(data), expected)
        data.time += plant.model.opt.timestep


def test_beyond_the_horizon_the_last_stage_acts(plant, data):
    policy = random_policy(plant, 4, scale=0.1)
    controller = ppi.Controller(policy, plant)
    controller.reset(0.0)
    x = plant.read(moved(data))
    data.time = 100.0
    np.testing.assert_array_equal(controller(data), np.clip(policy.mean(3, x), *plant.control_limits.T))


def test_the_first_call_starts_the_policy_and_reset_starts_it_anew(plant, data):
    controller = ppi.Controller(random_policy(plant, 6, scale=0.0), plant)
    assert controller.start is None
    data.time = 7.0
    first = controller(data)
    assert controller.start == 7.0
    data.time = 7.05
    assert not np.array_equal(controller(data), first)
    controller.reset()
    np.testing.assert_array_equal(controller(data), first)
    controller.reset(7.05)
    np.testing.assert_array_equal(controller(data), first)


def test_rotations_are_compared_in_their_tangent_space():
    plant = drone()
    x_ref = plant.state()
    x_ref[3:7] = np.array([1.0, 2.0, 3.0, 4.0]) / np.sqrt(30.0)
    policy = random_policy(plant, 3, scale=0.1, x_ref=x_ref)
    data = mujoco.MjData(plant.model)
    data.qpos[3:7] = np.array([2.0, 1.0, -1.0, 3.0]) / np.sqrt(15.0)
    data.qvel[:] = 0.1
    error = np.empty(plant.model.nv)
    mujoco.mj_differentiatePos(plant.model, error, 1.0, x_ref[:7], data.qpos)
    expected = policy.u_ref[0] + policy.K[0] @ np.concatenate([error, data.qvel - x_ref[7:]])
    actual = ppi.Controller(policy, plant, interpolate=False)(data)
    np.testing.assert_allclose(actual, np.clip(expected, *plant.control_limits.T), rtol=0, atol=1e-12)


def test_the_data_is_only_read(plant, data):
    before, after = (np.empty(mujoco.mj_stateSize(plant.model, EVERYTHING)) for _ in range(2))
    moved(data)
    data.ctrl[:] = 0.3
    mujoco.mj_getState(plant.model, data, before, EVERYTHING)
    ctrl = ppi.Controller(random_policy(plant, 3), plant)(data)
    mujoco.mj_getState(plant.model, data, after, EVERYTHING)
    np.testing.assert_array_equal(before, after)
    data.ctrl[:] = ctrl
    assert ctrl.flags.writeable


class Planner:
    """Answers with the number of questions so far."""

    def __init__(self):
        self.asked = []

    def command(self, x):
        self.asked.append(x)
        return np.array([len(self.asked), 0.0])


def test_a_planner_is_asked_once_a_stage_and_held(plant, data):
    planner = Planner()
    controller = ppi.Controller(planner, plant)
    ppi.run(controller, plant.model, data, 0.1)
    assert len(planner.asked) == 5
    np.testing.assert_array_equal(planner.asked[0], plant.state())
    data.time = 0.0  # as after a reset of the data
    controller(data)
    assert len(planner.asked) == 6


def test_a_receding_horizon_acts_as_when_asked_by_hand_once_a_stage(plant, data):
    cost = ppi.Quadratic(state=[1, 1, 0.1, 0.1], control=[0.01, 0.01], terminal=[10, 10, 1, 1])
    problem = ppi.Problem(plant, cost, plant.state(), horizon=10)
    method = ppi.ILQG(max_iterations=2)
    record = ppi.run(ppi.Controller(ppi.RecedingHorizon(problem, method), plant), plant.model, moved(data), 0.1)
    planner, theirs = ppi.RecedingHorizon(problem, method), moved(mujoco.MjData(plant.model))
    for stage in range(5):
        theirs.ctrl[:] = planner.command(plant.read(theirs))
        np.testing.assert_array_equal(record.ctrl[plant.substeps * stage :][: plant.substeps], [theirs.ctrl] * 10)
        mujoco.mj_step(plant.model, theirs, plant.substeps)
    np.testing.assert_array_equal(record.x[-1], plant.read(theirs))


@pytest.mark.parametrize("answer", [np.zeros(3), np.array([np.nan, 0.0]), "left"])
def test_a_planner_whose_answer_does_not_fit_is_refused(plant, data, answer):
    controller = ppi.Controller(types.SimpleNamespace(command=lambda x: answer), plant)
    with pytest.raises(ppi.ProblemError, match=r"command\(x\)"):
        controller(data)


def test_what_does_not_fit_is_refused(plant, data):
    policy = random_policy(plant, 3)
    for given, words in (
        ((random_policy(drone(), 3), plant), "made for plant 'drone', not for 'arm'"),
        ((random_policy(arm(substeps=5), 3), plant), "3 stages of 0.01 s"),
        ((None, plant), "expected a LinearGaussianPolicy"),
        ((policy, plant.model), "expected a MujocoPlant"),
    ):
        with pytest.raises(ppi.ProblemError, match=words):
            ppi.Controller(*given)
    controller = ppi.Controller(policy, plant)
    with pytest.raises(ppi.ProblemError, match="give data of the plant's model"):
        controller(mujoco.MjData(drone().model))
    with pytest.raises(ppi.ProblemError, match="expected a MjData, of the plant's model"):
        controller(data.qpos)
    data.qpos[0] = np.nan
    with pytest.raises(ppi.ProblemError, match="not finite or out of range at 0 s"):
        controller(data)


# -- the loop ----------------------------------------------------------------------------------------------------------


def test_a_held_policy_without_gain_moves_as_the_plant_does(plant, data):
    policy = random_policy(plant, 8, scale=0.0)
    record = ppi.run(ppi.Controller(policy, plant, interpolate=False), plant.model, moved(data), 8 * plant.dt)
    x = record.x[0]
    for t in range(8):
        x = plant.step(x[None], np.clip(policy.u_ref[t], *plant.control_limits.T)[None])[0]
        np.testing.assert_allclose(record.x[plant.substeps * (t + 1)], x, rtol=0, atol=1e-10)


def test_the_record_is_what_a_plain_loop_does(plant):
    policy = random_policy(plant, 8, scale=0.1)
    ours, theirs = mujoco.MjData(plant.model), mujoco.MjData(plant.model)
    ours.time = theirs.time = 2.0
    record = ppi.run(ppi.Controller(policy, plant), plant.model, moved(ours), 0.1)
    controller = ppi.Controller(policy, plant)
    moved(theirs)
    for step in range(50):
        np.testing.assert_array_equal(record.x[step], plant.read(theirs))
        assert record.time[step] == theirs.time
        theirs.ctrl[:] = controller(theirs)
        np.testing.assert_array_equal(record.ctrl[step], theirs.ctrl)
        mujoco.mj_step(plant.model, theirs)
    assert record.x.shape == (51, plant.nx)
    assert record.ctrl.shape == (50, plant.nu)
    np.testing.assert_array_equal(record.x[-1], plant.read(ours))
    assert record.ended == "finished"
    with pytest.raises(ValueError, match="read-only"):
        record.x[0] = 0.0


def still(data):
    """No control."""
    return np.zeros(data.ctrl.size)


def test_progress_ends_with_all_steps_and_pushes_act(plant, data):
    seen = []

    def push(data):
        data.qfrc_applied[0] = 1.0 if data.time < 0.1 else 0.0

    free = ppi.run(still, plant.model, mujoco.MjData(plant.model), 0.5)
    pushed = ppi.run(still, plant.model, data, 0.5, progress=lambda *counts: seen.append(counts), push=push)
    assert seen[-1] == (250, 250)
    assert sorted(seen) == seen
    assert len(seen) <= 2 * loop.REPORTS
    assert abs(pushed.x[-1] - free.x[-1]).max() > 0.01


def test_an_interruption_keeps_what_was_done(plant, data):
    def push(data):
        if data.time > 0.0191:
            raise KeyboardInterrupt

    record = ppi.run(still, plant.model, data, 1.0, push=push)
    assert record.ended == "interrupted"
    assert len(record.time) == len(record.x) == len(record.ctrl) + 1 == 11


@pytest.mark.parametrize(("spoil", "words"), [(1e12, "in QVEL at DOF 1"), (np.nan, "in QVEL at DOF 1")])
def test_a_breakdown_is_an_error_and_not_a_reset(plant, data, tmp_path, monkeypatch, spoil, words):
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log

    def push(data):
        if data.time > 0.0191:
            data.qvel[1] = spoil

    for kind in range(int(mujoco.mjtWarning.mjNWARNING)):
        data.warning[kind].number = 1  # of an earlier run, which must neither stop this one nor hide its end
    with pytest.raises(ppi.SimulationError, match=words) as caught:
        ppi.run(still, plant.model, data, 1.0, push=push)
    assert "after 0.02 s" in str(caught.value)
    assert len(caught.value.record.ctrl) == 10
    assert np.isfinite(caught.value.record.x).all()


def test_a_breakdown_without_automatic_reset_is_an_error_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plant = arm()
    plant.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
    data = mujoco.MjData(plant.model)
    data.qvel[0] = 1e200
    with pytest.raises(ppi.SimulationError, match="after 0 s"):
        ppi.run(still, plant.model, data, 1.0)


def test_a_reset_within_a_push_is_noticed(plant, data):
    def push(data):
        if data.time > 0.1:
            mujoco.mj_resetData(plant.model, data)

    with pytest.raises(ppi.SimulationError, match="its time went back"):
        ppi.run(still, plant.model, data, 1.0, push=push)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"controller": None}, "controller is a NoneType; expected a function"),
        ({"model": "arm.xml"}, "model is a str; expected a mujoco.MjModel"),
        ({"data": None}, "data is a NoneType; expected a mujoco.MjData"),
        ({"data": mujoco.MjData(drone().model)}, "give the MjData of this model"),
        ({"seconds": 0.0}, "at least the model's timestep"),
        ({"seconds": np.inf}, "seconds is inf; expected a finite number"),
        ({"realtime": -1.0}, "realtime is -1"),
        ({"video": "motion.avi"}, "neither .mp4 nor .gif"),
        ({"progress": 3}, "progress is a int; expected a function"),
        ({"controller": lambda data: np.zeros(3)}, r"answer of the controller has shape \(3,\); expected \(2,\)"),
    ],
)
def test_bad_arguments_are_refused(plant, data, change, words):
    given = {"controller": still, "model": plant.model, "data": data, "seconds": 0.1} | change
    with pytest.raises(ppi.ProblemError, match=words) as caught:
        ppi.run(**given)
    assert "\n" not in str(caught.value)


# -- the window --------------------------------------------------------------------------------------------------------


def test_without_a_display_the_window_is_refused(plant, data, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ppi.ProblemError, match="no display for a window; leave out viewer"):
        ppi.run(still, plant.model, data, 0.1, viewer=True)
    assert data.time == 0.0


def test_a_display_that_does_not_answer_is_refused(plant, data, monkeypatch):
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(ppi.ProblemError, match="the display cannot be opened; leave out viewer"):
        ppi.run(still, plant.model, data, 0.1, viewer=True)


class Window:
    """A window that its user closes after some looks."""

    def __init__(self, looks):
        self.looks, self.synced, self.closed = looks, 0, False

    def is_running(self):
        self.looks -= 1
        return self.looks >= 0

    def sync(self):
        self.synced += 1

    def close(self):
        self.closed = True


class Clock:
    """A clock that only sleeping advances."""

    def __init__(self):
        self.now = 0.0

    def perf_counter(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


@pytest.mark.parametrize(("looks", "ended", "steps"), [(20, "closed", 21), (10**6, "finished", 500)])
def test_the_window_is_refreshed_in_real_time_until_it_is_closed(plant, data, monkeypatch, looks, ended, steps):
    window, clock = Window(looks), Clock()
    monkeypatch.setattr(loop, "_open_window", lambda *_: window)
    monkeypatch.setattr(loop, "clock", clock)
    record = ppi.run(still, plant.model, data, 1.0, viewer=True)
    assert record.ended == ended
    assert len(record.ctrl) == steps
    assert window.closed
    assert clock.now == pytest.approx(0.002 * min(looks, steps))
    # whole steps pass between refreshes: 18 ms instead of 1/60 s
    assert window.synced == -(-min(looks, steps) // 9)


def test_slow_motion_waits(plant, data, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(loop, "clock", clock)
    ppi.run(still, plant.model, data, 0.5, realtime=0.25)
    assert clock.now == pytest.approx(2.0)
