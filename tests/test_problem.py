"""A problem checks its parts once: what it accepts, and the one line that every bad input gets."""

import dataclasses

import numpy as np
import pytest
from oracles import Swing

import ppi_robotics as ppi

COST = ppi.Quadratic(state=[1.0, 0.1], control=[0.01])
REST = np.zeros(2)


class Fenced(Swing):
    """A pendulum between two walls."""

    state_limits = ((-1.0, 1.0), None)


def problem(**changes):
    return ppi.Problem(**({"plant": Swing(), "cost": COST, "initial": REST, "horizon": 20} | changes))


def test_a_state_is_a_belief_without_spread():
    given = problem(initial=[0.3, 1])
    np.testing.assert_array_equal(given.initial.mean, [0.3, 1.0])
    np.testing.assert_array_equal(given.initial.cov, np.zeros((2, 2)))


def test_a_gaussian_start_is_kept():
    start = ppi.Gaussian([0.1, 0.2], [[0.5, 0.1], [0.1, 0.3]])
    assert problem(initial=start).initial is start


def test_the_cost_is_bound_to_the_plant():
    assert problem().cost.stage(np.ones((1, 2)), np.ones((1, 1)))[0] == pytest.approx(1.11, abs=1e-15)


def test_a_bound_cost_may_be_used_again():
    again = problem(cost=problem().cost)
    assert again.cost.stage(np.ones((1, 2)), np.ones((1, 1)))[0] == pytest.approx(1.11, abs=1e-15)


def test_whole_numbers_of_numpy_are_horizons():
    horizon = problem(horizon=np.int64(7)).horizon
    assert horizon == 7
    assert type(horizon) is int


def test_success_comes_from_the_problem_then_from_the_plant():
    class Judged(Swing):
        def success(self, x):
            return x[:, 0] < 0

    def criterion(x):
        return x[:, 0] > 0

    assert problem().success is None
    assert problem(success=criterion).success is criterion
    np.testing.assert_array_equal(problem(plant=Judged()).success(np.array([[-1.0, 0.0], [1.0, 0.0]])), [True, False])
    assert problem(plant=Judged(), success=criterion).success is criterion


def test_a_start_on_a_limit_is_inside():
    assert problem(plant=Fenced(), initial=[1.0, 5.0]).initial.mean[0] == 1.0


def test_a_problem_cannot_be_changed():
    given, start = problem(), np.array([0.1, 0.2])
    with pytest.raises(dataclasses.FrozenInstanceError):
        given.horizon = 5
    with pytest.raises(ValueError, match="read-only"):
        given.initial.mean[0] = 1.0
    other = problem(initial=start)
    start[0] = 9.0
    assert other.initial.mean[0] == 0.1


