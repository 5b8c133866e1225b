"""Derivatives of a MuJoCo plant against differences that share no code with them: plain steps, another step size."""

from dataclasses import dataclass

import mujoco
import numpy as np

from ppi_robotics.checks import as_finite
from ppi_robotics.multibody import loading, portable

STEP = 1e-5  # ten times that of the derivatives, so that what depends on the step size shows
SHOWN = 10  # entries that the text lists


@dataclass(frozen=True)
class Disagreement:
    """An entry of a derivative on which two computations differ.

    Attributes:
      entry: such as "d elbow velocity / d torque".
      given, independent: its two values.
      knot: index of the state and control.
      error: as in `DerivativeCheck`.
      contact: whether between the ends of the difference a contact, or another constraint, sets in or ends.
    """

    entry: str
    given: float
    independent: float
    knot: int
    error: float
    contact: bool

    def __str__(self):
        why = ", where a contact or limit sets in or ends" if self.contact else ""
        return f"{self.entry}: {self.given:.6g} against {self.independent:.6g} at knot {self.knot}{why}"


@dataclass(frozen=True)
class DerivativeCheck:
    """How well derivatives agree with independent differences.

    Attributes:
      knots: number of states and controls at which they were compared.
      entries: number of entries compared.
      largest: the largest error of all, relative to 1 or the entry, whichever is larger; inf where one is not finite.
      tolerance: errors above it count as disagreement.
      disagreements: tuple of `Disagreement`, the largest error first.
    """

    knots: int
    entries: int
    largest: float
    tolerance: float
    disagreements: tuple

    @property
    def agrees(self):
        """Whether no entry disagrees."""
        return not self.disagreements

    def __str__(self):
        found = f"largest error {self.largest:.2g}, tolerance {self.tolerance:g}"
        if self.agrees:
            return f"all {self.entries} derivatives at {self.knots} knots agree ({found})"
        count = len(self.disagreements)
        lines = [f"{count} of {self.entries} derivatives at {self.knots} knots disagree ({found}):"]
        lines += [f"  {entry}" for entry in self.disagreements[:SHOWN]]
        return "\n".join(lines + [f"  and {count - SHOWN} more"] * (count > SHOWN))


def check(plant, x, u, tolerance):
    """`DerivativeCheck` of `plant.differentiate` at states x (N, nx) and controls u (N, nu)."""
    x, u, tolerance = np.atleast_2d(x), np.atleast_2d(u), float(as_finite(tolerance, "tolerance", ()))
    _, _, A, B, C, D = plant.differentiate(x, u)
    given = np.block([[A, B], [C, D]])
    found = [differences(plant, *knot) for knot in zip(x, u, strict=True)]
    independent, contact = (np.array(parts) for parts in zip(*found, strict=True))
    with np.errstate(invalid="ignore"):
        error = np.abs(given - independent) / np.maximum(1.0, np.maximum(np.abs(given), np.abs(independent)))
    error = np.where(np.isfinite(error), error, np.inf)
    rows, columns = names(plant)
    wrong = sorted(map(tuple, np.argwhere(error > tolerance)), key=lambda at: -error[at])
    listed = tuple(
        Disagreement(
            f"d {rows[i]} / d {columns[j]}",
            float(given[n, i, j]),
            float(independent[n, i, j]),
            int(n),
            float(error[n, i, j]),
            bool(contact[n, j]),
        )
        for n, i, j in wrong
    )
    return DerivativeCheck(len(x), error.size, float(error.max()), tolerance, listed)


def differences(plant, x, u):
    """Derivatives (ndx + ns, ndx + nu) of next tangent and sensors at a knot, and where constraints change (ndx + nu,).

    Central differences; where only one side keeps a control within its range, three points on that side.
    """
    model, data, move = plant.model, mujoco.MjData(plant.model), np.zeros(plant.ndx + plant.nu)
    portable.enter(model, data, x, u)
    warm = data.qacc_warmstart.copy()
    low, high = loading.control_limits_of(model).T
    J = np.empty((plant.ndx + model.nsensordata, len(move)))
    contact, middle = np.zeros(len(move), dtype=bool), end(plant, data, x, u, move, warm)
    for j in range(len(move)):
        i = max(j - plant.ndx, 0)
        inside = [j < plant.ndx or low[i] <= u[i] + side * STEP <= high[i] for side in (1, -1)]
        side = 1 if inside[0] else -1
        ends = []
        for steps in (1, -1) if all(inside) or not any(inside) else (side, 2 * side):
            move[j] = steps * STEP
            ends.append(end(plant, data, x, u, move, warm))
        move[j] = 0.0
        near, far = (gap(plant, one, middle) for one in ends)
        J[:, j] = (near - far) / (2 * STEP) if all(inside) or not any(inside) else side * (4 * near - far) / (2 * STEP)
        contact[j] = len({middle[2], *(one[2] for one in ends)}) > 1
    return J, contact


def end(plant, data, x, u, move, warm):
    """State after a stage from a moved state and control, sensors at its start, and which constraints acted."""
    model, dq = plant.model, move[: plant.model.nv]
    portable.write(model, data, x)
    mujoco.mj_integratePos(model, data.qpos, dq, 1.0)
    data.qvel += move[model.nv : 2 * model.nv]
    data.act += move[2 * model.nv : plant.ndx]
    data.ctrl, data.qacc_warmstart, acting = u + move[plant.ndx :], warm, []
    for s in range(plant.substeps):
        mujoco.mj_step(model, data)
        if s == 0:
            sensors = data.sensordata.copy()
        acting.append((data.nefc, *sorted(map(tuple, data.contact.geom.tolist()))))
    return plant.read(data), sensors, tuple(acting)


def gap(plant, one, other):
    """Differences (ndx + ns,) of two ends."""
    model, dq = plant.model, np.empty(plant.model.nv)
    (x, sensors, _), (x0, sensors0, _) = one, other
    mujoco.mj_differentiatePos(model, dq, 1.0, x0[: model.nq], x[: model.nq])
    return np.concatenate((dq, (x - x0)[model.nq :], sensors - sensors0))


def names(plant):
    """Names of what the derivatives are of, and of what they are with respect to."""
    model = plant.model
    rates = plant.state_names[model.nq : model.nq + model.nv]
    tangent = (*(name.removesuffix(" velocity") for name in rates), *plant.state_names[model.nq :])
    sensors = [f"sensor '{name}' {i - of.start}" for name, of in plant.sensor_names.items() for i in range(of.stop)[of]]
    return (*tangent, *sensors), (*tangent, *plant.control_names)
