"""A double pendulum with a motor at the elbow only, both links uniform rods.

M. W. Spong, *The swing up control problem for the acrobot* (IEEE Control Systems 15, 1995).
"""

from functools import partial

import numpy as np

import ppi_robotics as ppi
from plants.drawing import Disk, Line
from plants.mechanics import accelerations
from plants.parameters import interval, numbers, pair, weights
from plants.residuals import weighed, with_control


def upright(x, angle, angular_velocity):
    """Residuals of the deviation from standing upright at rest."""
    directions = [f for a in (x[0], x[0] + x[1]) for f in (ppi.sin(a), 1 - ppi.cos(a))]
    return ppi.vertcat(*(angle**0.5 * f for f in directions), angular_velocity**0.5 * x[2:])


class Acrobot(ppi.SymbolicPlant):
    """Acrobot; state (shoulder angle, elbow angle, their rates), shoulder 0 upright, elbow 0 straight.

    Attributes:
      masses: of the links [kg].
      lengths: of the links [m].
      gravity: [m/s^2].
      sigma: diffusion of both angular velocities [rad/s per square root of a second].
      torque_limit: largest elbow torque in either direction [N m]; None for no limit.
      dt: seconds a stage.
      integrator: rk4, semi_implicit_euler, ...
    """

    name = "acrobot"
    state_names = ("shoulder angle", "elbow angle", "shoulder velocity", "elbow velocity")
    control_names = ("elbow torque",)
    units = ("rad", "rad", "rad/s", "rad/s", "N m")
    default_horizon = 250
    hanging = np.array([np.pi, 0.0, 0.0, 0.0])
    upright = np.zeros(4)

    def __init__(
        self,
        masses: tuple[float, float] = (1.0, 1.0),
        lengths: tuple[float, float] = (1.0, 1.0),
        gravity: float = 9.81,
        sigma: float = 0.02,
        torque_limit: float = 10.0,
        dt: float = 0.02,
        integrator: str = "rk4",
    ) -> None:
        self.masses, self.lengths = pair(masses, "masses"), pair(lengths, "lengths")
        self.gravity, self.sigma, self.dt = numbers(gravity=gravity, sigma=sigma, dt=dt)
        self.integrator = integrator
        self.noise = self.dt * np.array([0.0, 0.0, self.sigma, self.sigma]) ** 2
        self.control_limits = [interval(torque_limit, "torque_limit")]

    def derivative(self, x, u):
        """Angular velocities and accelerations."""
        (m1, m2), (l1, l2), g = self.masses, self.lengths, self.gravity
        shoulder, elbow, rate, elbow_rate = x[0], x[1], x[2], x[3]
        h1, h2, h3 = m1 * l1**2 / 3 + m2 * l1**2, m2 * l2**2 / 3, m2 * l1 * l2 / 2
        bend, couple = ppi.cos(elbow), h3 * ppi.sin(elbow)
        weight2 = m2 * g * l2 / 2 * ppi.sin(shoulder + elbow)
        weight1 = (m1 / 2 + m2) * g * l1 * ppi.sin(shoulder) + weight2
        mass = [[h1 + h2 + 2 * h3 * bend, None], [h2 + h3 * bend, h2]]
        force = [weight1 + couple * elbow_rate * (2 * rate + elbow_rate), u[0] + weight2 - couple * rate**2]
        return ppi.vertcat(rate, elbow_rate, *accelerations(mass, force))

    def swing_up_cost(
        self, angle: float = 0.1, angular_velocity: float = 0.01, torque: float = 0.01, terminal: float = 1000.0
    ) -> ppi.LeastSquares:
        """Cost of the links' directions, of rates and torque; `terminal` weighs the state's at the end.

        angle (sin^2 + (1 - cos)^2) of both links' angles from the vertical + angular_velocity |rates|^2 + torque u^2
        """

        angle, angular_velocity = weights(angle=angle, angular_velocity=angular_velocity)
        torque, terminal = weights(torque=torque, terminal=terminal)
        residuals = partial(upright, angle=angle, angular_velocity=angular_velocity)
        return ppi.LeastSquares(partial(with_control, residuals, torque), partial(weighed, residuals, terminal))

    def success(self, x: np.ndarray) -> np.ndarray:
        """Whether final states (N, 4) are upright: both links within 0.3 rad of the vertical and 2 rad/s of rest."""
        links = np.stack([x[:, 0], x[:, 0] + x[:, 1]])
        return (np.cos(links) > np.cos(0.3)).all(axis=0) & (np.abs(x[:, 2:]) < 2.0).all(axis=1)

    @property
    def view(self) -> dict[str, object]:
        """Window (left, right, bottom, top) of a drawing [m]."""
        reach = 1.15 * sum(self.lengths)
        return (-1.2 * reach, 1.2 * reach, -reach, reach)

    def draw(self, x: np.ndarray) -> list[object]:
        """Shapes that show a state (4,)."""
        elbow = self.lengths[0] * np.array([np.sin(x[0]), np.cos(x[0])])
        tip = elbow + self.lengths[1] * np.array([np.sin(x[0] + x[1]), np.cos(x[0] + x[1])])
        return [
            Line(np.array([[0.0, 0.0], elbow, tip]), 5.0, "link"),
            Disk((0.0, 0.0), 0.06, "joint"),
            Disk(tuple(elbow), 0.06, "joint"),
            Disk(tuple(tip), 0.08, "tip"),
        ]
