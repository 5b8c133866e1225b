"""A problem in other units is the same problem: iterates, answers and samples agree to rounding."""

import numpy as np
import pytest
from units import Cart, Line, Pole, Swing, Units

import ppi_robotics as ppi

FREE = {  # of lambda in the cost's unit
    "ilqg": lambda g: ppi.ILQG(),
    "ddp": lambda g: ppi.ILQG(hessian="exact"),
    "leqg": lambda g: ppi.LEQG(0.02 / g),
    "ppi": lambda g: ppi.PPI(0.1 / g),
    "averse": lambda g: ppi.PPI(-0.02 / g),
    "neutral": lambda g: ppi.PPI(0),
    "posterior": lambda g: ppi.PPI(3.0 / g, "posterior"),
    "mean only": lambda g: ppi.KLControl(3.0 / g, 0.05 / g, "mean_only"),
    "psi": lambda g: ppi.PsiIteration(3.0 / g),
    "adaptive": lambda g: ppi.PPI(0.1 / g, temperature="adaptive", max_iterations=60),
    "aico": lambda g: ppi.AICO(),
}
LIMITED = {
    "ilqg": lambda g: ppi.ILQG(),
    "ppi": lambda g: ppi.PPI(0.1 / g),
    "averse": lambda g: ppi.PPI(-0.02 / g),
    "sigma points": lambda g: ppi.PPI(0.1 / g, expansion=ppi.SigmaPoints()),
}
SAMPLED = {
    "mppi": lambda g: ppi.MPPI(samples=64, temperature=0.3 * g, noise_draws=2, max_iterations=15),
    "rules": lambda g: ppi.MPPI(samples=64, baseline=0.5, feedback="samples", max_iterations=15),
    "time": lambda g: ppi.MPPI(samples=64, temperature=ppi.REPS(1.0), covariance="time", max_iterations=15),
    "cem": lambda g: ppi.CEM(samples=64, max_iterations=15),
    "predictive": lambda g: ppi.PredictiveSampling(samples=64, max_iterations=15),
}
BOX = {"box": lambda g: ppi.ILQG(limits="box")}
CASES = [
    *((plant, name, make) for plant in (Pole, Line) for name, make in {**FREE, **SAMPLED}.items()),
    *((Swing, name, make) for name, make in {**LIMITED, **BOX, **SAMPLED}.items()),
    *((Cart, name, make) for name, make in {"mppi": SAMPLED["mppi"], **LIMITED}.items() if name != "sigma points"),
]


def units_of(plant, name, factors=None):
    nx, nu = len(plant.state_names), len(plant.control_names)
    if factors is not None and name == "aico":  # its weight is 1 in any unit
        factors = np.append(factors[:-1], 1.0)
    return Units.of(nx, nu, factors)


def solved(plant, make, units, starts=2):
    return ppi.solve(plant.problem(units), make(units.cost), seed=3, starts=starts)


def powers(plant, seed):
    size = len(plant.state_names) + len(plant.control_names) + 2
    factors = 2.0 ** np.random.default_rng(seed).integers(-20, 21, size)
    factors[-1] = factors[-1] ** 2 if abs(np.log2(factors[-1])) <= 10 else 4.0 ** np.sign(np.log2(factors[-1]))
    return factors


@pytest.mark.parametrize(("plant", "name", "make"), CASES, ids=lambda value: getattr(value, "__name__", str(value)))
def test_powers_of_two_leave_every_iterate_as_it_is(plant, name, make):
    own = units_of(plant, name)
    first = solved(plant, make, own)
    for seed in (1, 2):
        units = units_of(plant, name, powers(plant, seed))
        again = solved(plant, make, units)
        assert again.status is first.status
        assert len(again.trace) == len(first.trace)
        for a, b in zip(first.trace, again.trace, strict=True):
            assert b.cost / units.cost == pytest.approx(a.cost / own.cost, rel=1e-9)
            assert (a.phase, a.step, a.damping) == (b.phase, b.step, b.damping)
        for s, t in zip(first.starts, again.starts, strict=True):
            assert t.nominal_cost / units.cost == pytest.approx(s.nominal_cost / own.cost, rel=1e-9)
        for name_, unit in (("x", "state"), ("u", "control")):
            a, b = getattr(first, name_) / getattr(own, unit), getattr(again, name_) / getattr(units, unit)
            np.testing.assert_allclose(b, a, rtol=0, atol=1e-9 * np.abs(a).max())


