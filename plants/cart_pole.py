"""A pole hinged on a cart that a horizontal force moves, with the dynamics of Barto, Sutton and Anderson (1983).

tmp = (F + m l w^2 sin a) / (M + m)
dw/dt = (g sin a - tmp cos a) / (l (4/3 - m cos^2 a / (M + m)))
dv/dt = tmp - m l dw/dt cos a / (M + m)
"""

from functools import partial

import numpy as np

import ppi_robotics as ppi
from plants.drawing import Box, Disk, Line
from plants.parameters import interval, numbers, weights
from plants.residuals import with_control
from ppi_robotics.checks import check_flag


def upright(x, angle, angular_velocity):
    """Residuals of the deviation from a pole that stands at rest."""
    return ppi.vertcat(angle**0.5 * ppi.sin(x[1]), angle**0.5 * (1 - ppi.cos(x[1])), angular_velocity**0.5 * x[3])


class CartPole(ppi.SymbolicPlant):
    """Cart-pole; state (position, angle, velocity, angular velocity), angle 0 upright, control a force on the cart.

    Attributes:
      cart_mass, pole_mass: [kg].
      pole_length: distance from the hinge to the pole's middle [m].
      gravity: [m/s^2].
      sigma: diffusion of the angular velocity [rad/s per square root of a second].
      cart_sigma: diffusion of the cart's velocity [m/s per square root of a second].
      force_limit: largest force in either direction [N]; None for no limit.
      track_limit: farthest cart position in either direction [m]; None for no limit.
      dt: seconds a stage.
      integrator: semi_implicit_euler, rk4, ...
    """

    name = "cartpole"
    state_names = ("position", "angle", "velocity", "angular velocity")
    control_names = ("force",)
    units = ("m", "rad", "m/s", "rad/s", "N")
    default_horizon = 150
    hanging = np.array([0.0, np.pi, 0.0, 0.0])
    upright = np.zeros(4)

    def __init__(
        self,
        cart_mass: float = 1.0,
        pole_mass: float = 0.1,
        pole_length: float = 0.5,
        gravity: float = 9.8,
        sigma: float = 0.5,
        cart_sigma: float = 0.1,
        force_limit: float | None = None,
        track_limit: float | None = None,
        dt: float = 0.02,
        integrator: str = "semi_implicit_euler",
    ) -> None:
        masses = {"cart_mass": cart_mass, "pole_mass": pole_mass, "pole_length": pole_length}
        self.cart_mass, self.pole_mass, self.pole_length, self.gravity = numbers(**masses, gravity=gravity)
        self.sigma, self.cart_sigma, self.dt = numbers(sigma=sigma, cart_sigma=cart_sigma, dt=dt)
        self.integrator = integrator
        self.noise = self.dt * np.array([0.0, 0.0, self.cart_sigma, self.sigma]) ** 2
        self.control_limits = [interval(force_limit, "force_limit")]
        self.state_limits = [interval(track_limit, "track_limit"), None, None, None]

    def derivative(self, x, u):
        """Velocities and accelerations."""
        angle, velocity, rate = x[1], x[2], x[3]
        total = self.cart_mass + self.pole_mass
        sine, cosine = ppi.sin(angle), ppi.cos(angle)
        push = (u[0] + self.pole_mass * self.pole_length * rate**2 * sine) / total
        swing = (self.gravity * sine - cosine * push) / (
            self.pole_length * (4.0 / 3.0 - self.pole_mass * cosine**2 / total)
        )
        return ppi.vertcat(velocity, rate, push - self.pole_mass * self.pole_length * swing * cosine / total, swing)

    def swing_up_cost(
        self, angle: float = 1.0, angular_velocity: float = 0.1, force: float = 0.01, wrapped: bool = False
    ) -> ppi.Quadratic | ppi.LeastSquares:
        """Cost angle a^2 + angular_velocity w^2 + force u^2 per stage, without the force at the end.

        With `wrapped`, sin^2 a + (1 - cos a)^2 stands for a^2: every full turn counts as upright, so that pumping
        costs no more than hanging, as a weak motor needs.
        """
        angle, angular_velocity, force = weights(angle=angle, angular_velocity=angular_velocity, force=force)
        if not check_flag(wrapped, "wrapped"):
            state = [0.0, angle, 0.0, angular_velocity]
            return ppi.Quadratic(state=state, control=[force], terminal=state)
        residuals = partial(upright, angle=angle, angular_velocity=angular_velocity)
        return ppi.LeastSquares(partial(with_control, residuals, force), residuals)

    def success(self, x: np.ndarray) -> np.ndarray:
        """Whether final states (N, nx) are upright: within 0.3 rad of the vertical and 2 rad/s of rest."""
        return (np.cos(x[:, 1]) > np.cos(0.3)) & (np.abs(x[:, 3]) < 2.0)

    @property
    def view(self) -> dict[str, object]:
        """Window (left, right, bottom, top) of a drawing [m]."""
        return (-2.0, 2.0, -1.3, 1.3)

    def draw(self, x: np.ndarray) -> list[object]:
        """Shapes that show a state (4,)."""
        hinge = np.array([x[0], 0.0])
        tip = hinge + 2 * self.pole_length * np.array([np.sin(x[1]), np.cos(x[1])])
        link = Line(np.array([hinge, tip]), 5.0, "link")
        return [*draw_cart(x[0], self.view), link, Disk(tuple(hinge), 0.03, "joint"), Disk(tuple(tip), 0.05, "tip")]


def draw_cart(position, view):
    """Shapes of a track across the window and of a cart on it."""
    track = Line(np.array([[view[0], -0.11], [view[1], -0.11]]), 1.5, "track")
    return [track, Box((position, 0.0), 0.4, 0.2, "cart")]
