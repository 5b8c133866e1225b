"""Fans of samples, and their figures."""

from dataclasses import replace

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure

import ppi_robotics as ppi
from plants import CartPole
from ppi_robotics import plotting

METHOD = ppi.MPPI(64, ppi.TargetESS(10), 3.0, max_iterations=25)


@pytest.fixture(scope="module")
def problem():
    plant = CartPole(force_limit=10.0)
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 40)


@pytest.fixture(scope="module")
def solution(problem):
    return ppi.solve(problem, METHOD, seed=1)


# -- fans ------------------------------------------------------------------------------------------------------------


def test_a_fan_is_drawn_about_the_answer(problem, solution):
    drawn = ppi.fan(problem, solution, samples=400, seed=2)
    assert drawn.x.shape == (400, 41, 4)
    assert drawn.u.shape == (400, 40, 1)
    assert np.isclose(drawn.weights.sum(), 1.0)
    assert np.isclose(1 / np.sum(drawn.weights**2), 10.0)
    np.testing.assert_array_equal(np.argsort(drawn.weights)[::-1][:5], np.argsort(drawn.cost)[:5])
    # states follow from the controls as applied, and these scatter about the closed loop with the proposal's spread
    limits = problem.plant.control_limits[0]
    x = np.tile(problem.initial.mean, (400, 1))
    for t in range(3):
        np.testing.assert_allclose(drawn.x[:, t], x, atol=1e-12)
        x = problem.plant.step(x, np.clip(drawn.u[:, t], *limits))
    K, scale = solution.proposal.K, solution.proposal.scale
    pushed = drawn.u - solution.u - np.einsum("tij,ntj->nti", K, drawn.x[:, :-1] - solution.x[:-1])
    assert K.any()
    np.testing.assert_allclose((pushed / scale).std(), 1.0, rtol=0.03)  # of 16,000 numbers: four errors


def test_samples_that_are_kept_are_the_fan(problem):
    solution = ppi.solve(problem, replace(METHOD, feedback="samples", max_iterations=3))
    drawn = ppi.fan(problem, solution)
    assert drawn.x is solution.samples.x
    assert drawn.weights is solution.samples.weights


def test_only_methods_that_sample_have_fans(problem):
    solution = ppi.solve(problem, ppi.ILQG())
    with pytest.raises(ppi.ProblemError, match="does not sample"):
        ppi.fan(problem, solution)
    with pytest.raises(ppi.ProblemError, match="no round of the solution has sampled"):
        plotting.sampling.samples(solution)


# -- figures ---------------------------------------------------------------------------------------------------------


def test_fan_shades_samples_by_weight_with_the_answer_on_top(problem, solution):
    drawn = ppi.fan(problem, solution, samples=50)
    axes = plotting.sampling.fan(problem, solution, drawn)
    assert [ax.get_title(loc="left") for ax in axes][-1] == "force [N]"
    (lines,) = [item for item in axes[0].collections if isinstance(item, LineCollection)]
    assert len(lines.get_segments()) == 50
    np.testing.assert_allclose(lines.get_segments()[-1][:, 1], drawn.x[np.argmax(drawn.weights), :, 0])
    shades = lines.get_colors()[:, :3]
    np.testing.assert_allclose(shades[-1], plotting.sampling.tint(plotting.color("MPPI"), 1.0))
    assert (np.diff(shades.sum(axis=1)) <= 1e-12).all()  # ever darker
    np.testing.assert_array_equal(axes[1].lines[0].get_ydata(), solution.x[:, 1])
    assert axes[-1].lines[0].get_drawstyle() == "steps-post"
    assert axes[-1].lines[0].get_xdata()[-1] == axes[0].lines[0].get_xdata()[-1]  # the last control is held
    texts = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert texts == ["50 samples", "of more weight (10 effective samples)", "answer, without noise", "limit"]


def test_fans_need_a_finite_cost_and_the_right_axes(problem, solution):
    drawn = ppi.fan(problem, solution, samples=20)
    with pytest.raises(ppi.ProblemError, match="none of the 20 samples has a finite cost"):
        plotting.sampling.fan(problem, solution, replace(drawn, weights=np.zeros(20)))
    with pytest.raises(ppi.ProblemError, match="2 axes for 4 states and 1 controls"):
        plotting.sampling.fan(problem, solution, drawn, axes=Figure().subplots(2))
    given = Figure().subplots(5)
    assert plotting.sampling.fan(problem, solution, drawn, axes=given) is given


def test_samples_shows_cost_ess_and_temperature_of_every_round(solution):
    axes = plotting.sampling.samples(solution)
    for ax, name in zip(axes, ("cost", "ess", "temperature"), strict=True):
        (line,) = ax.lines
        np.testing.assert_array_equal(line.get_xdata(), np.arange(1, 26))
        np.testing.assert_array_equal(line.get_ydata(), [getattr(row, name) for row in solution.trace])
    assert axes[-1].get_xlabel() == "round"
    with pytest.raises(ppi.ProblemError, match="2 axes for three panels"):
        plotting.sampling.samples(solution, axes[:2])


def test_weights_by_rank_have_no_temperature(problem):
    solution = ppi.solve(problem, ppi.CEM(64, max_iterations=3))
    axes = plotting.sampling.samples(solution)
    assert not axes[2].lines
    assert "by rank" in axes[2].texts[0].get_text()
