"""By how much a path leaves the limits of its plant."""

from dataclasses import dataclass

import numpy as np

from ppi_robotics.problem import is_limited


@dataclass(frozen=True, slots=True)
class Violation:
    """The worst that a path does to a limit.

    Attributes:
      name, unit: of the state or control.
      stage: where it is farthest outside.
      value: there.
      limit: that it exceeds.
      size: |value - limit| over the scale of the state, or the control.
    """

    name: str
    unit: str
    stage: int
    value: float
    limit: float
    size: float

    def __str__(self):
        unit = f" {self.unit}" if self.unit else ""
        side = "below" if self.value < self.limit else "above"
        beyond = f"{abs(self.value - self.limit):.3g}{unit} {side} its limit {self.limit:g}{unit}"
        return f"{self.name} is {self.value:.6g}{unit} at stage {self.stage}, {beyond}"


def worst_violation(problem, x, u):
    """`Violation` of a path x (T + 1, nx), u (T, nu), None if it keeps all limits."""
    plant, worst = problem.plant, None
    if not is_limited(plant):
        return None
    scales = problem.scales
    for values, limits, scale, first in (
        (x, plant.state_limits, scales.state, 0),
        (u, plant.control_limits, scales.control, plant.nx),
    ):
        for i in np.flatnonzero(np.isfinite(limits).any(axis=1)):
            low, high = limits[i]
            beyond = np.maximum(low - values[:, i], values[:, i] - high)
            stage = int(np.argmax(beyond))
            size = float(beyond[stage]) / (float(scale[i]) or 1.0)
            if size > (worst.size if worst else 0.0):
                value = float(values[stage, i])
                name = (*plant.state_names, *plant.control_names)[first + i]
                unit = plant.units[first + i] if plant.units else ""
                worst = Violation(name, unit, stage, value, float(low if value < low else high), size)
    return worst
