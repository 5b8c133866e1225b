"""States with quaternions: differences and moves against MuJoCo's and against each other, and their derivatives."""

import bodies
import mujoco
import numpy as np
import pytest
from oracles import close, difference_jacobian

import ppi_robotics as ppi
from ppi_robotics import manifold
from ppi_robotics.gaussian import entries

QUATERNIONS = (2, 7)  # of states with scalars before, between and after two quaternions
NX, NDX = 12, 10
MODEL = mujoco.MjModel.from_xml_string(
    bodies.mjcf(
        "<body><joint type='slide'/><joint type='slide' axis='1 0 0'/><joint type='ball'/><geom size='0.1'/><body>"
        "<joint type='hinge'/><joint type='ball' pos='0 0 1'/><geom size='0.1'/></body></body><body pos='3 0 0'>"
        "<joint type='hinge'/><geom size='0.1'/></body>",
        "",
    )
)  # qpos: two slides, a ball, a hinge, a ball, a hinge


def states(n, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, NX))
    for i in QUATERNIONS:
        x[:, i : i + 4] /= np.linalg.norm(x[:, i : i + 4], axis=1, keepdims=True)
    return x


def tangents(n, size=1.0, seed=1):
    return size * np.random.default_rng(seed).normal(size=(n, NDX))


def test_sizes():
    assert MODEL.nq == NX
    assert MODEL.nv == NDX == manifold.tangent_size(NX, QUATERNIONS)


def test_differences_are_those_of_mujoco():
    x, y = states(50), states(50, 2)
    expected = np.empty((50, NDX))
    for a, b, row in zip(x, y, expected, strict=True):
        mujoco.mj_differentiatePos(MODEL, row, 1.0, b, a)
    close(manifold.difference(x, y, QUATERNIONS), expected, 1e-12)


@pytest.mark.parametrize("size", [1e-12, 1e-3, 1.0, 5.0])
def test_moves_are_those_of_mujoco(size):
    expected, dx = states(50), tangents(50, size)
    for x, move in zip(expected, dx, strict=True):
        mujoco.mj_integratePos(MODEL, x, move, 1.0)
    close(manifold.retract(states(50), dx, QUATERNIONS), expected, 1e-12)


@pytest.mark.parametrize("size", [0.0, 1e-12, 1e-9, 1e-5, 1.0])
def test_retract_inverts_difference(size):
    x, dx = states(50), tangents(50, size)
    for i in (2, 6):  # no rotation further than half a turn
        turn = dx[:, i : i + 3]
        turn *= np.minimum(1.0, 3.0 / np.maximum(np.linalg.norm(turn, axis=1, keepdims=True), 1e-300))
    moved = manifold.retract(x, dx, QUATERNIONS)
    close(manifold.difference(moved, x, QUATERNIONS), dx, 1e-14)
    y = states(50, 3)
    back = manifold.retract(y, manifold.difference(x, y, QUATERNIONS), QUATERNIONS)
    for i in QUATERNIONS:  # a quaternion and its negative are the same rotation
        back[:, i : i + 4] *= np.sign(np.sum(back[:, i : i + 4] * x[:, i : i + 4], axis=1, keepdims=True))
    close(back, x, 1e-14)


def test_differences_go_the_short_way_round():
    x, y = states(200), states(200, 2)
    d = manifold.difference(x, y, QUATERNIONS)
    for i in (2, 6):
        assert np.linalg.norm(d[:, i : i + 3], axis=1).max() <= np.pi + 1e-12
    negative = x.copy()
    negative[:, 2:6] *= -1.0
    close(manifold.difference(negative, y, QUATERNIONS), d, 1e-14)
    close(manifold.difference(negative, x, QUATERNIONS), 0 * d, 1e-15)


def test_moved_quaternions_have_length_one():
    moved = manifold.retract(states(50), tangents(50, 3.0), QUATERNIONS)
    for i in QUATERNIONS:
        close(np.linalg.norm(moved[:, i : i + 4], axis=1), np.ones(50), 1e-15)


def test_flat_states_are_subtracted_and_added():
    x, y = states(5), states(5, 2)
    np.testing.assert_array_equal(manifold.difference(x, y), x - y)
    np.testing.assert_array_equal(manifold.retract(x, y), x + y)
    np.testing.assert_array_equal(manifold.retract_jacobian(x), np.tile(np.eye(NX), (5, 1, 1)))
    np.testing.assert_array_equal(manifold.difference_jacobian(x, y), np.tile(np.eye(NX), (5, 1, 1)))


