"""Limits that cannot be kept: a proof instead of iterations, saying which limit, where, and by how much."""

from collections import Counter

import numpy as np
import pytest

import ppi_robotics as ppi

WALL, DT, T = 1.0, 0.05, 50


class Cart(ppi.SymbolicPlant):
    """A cart with brakes of 1 m/s^2 before a wall."""

    state_names, control_names, units, dt = ("place", "speed"), ("push",), ("m", "m/s", "m/s^2"), DT
    noise = (0.0, 1e-6)
    control_limits, state_limits = [(-1.0, 1.0)], [(-np.inf, WALL), None]

    def transition(self, x, u):
        return ppi.vertcat(x[0] + DT * x[1] + DT**2 / 2 * u[0], x[1] + DT * u[0])


CART = Cart()
COST = ppi.Quadratic([0.0, 0.0], [0.01], [10.0, 1.0], [0.5, 0.0])
METHODS = [ppi.ILQG(), ppi.ILQG(hessian="gauss_newton"), ppi.PPI(0.1), ppi.PPI(0.0), ppi.LEQG(0.01), ppi.AICO()]


def arriving(speed, place=0.0):
    return ppi.Problem(CART, COST, [place, speed], T)


def stopping_distance(speed):
    """Where full brakes stop the cart, the last of them as hard as it takes."""
    place = farthest = 0.0
    while speed > 0.0:
        brake = min(1.0, speed / DT)
        place, speed = place + DT * speed - DT**2 / 2 * brake, speed - DT * brake
        farthest = max(farthest, place)
    return farthest


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("speed", [1.42, 2.0, 2.4])
def test_a_wall_too_near_is_proved_in_few_iterations(method, speed):
    count = Counter()
    solution = ppi.solve(arriving(speed), method, callback=lambda row: count.update([row.start]))
    assert solution.status is ppi.Status.INFEASIBLE
    assert len(solution.starts) == 2
    assert max(count.values()) < 60
    beyond = stopping_distance(speed) - WALL
    worst = solution.worst
    assert (worst.name, worst.limit) == ("place", WALL)
    assert worst.value == solution.x[worst.stage, 0]
    assert worst.value - WALL == pytest.approx(beyond, rel=0.05, abs=1e-3)
    assert solution.violation == pytest.approx((worst.value - WALL) / arriving(speed).scales.state[0])
    said = solution.explain()
    assert f"place is {worst.value:.6g} m at stage {worst.stage}" in said
    assert "max_iterations" not in said
    assert np.isfinite(solution.policy.K).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("speed", "place"), [(1.41, 0.0), (1.0, 0.45), (0.0, WALL)])
def test_what_can_just_be_had_is_solved(method, speed, place):
    assert place + stopping_distance(speed) <= WALL
    solution = ppi.solve(arriving(speed, place), method, starts=1)
    if solution.breakdown is None:  # a wall so near may leave averse gains no room
        assert solution.status is ppi.Status.CONVERGED
    assert solution.violation == 0.0
    assert solution.x[:, 0].max() <= WALL


def test_no_start_at_all_from_a_wall_that_is_being_left_behind():
    solution = ppi.solve(arriving(0.5, WALL), ppi.ILQG(), starts=1)
    assert solution.status is ppi.Status.INFEASIBLE
    assert solution.worst.value == pytest.approx(WALL + stopping_distance(0.5), rel=1e-3)


def test_margins_and_phases_share_the_iterations():
    rows = []
    solution = ppi.solve(arriving(2.0), ppi.ILQG(max_iterations=6), callback=rows.append)
    assert not solution.status.solved
    assert max(Counter(row.start for row in rows).values()) <= 6


def test_two_starts_that_end_before_the_tolerance_at_the_same_cost_end_the_search():
    class Free(Cart):
        control_limits = state_limits = None

    problem = ppi.Problem(Free(), COST, [0.0, 0.5], T)
    solution = ppi.solve(problem, ppi.PPI(0.1, max_iterations=1))  # exact already, though it does not know
    assert solution.status is ppi.Status.MAX_ITERATIONS
    assert len(solution.starts) == 2


def test_few_starts_are_spent_on_what_cannot_be_had_also_where_no_proof_is_finished():
    solution = ppi.solve(arriving(2.0), ppi.ILQG(max_iterations=6))
    assert not solution.status.solved
    assert len(solution.starts) <= 8
