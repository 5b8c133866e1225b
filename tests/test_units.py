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
