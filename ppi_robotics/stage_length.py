"""Whether a stage is too long for a plant's integrator: a mode that decays in continuous time grows when integrated.

A mode of rate a, an eigenvalue of df/dx [1/s], is multiplied by exp(a dt) in truth, by R(a dt) in a Runge-Kutta step;
R is the scheme's polynomial. Semi-implicit Euler, which treats positions and velocities apart, has no such R: there the
modes of its step that grow are counted beside those of df/dx that do. (E. Hairer, G. Wanner, *Solving ordinary
differential equations II*, 1996.)
"""

import logging
import math

import numpy as np

from ppi_robotics.problem import Plant
from ppi_robotics.symbolic import INTEGRATORS, SymbolicPlant

MOST_STAGES = 16  # of a path that are looked at
VISIBLE = math.log(2.0)  # growth over the horizon that is worth a warning
MOST_STEPS = 2**20
# no mode that decays grows where dt |df/dx| is smaller; all but fourth order may let undamped oscillations grow
HARMLESS = {"rk4": 2.5, "semi_implicit_euler": 1.0}
logger = logging.getLogger("ppi_robotics")


def warn_of_long_stages(plant: Plant, x: np.ndarray, u: np.ndarray) -> None:
    """Warn, once for a plant, if a mode along a path grows by the integrator alone, and name a stage length that works.

    Args:
      plant: any plant; only a `SymbolicPlant` with a derivative is looked at.
      x, u: states (T + 1, nx) and controls (T, nu).
    """
    if not isinstance(plant, SymbolicPlant) or plant.transition is not None or plant.model.warned:
        return
    every = -(-len(u) // MOST_STAGES)
    J = plant.model.rates(x[:-1:every], u[::every])
    if plant.dt * np.sqrt(np.einsum("tij,tij->t", J, J)).max() < HARMLESS.get(plant.integrator, 0.0):
        return
    J = J[np.isfinite(J).all(axis=(1, 2))]
    if not len(J):
        return
    growth, fastest = false_growth(J, plant.dt, plant.integrator)
    if growth.mean() * len(u) <= VISIBLE:
        return
    plant.model.warned = True
    logger.warning(
        "plant %s: a stage of %g s is too long for %s: its fastest mode of %s 1/s decays, and grows %.2g times a stage "
        "when integrated; %s",
        *(plant.name, plant.dt, plant.integrator, _rate(fastest[growth.argmax()]), math.exp(min(growth.max(), 700.0))),
        _advice(J, plant.dt, plant.integrator),
    )


def false_growth(J, dt, integrator):
    """Logarithm (N,) of the growth per step of modes that should decay, and the rates (N,) of the fastest of them.

    Args:
      J: df/dx (N, nx, nx).
      dt: of a step [s].
      integrator: name of the scheme.
    """
    rates = np.linalg.eigvals(J)
    decays = rates.real < 0.0
    fastest = rates[np.arange(len(J)), np.where(decays, np.abs(rates), -1.0).argmax(axis=1)]
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        if integrator != "semi_implicit_euler":
            growth = np.where(decays, np.log(np.abs(amplification(rates * dt, integrator))), 0.0)
            return np.maximum(growth.max(axis=1), 0.0), fastest
        half = J.shape[1] // 2
        late = np.eye(2 * half) + dt * J
        late[:, :half] += dt * dt * J[:, half:]
        sizes = np.sort(np.abs(np.linalg.eigvals(late)), axis=1)
        first = np.take_along_axis(sizes, decays.sum(axis=1)[:, None] - 1, axis=1)[:, 0]  # of those that should decay
        return np.where(decays.any(axis=1), np.maximum(np.log(first), 0.0), 0.0), fastest


def amplification(z, integrator):
    """R(z) of a Runge-Kutta scheme in which every stage uses only the one before."""
    slope, total = np.ones_like(z), np.ones_like(z)
    for node, weight in zip(*INTEGRATORS[integrator], strict=True):
        slope = 1.0 + node * z * slope
        total = total + weight * z * slope
    return total


def _advice(J, dt, integrator):
    """How short a step would do, in words."""

    def fits(steps):
        return false_growth(J, dt / steps, integrator)[0].max() <= 1e-12

    high = 2
    while not fits(high):
        high *= 2
        if high > MOST_STEPS:
            return "choose another integrator, such as rk4"
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return f"a dt of {dt / high:.2g} s would do, as would {high} steps of the integrator a stage"


def _rate(rate):
    """An eigenvalue in words."""
    return f"{rate.real:.3g}" + (f" ± {abs(rate.imag):.3g}i" if rate.imag else "")
