"""Derivatives of a MuJoCo plant against differences that share no code with them: plain steps, another step size."""

from dataclasses import dataclass

import mujoco
import numpy as np

from ppi_robotics.checks import as_finite
from ppi_robotics.mujoco import loading, naming

STEP = 1e-5  # ten times that of the derivatives, so that what depends on the step size shows
FINER = 10  # times smaller a step, at which differences of what is smooth have settled
SETTLED, GROWN = 0.3, 3.0  # shares of their gaps at the larger step; what is smooth has 1 / FINER and 1
SHOWN = 10  # entries that the text lists


@dataclass(frozen=True)
class Disagreement:
    """An entry of a derivative on which two computations differ.

    Attributes:
      entry: such as "d elbow velocity / d torque".
      given, independent: its two values.
      knot: index of the state and control.
      error: as in `DerivativeCheck`.
      contact: whether a contact or a limit changes there: between the ends of the difference a constraint sets in or
        ends, or what follows jumps or bends, as its differences do not settle with smaller steps.
    """

    entry: str
    given: float
    independent: float
    knot: int
    error: float
    contact: bool

    def __str__(self):
        why = "; a contact or limit changes here" if self.contact else ""
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
    contact = np.repeat(contact[:, None], len(rows), axis=1)
    for n, j in {(n, j) for n, i, j in wrong if not contact[n, i, j]}:
        contact[n, :, j] = breaks(plant, x[n], u[n], j, tolerance)
    listed = tuple(
        Disagreement(
            f"d {rows[i]} / d {columns[j]}",
            float(given[n, i, j]),
            float(independent[n, i, j]),
            int(n),
            float(error[n, i, j]),
            bool(contact[n, i, j]),
        )
        for n, i, j in wrong
    )
    return DerivativeCheck(len(x), error.size, float(error.max()), tolerance, listed)


def differences(plant, x, u):
    """Derivatives (ndx + ns, ndx + nu) of next tangent and sensors at a knot, and where constraints change (ndx + nu,).

    Central differences; where only one side keeps a control within its range, three points on that side.
    """
    from_here = Ends(plant, x, u)
    J = np.empty((plant.ndx + plant.model.nsensordata, plant.ndx + plant.nu))
    contact = np.zeros(J.shape[1], dtype=bool)
    for j in range(J.shape[1]):
        steps, near, far, contact[j] = from_here.moved(j, STEP)
        J[:, j] = (near - far) / (2 * STEP) if sum(steps) == 0 else steps[0] * (4 * near - far) / (2 * STEP)
    return J, contact


def breaks(plant, x, u, j, tolerance):
    """Where in column j a jump or a bend lies at a knot (ndx + ns,).

    The slopes of two neighboring pieces differ by a step times the curvature where it is smooth, so that they come
    nearer with smaller steps. A bend keeps them apart, and a jump is the larger the smaller the step is.
    """
    from_here, apart, slopes = Ends(plant, x, u), [], []
    for step in (STEP, STEP / FINER):
        steps, near, far, _ = from_here.moved(j, step)
        one, other = (near, -far) if sum(steps) == 0 else (steps[0] * near, steps[0] * (far - near))
        apart.append(np.abs(one - other) / step)
        slopes.append(np.abs(one + other) / (2 * step))
    matters = tolerance * np.maximum(1.0, slopes[1])
    bent = (apart[1] > matters) & (apart[1] > SETTLED * apart[0])
    jumped = (slopes[1] > GROWN * slopes[0]) & (slopes[1] - slopes[0] > matters)  # on both sides, by as much
    return bent | jumped


class Ends:
    """What follows from a knot when one of its entries is moved, with the solver warm from the knot itself."""

    def __init__(self, plant, x, u):
        self.plant, self.x, self.u, self.data = plant, x, u, mujoco.MjData(plant.model)
        loading.write(plant.model, self.data, x)
        self.data.ctrl[:] = u
        mujoco.mj_forward(plant.model, self.data)
        self.warm, self.limits = self.data.qacc_warmstart.copy(), naming.control_limits_of(plant.model)
        self.middle = self._end(np.zeros(plant.ndx + plant.nu))

    def moved(self, j, step):
        """Two moves of entry j, in steps, the changes (ndx + ns,) that they lead to, and whether constraints change."""
        (low, high), i = self.limits[max(j - self.plant.ndx, 0)], max(j - self.plant.ndx, 0)
        inside = [j < self.plant.ndx or low <= self.u[i] + side * step <= high for side in (1, -1)]
        side = 1 if inside[0] else -1
        steps = (1, -1) if all(inside) or not any(inside) else (side, 2 * side)
        ends = [self._end(step * count * np.eye(self.plant.ndx + self.plant.nu)[j]) for count in steps]
        changes = (gap(self.plant, one, self.middle) for one in ends)
        return steps, *changes, len({self.middle[2], *(one[2] for one in ends)}) > 1

    def _end(self, move):
        return end(self.plant, self.data, self.x, self.u, move, self.warm)


def end(plant, data, x, u, move, warm):
    """State after a stage from a moved state and control, sensors at its start, and which constraints acted."""
    model, dq = plant.model, move[: plant.model.nv]
    loading.write(model, data, x)
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
