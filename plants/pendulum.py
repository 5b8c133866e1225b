"""A pendulum with a motor at its hinge:  m l^2 dw/dt = m g l sin a - b w + torque."""

from functools import partial

import numpy as np

import ppi_robotics as ppi
from plants.drawing import Disk, Line
from plants.parameters import interval, numbers, weights
from plants.residuals import weighed, with_control


def upright(x, angle, angular_velocity):
    """Residuals of the deviation from standing upright at rest."""
    return ppi.vertcat(angle**0.5 * ppi.sin(x[0]), angle**0.5 * (1 - ppi.cos(x[0])), angular_velocity**0.5 * x[1])


class Pendulum(ppi.SymbolicPlant):
    """Pendulum; state (angle, angular velocity), angle 0 upright, control the motor's torque.

    The default motor can hold the pendulum within 31 degrees of the vertical, so it must swing up.

    Attributes:
      mass: at the tip [kg].
      length: from hinge to tip [m].
      damping: of the hinge [N m s/rad].
      gravity: [m/s^2].
      sigma: diffusion of the angular velocity [rad/s per square root of a second].
      torque_limit: largest torque in either direction [N m]; None for no limit.
      dt: seconds a stage.
      integrator: rk4, semi_implicit_euler, ...
    """

    name = "pendulum"
    state_names = ("angle", "angular velocity")
    control_names = ("torque",)
    units = ("rad", "rad/s", "N m")
    default_horizon = 250
    hanging = np.array([np.pi, 0.0])
    upright = np.zeros(2)

    def __init__(
        self,
        mass: float = 1.0,
        length: float = 1.0,
        damping: float = 0.1,
        gravity: float = 9.81,
        sigma: float = 0.05,
        torque_limit: float = 5.0,
        dt: float = 0.02,
        integrator: str = "rk4",
    ) -> None:
        self.mass, self.length, self.damping = numbers(mass=mass, length=length, damping=damping)
        self.gravity, self.sigma, self.dt = numbers(gravity=gravity, sigma=sigma, dt=dt)
        self.integrator = integrator
        self.noise = self.dt * np.array([0.0, self.sigma]) ** 2
        self.control_limits = [interval(torque_limit, "torque_limit")]

    def derivative(self, x, u):
        """Angular velocity and acceleration."""
        angle, rate = x[0], x[1]
        torque = self.mass * self.gravity * self.length * ppi.sin(angle) - self.damping * rate + u[0]
        return ppi.vertcat(rate, torque / (self.mass * self.length**2))

    def swing_up_cost(
        self, angle: float = 1.0, angular_velocity: float = 0.1, torque: float = 0.01, terminal: float = 100.0
    ) -> ppi.LeastSquares:
        """Cost angle (sin^2 a + (1 - cos a)^2) + angular_velocity w^2 + torque u^2; `terminal` weighs the state's end.

        Sine and cosine make every full turn count as upright, so that pumping costs no more than hanging.
        """

        angle, angular_velocity = weights(angle=angle, angular_velocity=angular_velocity)
        torque, terminal = weights(torque=torque, terminal=terminal)
        residuals = partial(upright, angle=angle, angular_velocity=angular_velocity)
        return ppi.LeastSquares(partial(with_control, residuals, torque), partial(weighed, residuals, terminal))

    def success(self, x: np.ndarray) -> np.ndarray:
        """Whether final states (N, 2) are upright: within 0.3 rad of the vertical and 2 rad/s of rest."""
        return (np.cos(x[:, 0]) > np.cos(0.3)) & (np.abs(x[:, 1]) < 2.0)

    @property
    def view(self) -> dict[str, object]:
        """Window (left, right, bottom, top) of a drawing [m]."""
        return (-1.5 * self.length, 1.5 * self.length, -1.25 * self.length, 1.25 * self.length)

    def draw(self, x: np.ndarray) -> list[object]:
        """Shapes that show a state (2,)."""
        tip = self.length * np.array([np.sin(x[0]), np.cos(x[0])])
        return [
            Line(np.array([[0.0, 0.0], tip]), 5.0, "link"),
            Disk((0.0, 0.0), 0.04, "joint"),
            Disk(tuple(tip), 0.09, "tip"),
        ]
