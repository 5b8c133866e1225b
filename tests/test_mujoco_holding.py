"""Controls that hold a MuJoCo model where it is."""

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close

import ppi_robotics as ppi

LINK = "<body><joint name='{0}' axis='0 1 0' damping='.1'/>{1}"
LINK += "<geom type='capsule' size='.03' fromto='0 0 0 .4 0 0'/></body>"
WEIGHTY = LINK.format("a", LINK.format("b", "").replace("<body>", "<body pos='.4 0 0'>"))
ACTUATED = {  # every way to hold two links that stick out sideways
    "motors": "<motor joint='a' gear='3'/><motor joint='b'/>",
    "motors on both": "<motor joint='a' gear='3'/><motor joint='b'/><motor joint='a'/>",
    "servos": "<position joint='a' kp='80'/><position joint='b' kp='50' kv='2'/>",
    "servos that saturate": "<position joint='a' kp='500' forcerange='-60 60'/><position joint='b' kp='500'/>",
    "servos with a velocity": "<pid joint='a' kp='80' kv='3' input='pos vel'/><motor joint='b'/>",
}


@pytest.mark.parametrize("actuators", ACTUATED.values(), ids=ACTUATED)
@pytest.mark.parametrize("x", [[0.0, 0.0, 0.0, 0.0], [2.9, -0.5, 0.0, 0.0]])
def test_nothing_moves_where_every_joint_is_driven(actuators, x):
    plant, x = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, actuators)), np.array(x)
    close(plant.step(x[None], plant.hold_controls(x)[None])[0], x, 1e-10)
    assert np.abs(plant.step(x[None], np.zeros((1, plant.nu)))[0] - x).max() > 1e-3


def test_springs_that_drive_activations_are_held_by_what_feeds_them():
    drive = "<general joint='a' dyntype='filter' dynprm='.05' gainprm='3'/><motor joint='b'/>"
    plant = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, drive))
    x = np.array([0.2, 0.1, 0.0, 0.0, 0.0])
    x[4] = 0.4
    assert plant.hold_controls(x)[0] == pytest.approx(0.4)  # its activation stays where it is


def test_nothing_is_done_where_nothing_has_to_be():
    plant = ppi.MujocoPlant(bodies.PENDULUM)
    np.testing.assert_array_equal(plant.hold_controls([0.0, 0.0]), [0.0])
    np.testing.assert_array_equal(plant.hold_controls([0.0, 0.7]), [0.0])  # at its place; how it moves does not count
    assert plant.hold_controls([0.5, 0.0])[0] == pytest.approx(9.81 * 0.5 * np.sin(0.5), rel=1e-9)


def test_controls_of_a_keyframe_are_taken_where_they_hold():
    key = "<keyframe><key qpos='.3 .2' ctrl='{} {}'/></keyframe>"
    free = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, ACTUATED["motors on both"].replace("<motor joint='b'/>", "")))
    one = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, ACTUATED["servos"]))
    best = one.hold_controls([0.3, 0.2, 0.0, 0.0])
    given = tuple(repr(float(entry)) for entry in best + 1e-12)
    again = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, ACTUATED["servos"], more=key.format(*given)))
    assert tuple(map(repr, again.hold_controls(again.state(0)).tolist())) == given
    worse = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, ACTUATED["servos"], more=key.format(0.3, 0.2)))
    close(worse.hold_controls(worse.state(0)), best, 1e-12)
    assert free.nu == 2


def test_limits_are_kept():
    plant = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, ACTUATED["motors"]), control_limits=[(0.5, 1.0), (-0.1, 0.1)])
    u, limits = plant.hold_controls(np.zeros(4)), plant.control_limits
    assert ((limits[:, 0] <= u) & (u <= limits[:, 1])).all()


def test_accelerations_that_cannot_be_prevented_are_the_least_in_the_norm_of_the_masses():
    plant = ppi.MujocoPlant(bodies.mjcf(WEIGHTY, "<motor joint='a'/>"))  # nothing holds the second link
    x = np.array([0.3, -0.4, 0.0, 0.0])

    def norm(u):
        data = mujoco.MjData(plant.model)
        plant.write(data, x)
        data.ctrl = u
        mujoco.mj_forward(plant.model, data)
        moved = np.empty(2)
        mujoco.mj_mulM(plant.model, data, moved, data.qacc)
        return data.qacc @ moved

    tried = np.linspace(-5.0, 5.0, 2001)
    assert plant.hold_controls(x)[0] == pytest.approx(tried[np.argmin([norm(u) for u in tried])], abs=0.005)


def test_a_robot_on_its_feet_is_held_by_them():
    plant = ppi.MujocoPlant(bodies.BOX)
    x = plant.state()
    for _ in range(100):
        x = plant.step(x[None], np.zeros((1, 6)))[0]
    close(plant.hold_controls(x), np.zeros(6), 1e-6)  # the ground carries it
    x[2] = 0.5
    close(plant.hold_controls(x), [0, 0, 2 * 9.81, 0, 0, 0], 1e-6)


def test_a_state_that_is_none_is_refused():
    with pytest.raises(ppi.ProblemError, match="x"):
        ppi.MujocoPlant(bodies.PENDULUM).hold_controls([0.0, np.nan])
