"""Stages too long for the integrator: what grows by it alone, the advice, and no false alarms."""

import logging
import math

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum
from ppi_robotics.symbolic.plant import amplification, false_growth, warn_of_long_stages

T = 100
LIMITS = {"euler": 2.0, "midpoint": 2.0, "rk4": 2.785293563405282}  # of -a dt, at which |R| is 1 again


class Motor(ppi.SymbolicPlant):
    """A motor whose current settles within 1 / rate seconds."""

    state_names, control_names, dt = ("angle", "speed", "current"), ("voltage",), 0.01

    def __init__(self, rate, integrator="rk4"):
        self.rate, self.integrator = rate, integrator

    def derivative(self, x, u):
        return ppi.vertcat(x[1], x[2] - 0.5 * x[1], self.rate * (u[0] - x[2]))


class Spring(ppi.SymbolicPlant):
    """A mass on a stiff damped spring."""

    state_names, control_names, dt, integrator = ("position", "velocity"), ("force",), 0.01, "semi_implicit_euler"

    def __init__(self, frequency, damping):
        self.frequency, self.damping = frequency, damping

    def derivative(self, x, u):
        return ppi.vertcat(x[1], u[0] - self.frequency**2 * x[0] - 2.0 * self.damping * self.frequency * x[1])


def told(caplog, plant, x=None, u=None):
    """The warnings about a path, by default one at rest."""
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="ppi_robotics"):
        warn_of_long_stages(
            plant, np.zeros((T + 1, plant.nx)) if x is None else x, np.zeros((T, plant.nu)) if u is None else u
        )
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(("integrator", "order"), [("euler", 1), ("midpoint", 2), ("rk4", 4)])
def test_the_amplification_is_the_exponential_up_to_the_order(integrator, order):
    z = np.array([-3.0, -0.1 + 2.0j, 1j, 0.5])
    series = sum(z**k / math.factorial(k) for k in range(order + 1))
    np.testing.assert_allclose(amplification(z, integrator), series, rtol=1e-14)


@pytest.mark.parametrize("integrator", LIMITS)
def test_a_warning_comes_where_the_fastest_mode_leaves_the_region_of_stability(caplog, integrator):
    bound = LIMITS[integrator] / Motor.dt
    assert told(caplog, Motor(0.99 * bound, integrator)) == []
    (message,) = told(caplog, Motor(1.02 * bound, integrator))
    assert "plant Motor" in message
    assert f"too long for {integrator}" in message
    assert "would do, as would 2 steps" in message


@pytest.mark.parametrize("integrator", LIMITS)
def test_the_advice_is_the_longest_step_that_does(caplog, integrator):
    rate = 5000.0
    (message,) = told(caplog, Motor(rate, integrator))
    steps = math.ceil(rate * Motor.dt / LIMITS[integrator])
    assert f"its fastest mode of -{rate:.3g} 1/s" in message
    assert message.endswith(
        f"a dt of {Motor.dt / steps:.2g} s would do, as would {steps} steps of the integrator a stage"
    )


@pytest.mark.parametrize(("frequency", "damping"), [(150.0, 0.1), (250.0, 0.1), (100.0, 1.5), (190.0, 0.0)])
def test_semi_implicit_euler_is_judged_by_its_step(caplog, frequency, damping):
    """The matrix of the step by following both unit vectors, and its spectral radius."""
    plant = Spring(frequency, damping)
    position, velocity = np.eye(2)
    velocity = velocity + plant.dt * (-(frequency**2) * position - 2 * damping * frequency * velocity)
    step = np.array([position + plant.dt * velocity, velocity])
    radius = np.abs(np.linalg.eigvals(step)).max()
    growth, _ = false_growth(plant.model.rates(np.zeros((1, 2)), np.zeros((1, 1))), plant.dt, plant.integrator)
    if damping:
        assert growth[0] == pytest.approx(max(math.log(radius), 0.0), abs=1e-12)
    assert bool(told(caplog, plant)) == (radius > 1.01)


def test_a_plant_is_warned_of_once(caplog):
    plant = Motor(5000.0)
    assert len(told(caplog, plant)) == 1
    assert told(caplog, plant) == []


def test_what_grows_in_truth_or_for_a_few_stages_is_no_reason(caplog):
    class Unstable(ppi.SymbolicPlant):
        """Falls at 400 per second, or, far away, decays at that rate."""

        state_names, control_names, dt = ("x",), ("u",), 0.01

        def derivative(self, x, u):
            return 400.0 * x[0] * ppi.if_else(x[0] > 1.0, -1.0, 1.0) + u[0]

    few = np.zeros((1001, 1))
    assert told(caplog, Unstable(), few, np.zeros((1000, 1))) == []
    few[500] = 2.0
    assert told(caplog, Unstable(), few, np.zeros((1000, 1))) == []
    assert len(told(caplog, Unstable(), few + 2.0, np.zeros((1000, 1)))) == 1


@pytest.mark.parametrize("plant", [CartPole, Pendulum, Acrobot, DoubleCartPole])
@pytest.mark.parametrize("integrator", ["rk4", "semi_implicit_euler", "midpoint"])
def test_plants_of_the_package_give_no_false_alarm(caplog, plant, integrator):
    """At states from all over a swing-up, faster than any of them gets: modes of both signs, none of them stiff."""
    plant = plant(integrator=integrator)
    rng = np.random.default_rng(0)
    half = plant.nx // 2
    x = np.hstack([rng.uniform(-np.pi, np.pi, (301, half)), rng.uniform(-8.0, 8.0, (301, half))])
    assert told(caplog, plant, x, rng.uniform(-10.0, 10.0, (300, plant.nu))) == []


def test_discrete_plants_and_paths_that_are_not_finite_pass(caplog):
    class Fast(ppi.SymbolicPlant):
        """Stable only by its transition."""

        state_names, control_names, dt = ("x",), ("u",), 1.0

        def transition(self, x, u):
            return 0.5 * x[0] + u[0]

    assert told(caplog, Fast()) == []
    lost = np.full((T + 1, 4), np.nan)
    assert told(caplog, CartPole(integrator="euler"), lost) == []
    assert len(told(caplog, Motor(5000.0), lost[:, :3])) == 1  # whose modes are the same everywhere


def test_solve_warns_of_stages_that_are_too_long(caplog):
    problem = ppi.Problem(Motor(600.0), ppi.Quadratic([1.0, 0.01, 0.0], [0.01], [10.0, 1.0, 0.0]), [1.0, 0, 0], 20)
    with caplog.at_level(logging.WARNING, logger="ppi_robotics"):
        ppi.solve(problem, ppi.ILQG())
    assert sum("too long for rk4" in record.getMessage() for record in caplog.records) == 1