@pytest.mark.parametrize("shape", [(), (4,), (3, 4)])
def test_batches_broadcast(shape):
    n = int(np.prod(shape))
    x, dx, y = states(n).reshape(*shape, NX), tangents(n).reshape(*shape, NDX), states(1, 5)[0]
    rows = x.reshape(-1, NX)
    expected = [manifold.difference(row, y, QUATERNIONS) for row in rows]
    np.testing.assert_array_equal(manifold.difference(x, y, QUATERNIONS).reshape(-1, NDX), expected)
    expected = [manifold.difference(y, row, QUATERNIONS) for row in rows]
    np.testing.assert_array_equal(manifold.difference(y, x, QUATERNIONS).reshape(-1, NDX), expected)
    expected = [manifold.retract(y, move, QUATERNIONS) for move in dx.reshape(-1, NDX)]
    np.testing.assert_array_equal(manifold.retract(y, dx, QUATERNIONS).reshape(-1, NX), expected)
    for function in (manifold.retract_jacobian, lambda z, q: manifold.difference_jacobian(z, y, q)):
        expected = [function(row, QUATERNIONS) for row in rows]
        close(function(x, QUATERNIONS).reshape(-1, *expected[0].shape), expected, 1e-15)


def test_inputs_stay_as_they_are():
    x, y, dx = states(3), states(3, 2), tangents(3)
    for array in (x, y, dx):
        array.setflags(write=False)
    manifold.difference(x, y, QUATERNIONS)
    manifold.retract(x, dx, QUATERNIONS)
    np.testing.assert_array_equal(x, states(3))


def test_jacobian_of_moves_is_that_of_differences():
    for x in states(5):
        J = difference_jacobian(lambda dx, x=x: manifold.retract(x, dx, QUATERNIONS), np.zeros(NDX))
        close(manifold.retract_jacobian(x, QUATERNIONS), J, 1e-9)


@pytest.mark.parametrize("size", [0.0, 1e-9, 1e-5, 1e-4, 0.1, 1.0, 1.5])
def test_jacobian_of_differences_is_that_of_differences(size):
    y = states(5)
    for x, of in zip(manifold.retract(y, tangents(5, size), QUATERNIONS), y, strict=True):

        def moved(dx, x=x, of=of):
            return manifold.difference(manifold.retract(x, dx, QUATERNIONS), of, QUATERNIONS)

        if max(np.linalg.norm(moved(np.zeros(NDX))[i : i + 3]) for i in (2, 6)) > 3.0:
            continue  # half a turn is where the way round changes
        close(manifold.difference_jacobian(x, of, QUATERNIONS), difference_jacobian(moved, np.zeros(NDX)), 1e-8)


def test_starts_get_quaternions_of_length_one():
    x = states(1)[0]
    scaled = x.copy()
    scaled[2:6] *= 3.0
    close(manifold.unit(scaled, QUATERNIONS), x, 1e-15)
    np.testing.assert_array_equal(manifold.unit(scaled, ()), scaled)


@pytest.mark.parametrize("length", [0.0, 1e-9])
def test_quaternions_of_no_length_are_refused(length):
    x = states(1)[0]
    x[7:11] *= length
    with pytest.raises(ppi.ProblemError, match="entries 7 to 10 of the state are a quaternion of length 0"):
        manifold.unit(x, QUATERNIONS)


def test_policies_are_interpolated_along_rotations():
    plant = ppi.MujocoPlant(bodies.BALL)
    policy = bodies.policy(plant, 5, seed=3)
    x_ref, _, _ = policy.interpolate(2.25 * plant.dt)
    ahead = plant.difference(policy.x_ref[3:4], policy.x_ref[2:3])
    close(x_ref, plant.retract(policy.x_ref[2:3], 0.25 * ahead)[0], 1e-14)
    assert np.linalg.norm(x_ref[:4]) == pytest.approx(1.0, abs=1e-15)
    x = policy.x_ref[2].copy()
    x[:4] *= -1.0
    close(policy.mean(2, x), policy.u_ref[2], 1e-14)


def test_squares_of_tangents_are_added_row_by_row():
    rng = np.random.default_rng(7)
    x, goal = states(5), states(1, seed=2)[0]
    factor = rng.normal(size=(4, NDX)) * rng.integers(0, 2, (4, NDX))
    total = np.ones(5)
    manifold.add_to_squares(total, entries(factor), x, goal, QUATERNIONS)
    expected = 1.0 + np.sum((manifold.difference(x, goal, QUATERNIONS) @ factor.T) ** 2, axis=1)
    close(total, expected, 1e-13)  # the same sums in another order
