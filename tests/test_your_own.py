"""A plant, a cost and a method of one's own, of 15 lines each, in place of what the package has."""

import math
from dataclasses import replace

import numpy as np
import pytest

import plants
import ppi_robotics as ppi
from ppi_robotics.recursion import backward
from ppi_robotics.rollouts import no_limits, shooting
from ppi_robotics.steps.base import Iterate, Phase


class Careful:
    """iLQG with heavy damping, then the averse policy of LEQG about its path."""

    name = "careful"

    def plan(self, problem):
        first = ppi.ILQG(damping=100.0).plan(problem)
        return replace(first, phases=(*first.phases, ppi.LEQG(theta=0.01).plan(problem).phases[-1]), other=None)


class PlainSteps(Phase):
    """Full Gauss-Newton steps along the closed loop, without damping or search."""

    def begin(self, problem, x, u):
        x, u, cost = shooting(problem, no_limits(problem.plant.nu)).rollout(x, u)
        return Iterate(x, u, np.zeros((len(u), problem.plant.noise.columns)), cost)

    def expand(self, problem, iterate):
        return self.local_model(problem, iterate), None

    def advance(self, problem, iterate, index):
        found = backward(self.expand(problem, iterate)[0], math.inf, 0.0)
        path = iterate.x, iterate.u, found.K, found.k
        line = shooting(problem, no_limits(problem.plant.nu))
        _, cost, x, u, _ = line.search(np.ones(1), math.inf, 0.0, 0.0, 0.0, *path)
        still = abs(cost - iterate.cost) < 1e-10 * cost
        return replace(
            iterate, x=x, u=u, cost=cost, completed=True, status=ppi.Status.CONVERGED if still else None
        ), None


class Plain:
    name = "plain"

    def plan(self, problem):
        return replace(ppi.ILQG().plan(problem), phases=(PlainSteps(),), other=None)


@pytest.fixture(scope="module")
def task():
    plant = plants.Pendulum(torque_limit=None)
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging + [0.3, 0.0], 40)


def test_a_method_of_ones_own_is_solved_by(task):
    assert isinstance(Careful(), ppi.Method)
    averse = ppi.solve(task, ppi.LEQG(theta=0.01), starts=4)
    own = ppi.solve(task, Careful(), starts=4)
    assert own.status is averse.status is ppi.Status.CONVERGED
    assert own.method.name == "careful"
    assert own.nominal_cost == pytest.approx(averse.nominal_cost, rel=1e-6)
    assert np.allclose(own.policy.K, averse.policy.K, rtol=1e-3, atol=1e-3)


def test_a_phase_of_ones_own_finds_the_optimum_that_it_starts_near(task):
    known = ppi.solve(task, ppi.ILQG())
    own = ppi.solve(task, Plain(), policy=known.policy)
    assert own.status is ppi.Status.CONVERGED
    assert own.nominal_cost == pytest.approx(known.nominal_cost, rel=1e-7)


class Named:
    """A method whose plan is what it is given."""

    name = "odd one"

    def __init__(self, plan):
        self._plan = plan

    def plan(self, problem):  # noqa: ARG002
        return self._plan


def nonsense():
    """What is no plan, and what of it the message shows."""
    plan = ppi.ILQG().plan(ppi.Problem(plants.Pendulum(), ppi.Quadratic([1, 1], [1]), [0, 0], 3))
    yield "None", None
    yield "a list", [1, 2]
    yield "phases alone", plan.phases
    yield "no phases", replace(plan, phases=())
    yield "phases that are none", replace(plan, phases=(print,))
    yield "another one that is none", replace(plan, other=3)


@pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in nonsense()])
@pytest.mark.parametrize("use", [ppi.solve, ppi.RecedingHorizon], ids=["solve", "receding horizon"])
def test_a_plan_that_is_none_is_named_in_one_line(task, use, plan):
    with pytest.raises(ppi.ProblemError, match=r"plan\(problem\) of method 'odd one' returns") as caught:
        use(task, Named(plan))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("method", [ppi.ILQG, "ilqg", None, Named], ids=["class", "text", "None", "own class"])
def test_what_is_no_method_is_named_in_one_line(task, method):
    with pytest.raises(ppi.ProblemError, match=r"method is .* an object with `name` and `plan\(problem\)`"):
        ppi.solve(task, method)


def test_a_receding_horizon_replans_by_a_method_of_ones_own(task):
    with ppi.RecedingHorizon(task, Careful(), replan_every=5) as mpc:
        assert np.isfinite(mpc.command(task.initial.mean)).all()