WRONG = {
    "plant": ({"plant": "cartpole"}, "plant is 'cartpole'"),
    "plant class": ({"plant": Swing}, "plant is <class"),
    "no plant": ({"plant": None}, "plant is None"),
    "cost": ({"cost": 3.0}, "cost is 3.0"),
    "cost class": ({"cost": ppi.Quadratic}, "cost is <class"),
    "cost function": ({"cost": lambda x, u: x[0]}, "cost is <function"),
    "cost of another size": ({"cost": ppi.Quadratic([1.0], [1.0])}, "`state` weights"),
    "cost not a number": ({"cost": ppi.Quadratic([1.0, np.nan], [1.0])}, "`state` weights.*non-finite"),
    "horizon zero": ({"horizon": 0}, "horizon is 0"),
    "negative horizon": ({"horizon": -3}, "horizon is -3"),
    "fractional horizon": ({"horizon": 2.5}, "horizon is 2.5"),
    "horizon as text": ({"horizon": "20"}, "horizon is '20'"),
    "horizon as truth": ({"horizon": True}, "horizon is True"),
    "no horizon": ({"horizon": None}, "horizon is None"),
    "horizon not a number": ({"horizon": np.nan}, "horizon is nan"),
    "start too short": ({"initial": [0.0]}, r"initial has shape \(1,\); .* 2 entries \('angle', 'rate'\)"),
    "start of two rows": ({"initial": np.zeros((2, 2))}, r"initial has shape \(2, 2\)"),
    "start as a number": ({"initial": 0.0}, r"initial has shape \(\)"),
    "start not a number": ({"initial": [0.0, np.nan]}, r"initial has a non-finite entry at index \(1,\)"),
    "infinite start": ({"initial": [np.inf, 0.0]}, r"initial has a non-finite entry at index \(0,\)"),
    "start as text": ({"initial": "hanging"}, "initial is 'hanging'"),
    "ragged start": ({"initial": [[0.0], [0.0, 1.0]]}, "initial is"),
    "no start": ({"initial": None}, "initial"),
    "start of another size": ({"initial": ppi.Gaussian(np.zeros(3), np.eye(3))}, r"initial has mean of shape \(3,\)"),
    "stack of starts": (
        {"initial": ppi.Gaussian(np.zeros((4, 2)), np.zeros((4, 2, 2)))},
        r"initial has mean of shape \(4, 2\)",
    ),
    "start outside": (
        {"plant": Fenced(), "initial": [1.2, 0.0]},
        r"initial angle is 1.2, outside its limits \[-1, 1\]",
    ),
    "uncertain start outside": (
        {"plant": Fenced(), "initial": ppi.Gaussian([-3.0, 0.0], np.eye(2))},
        "initial angle is -3",
    ),
    "success": ({"success": 0.9}, "success is 0.9"),
}


@pytest.mark.parametrize(("changes", "message"), WRONG.values(), ids=WRONG)
def test_bad_input_is_refused_in_one_line(changes, message):
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        problem(**changes)
    assert "\n" not in str(caught.value)


WRONG_GAUSSIANS = {
    "shapes": (([0.0, 0.0], np.eye(3)), r"mean of shape \(2,\) needs a cov of shape \(2, 2\); it has \(3, 3\)"),
    "a number": ((0.0, 1.0), r"mean of shape \(\)"),
    "indefinite": (([0.0, 0.0], [[1.0, 2.0], [2.0, 1.0]]), "cov is indefinite"),
    "asymmetric": (([0.0, 0.0], [[1.0, 0.5], [0.0, 1.0]]), "cov is not symmetric"),
    "mean not a number": (([0.0, np.nan], np.eye(2)), "mean has a non-finite"),
    "cov not a number": (([0.0, 0.0], [[1.0, 0.0], [0.0, np.inf]]), "cov has a non-finite"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG_GAUSSIANS.values(), ids=WRONG_GAUSSIANS)
def test_wrong_gaussians_are_refused_in_one_line(arguments, message):
    with pytest.raises(ppi.ProblemError, match=message) as caught:
        ppi.Gaussian(*arguments)
    assert "\n" not in str(caught.value)


WRONG_NOISE = {
    "a number": (0.1, r"process noise has shape \(\)"),
    "negative": ([0.1, -0.1], "indefinite"),
    "asymmetric": ([[1.0, 0.5], [0.0, 1.0]], "not symmetric"),
    "not square": ([[1.0, 0.5]], r"process noise has shape \(1, 2\)"),
    "not a number": ([np.nan], "non-finite"),
}


@pytest.mark.parametrize(("process", "message"), WRONG_NOISE.values(), ids=WRONG_NOISE)
def test_wrong_noise_is_refused_in_one_line(process, message):
    with pytest.raises(ppi.ProblemError, match=message):
        ppi.Noise(process)


def test_noise_factors_have_as_many_columns_as_the_noise_has_directions():
    rng = np.random.default_rng(0)
    thin = rng.normal(size=(4, 2))
    for process, rank in (([0.0, 2.0, 0.0, 1.0], 2), (thin @ thin.T, 2), (np.zeros(4), 0), (np.eye(4) + 0.5, 4)):
        noise = ppi.Noise(process)
        assert noise.factor.shape == (4, rank)
        np.testing.assert_allclose(noise.factor @ noise.factor.T, noise.process, rtol=0, atol=1e-14)
