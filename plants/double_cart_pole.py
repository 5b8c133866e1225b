"""Two uniform rods in series on a cart that a horizontal force moves; both angles are measured from the vertical."""

import numpy as np

import ppi_robotics as ppi
from plants.cart_pole import draw_cart
from plants.drawing import Disk, Line
from plants.mechanics import accelerations
from plants.parameters import interval, numbers, pair, weights


class DoubleCartPole(ppi.SymbolicPlant):
    """Double cart-pole; state (position, lower angle, upper angle, their rates), angles 0 upright, control a force.

    Attributes:
      cart_mass: [kg].
      pole_masses: [kg].
      pole_lengths: of the rods [m].
      gravity: [m/s^2].
      sigma: diffusion of both angular velocities [rad/s per square root of a second].
      force_limit: largest force in either direction [N]; None for no limit.
      track_limit: farthest cart position in either direction [m]; None for no limit.
      dt: seconds a stage.
      integrator: rk4, semi_implicit_euler, ...
    """

    name = "double_cartpole"
    state_names = ("position", "lower angle", "upper angle", "velocity", "lower velocity", "upper velocity")
    control_names = ("force",)
    units = ("m", "rad", "rad", "m/s", "rad/s", "rad/s", "N")
    default_horizon = 200
    hanging = np.array([0.0, np.pi, np.pi, 0.0, 0.0, 0.0])
    upright = np.zeros(6)

    def __init__(
        self,
        cart_mass: float = 1.0,
        pole_masses: tuple[float, float] = (0.3, 0.3),
        pole_lengths: tuple[float, float] = (0.6, 0.6),
        gravity: float = 9.81,
        sigma: float = 0.02,
        force_limit: float = 30.0,
        track_limit: float | None = None,
        dt: float = 0.02,
        integrator: str = "rk4",
    ) -> None:
        self.pole_masses, self.pole_lengths = pair(pole_masses, "pole_masses"), pair(pole_lengths, "pole_lengths")
        self.cart_mass, self.gravity, self.sigma, self.dt = numbers(
            cart_mass=cart_mass, gravity=gravity, sigma=sigma, dt=dt
        )
        self.integrator = integrator
        self.noise = self.dt * np.array([0.0, 0.0, 0.0, 0.0, self.sigma, self.sigma]) ** 2
        self.control_limits = [interval(force_limit, "force_limit")]
        self.state_limits = [interval(track_limit, "track_limit"), None, None, None, None, None]

    def derivative(self, x, u):
        """Velocities and accelerations."""
        (m1, m2), (l1, l2), g = self.pole_masses, self.pole_lengths, self.gravity
        a1, a2, w1, w2 = x[1], x[2], x[4], x[5]
        h1, h2 = (m1 / 2 + m2) * l1, m2 * l2 / 2
        relative = ppi.cos(a1 - a2) * h2 * l1
        twist = ppi.sin(a1 - a2) * h2 * l1
        s1, c1, s2, c2 = ppi.sin(a1), ppi.cos(a1), ppi.sin(a2), ppi.cos(a2)
        mass = [
            [self.cart_mass + m1 + m2, None, None],
            [h1 * c1, (m1 / 3 + m2) * l1**2, None],
            [h2 * c2, relative, m2 * l2**2 / 3],
        ]
        force = [u[0] + h1 * s1 * w1**2 + h2 * s2 * w2**2, h1 * g * s1 - twist * w2**2, h2 * g * s2 + twist * w1**2]
        return ppi.vertcat(x[3], w1, w2, *accelerations(mass, force))

    def swing_up_cost(
        self,
        position: float = 0.1,
        angle: float = 1.0,
        velocity: float = 0.1,
        force: float = 0.01,
        terminal: float = 100.0,
    ) -> ppi.LeastSquares:
        """Quadratic cost of state and force per stage; `terminal` multiplies the state's at the end."""
        position, angle, velocity = weights(position=position, angle=angle, velocity=velocity)
        force, terminal = weights(force=force, terminal=terminal)
        state = np.array([position, angle, angle, velocity, velocity, velocity])
        return ppi.Quadratic(state=state, control=[force], terminal=terminal * state)

    def success(self, x: np.ndarray) -> np.ndarray:
        """Whether final states (N, 6) are upright: both poles within 0.3 rad of the vertical and 2 rad/s of rest."""
        return (np.cos(x[:, 1:3]) > np.cos(0.3)).all(axis=1) & (np.abs(x[:, 4:]) < 2.0).all(axis=1)

    @property
    def view(self) -> dict[str, object]:
        """Window (left, right, bottom, top) of a drawing [m]."""
        reach = 1.15 * sum(self.pole_lengths)
        return (-2.2, 2.2, -reach, reach)

    def draw(self, x: np.ndarray) -> list[object]:
        """Shapes that show a state (6,)."""
        hinge = np.array([x[0], 0.0])
        middle = hinge + self.pole_lengths[0] * np.array([np.sin(x[1]), np.cos(x[1])])
        tip = middle + self.pole_lengths[1] * np.array([np.sin(x[2]), np.cos(x[2])])
        return [
            *draw_cart(x[0], self.view),
            Line(np.array([hinge, middle, tip]), 5.0, "link"),
            Disk(tuple(hinge), 0.03, "joint"),
            Disk(tuple(middle), 0.03, "joint"),
            Disk(tuple(tip), 0.04, "tip"),
        ]