def others(plant, seed):
    size = len(plant.state_names) + len(plant.control_names) + 2
    return 10.0 ** np.random.default_rng(seed).uniform(-6, 6, size)


OTHERS = [(Pole, "ilqg"), (Pole, "ppi"), (Pole, "posterior"), (Line, "leqg"), (Line, "psi"), (Line, "adaptive")]
OTHERS += [
    (Swing, "ilqg"),
    (Swing, "ppi"),
    (Swing, "box"),
    (Cart, "ilqg"),
    (Cart, "averse"),
    (Pole, "mppi"),
    (Line, "cem"),
]
MAKE = {**FREE, **LIMITED, **BOX, **SAMPLED}


@pytest.mark.parametrize(("plant", "name"), OTHERS, ids=lambda value: getattr(value, "__name__", value))
def test_any_units_lead_to_the_same_cost(plant, name):
    first = solved(plant, MAKE[name], units_of(plant, name))
    for seed in (1, 2, 3):
        units = units_of(plant, name, others(plant, seed))
        again = solved(plant, MAKE[name], units)
        assert again.status is first.status
        own = units_of(plant, name).cost
        assert again.nominal_cost / units.cost == pytest.approx(first.nominal_cost / own, rel=1e-6)


@pytest.mark.parametrize("plant", [Pole, Swing, Cart, Line])
def test_rollouts_and_what_they_tell_agree_in_any_units(plant):
    """Powers of two, to the last digits; the same noise is counted in other units."""
    name, told = "ilqg", []
    for factors in (None, powers(plant, 5), powers(plant, 6)):
        units = units_of(plant, name, factors)
        problem = plant.problem(units)
        solution = solved(plant, MAKE[name], units, starts=1)
        paths = ppi.rollout(problem, solution.policy, samples=70, seed=2)
        found = ppi.evaluate(problem, solution.policy, samples=70, seed=2)
        theta = ppi.critical_theta(solution) * units.cost
        told.append(
            (paths.x / units.state, paths.u / units.control, paths.cost / units.cost, found.mean / units.cost, theta)
        )
    for other in told[1:]:
        for a, b in zip(told[0], other, strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-9 * np.abs(a).max())


@pytest.mark.parametrize("plant", [Pole, Swing])
def test_receding_horizons_command_the_same_in_any_units(plant):
    commands = []
    for factors in (None, powers(plant, 7), powers(plant, 8)):
        units = units_of(plant, "ilqg", factors)
        problem = plant.problem(units)
        loop, x, given = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=3), seed=1), problem.initial.mean, []
        for _ in range(4):
            u = loop.command(x)
            given.append(u / units.control)
            x = problem.plant.step(x[None], u[None])[0]
        commands.append(np.array(given))
    for other in commands[1:]:
        np.testing.assert_allclose(other, commands[0], rtol=0, atol=1e-9 * np.abs(commands[0]).max())


class Climb(ppi.SymbolicPlant):
    """A rise to far above, in any unit of length."""

    state_names, control_names, dt = ("altitude", "speed"), ("acceleration",), 1.0

    def __init__(self, meter):
        self.meter, self.noise = meter, [0.0, 1e4 * meter**2]

    def transition(self, x, u):
        return ppi.vertcat(x[0] + x[1] + 0.5 * u[0], x[1] + u[0])


def test_states_may_be_large_numbers():
    """Pascal, meters above the ground and counts are no sign of divergence; a state that runs away is."""
    means = []
    for meter in (1e-3, 1.0, 1e9):
        weight = 1e-6 / meter**2
        cost = ppi.Quadratic([weight] * 2, [weight], [10 * weight] * 2, [2e5 * meter, 0.0])
        problem = ppi.Problem(Climb(meter), cost, [1.99e5 * meter, 0.0], 40)
        found = ppi.evaluate(problem, ppi.solve(problem, ppi.ILQG(), starts=1).policy, samples=100, seed=0)
        assert found.diverged == 0
        means.append(found.mean)
    np.testing.assert_allclose(means, means[0], rtol=1e-9)
    K = np.tile([[[30.0, 30.0]]], (40, 1, 1))
    still = ppi.LinearGaussianPolicy(
        np.zeros((40, 2)),
        np.zeros((40, 1)),
        K,
        np.zeros((40, 1, 1)),
        1.0,
        "Climb",
        ("altitude", "speed"),
        ("acceleration",),
    )
    assert np.isinf(ppi.rollout(problem, still).cost).all()
