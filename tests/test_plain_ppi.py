"""The compiled iteration against the same mathematics in plain numpy."""

import numpy as np
import pytest
from oracles import close, difference_jacobian
from plain_ppi import DT, NOISE, expand, iteration

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics.guesses import cold_guess
from ppi_robotics.steps.multiple_shooting import MultipleShooting


@pytest.fixture(scope="module")
def problem():
    plant = CartPole()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)


def test_the_plain_model_is_the_plants(problem):
    assert problem.plant.dt == DT
    close(problem.plant.noise.process, NOISE @ NOISE.T, 1e-15)
    z = np.random.default_rng(0).normal(size=5)
    y, A, B = expand(z[:4], z[4:])
    close(y, problem.plant.step(z[None, :4], z[None, 4:])[0], 1e-14)
    close(np.column_stack([A, B]), difference_jacobian(lambda z: expand(z[:4], z[4:])[0], z), 1e-10)


@pytest.mark.parametrize("eta", [0.0, 1e-3, 0.1, 1.0])
def test_an_iteration_equals_the_plain_one_wherever_it_starts(problem, eta):
    """From the cold guess, whose states do not fit the dynamics after one step, to the smoothed path."""
    phase = MultipleShooting(eta)
    iterate = phase.begin(problem, *cold_guess(problem, 0, 0))
    for index in range(12):
        expected = iteration(iterate.x, iterate.u, eta)
        iterate, _ = phase.advance(problem, iterate, index)
        for actual, wanted in zip((iterate.x, iterate.u, iterate.w), expected, strict=True):
            close(actual, wanted)
