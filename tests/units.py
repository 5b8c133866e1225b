"""Problems in other units: states, controls, time and cost of a plant counted in units of their own.

No factor is a power of two, and none makes another 1, so that all units share one compiled plant and cost.
"""

from dataclasses import dataclass

import numpy as np

import ppi_robotics as ppi

OWN = np.array([1.37, 1.71, 0.83, 1.19, 1.53, 0.77])  # of states and controls of what is compared with


@dataclass(frozen=True)
class Units:
    """What one unit of a state, of a control, of time and of the cost is counted as."""

    state: np.ndarray
    control: np.ndarray
    time: float
    cost: float

    @classmethod
    def of(cls, nx, nu, factors=None):
        """The units that all are compared in, times factors (nx + nu + 2,)."""
        k = np.ones(nx + nu + 2) if factors is None else factors
        return cls(OWN[:nx] * k[:nx], OWN[-nu:] * k[nx:-2], 1.07 * k[-2], 1.13**2 * k[-1])


class InUnits(ppi.SymbolicPlant):
    """A plant in other units; children define `motion(x, u)`, its derivative in its own."""

    noise_std = ()
    control_noise = None
    dt = 0.05

    def __init__(self, units):
        self.scale, self.name = units, type(self).__name__
        self.dt = type(self).dt * units.time
        variances = np.square(np.array(self.noise_std) * units.state)
        self.noise = ppi.Noise(variances, control=self.control_noise)
        for what, unit in (("control_limits", units.control), ("state_limits", units.state)):
            own = getattr(type(self), what)
            if own is not None:
                setattr(self, what, np.array(own) * unit[:, None])

    def derivative(self, z, v):
        x, u = self.own(z, v)
        return self.motion(x, u) * (self.scale.state / self.scale.time)

    def own(self, z, v=None):
        x = z * (1.0 / self.scale.state)
        return x if v is None else (x, v * (1.0 / self.scale.control))

    @classmethod
    def problem(cls, units):
        """The task of this plant in units."""
        plant = cls(units)
        return ppi.Problem(plant, cls.cost(plant, units), np.array(cls.start) * units.state, cls.horizon)


class Swing(InUnits):
    """A pendulum with a limited motor, priced by cosines."""

    state_names, control_names = ("angle", "rate"), ("torque",)
    control_limits, noise_std = [(-6.5, 6.5)], (0.0, 0.03)
    start, horizon = (2.9, 0.3), 30

    def motion(self, x, u):
        return ppi.vertcat(x[1], 9.81 * ppi.sin(x[0]) - 0.13 * x[1] + u[0])

    @staticmethod
    def cost(plant, units):
        def stage(z, v):
            x, u = plant.own(z, v)
            return units.cost * (0.7 * (1 - ppi.cos(x[0])) + 0.03 * x[1] ** 2 + 0.011 * u[0] ** 2)

        return ppi.SymbolicCost(
            stage, lambda z: units.cost * (13 * (1 - ppi.cos(plant.own(z)[0])) + plant.own(z)[1] ** 2)
        )


class Pole(InUnits):
    """A pole on a cart without limits, in squares."""

    state_names, control_names = ("position", "angle", "speed", "rate"), ("force",)
    noise_std = (0.0, 0.0, 0.02, 0.06)
    start, horizon = (0.3, 0.9, 0.0, 0.0), 30

    def motion(self, x, u):
        swing = (9.81 * ppi.sin(x[1]) - ppi.cos(x[1]) * u[0]) / (0.67 - 0.045 * ppi.cos(x[1]) ** 2)
        return ppi.vertcat(x[2], x[3], 0.91 * u[0] - 0.046 * swing * ppi.cos(x[1]), swing)

    @staticmethod
    def cost(plant, units):
        root = units.cost**0.5

        def stage(z, v):
            x, u = plant.own(z, v)
            return root * ppi.vertcat(
                0.31 * x[0], 0.9 * ppi.sin(x[1]), 0.9 * (1 - ppi.cos(x[1])), 0.3 * x[3], 0.14 * u[0]
            )

        return ppi.LeastSquares(stage, lambda z: root * 3.3 * plant.own(z))


class Cart(InUnits):
    """A cart that steers, with walls, an obstacle and a price of its speed."""

    state_names, control_names = ("x", "y", "heading"), ("speed", "turn")
    control_limits, state_limits = [(-0.3, 1.6), (-1.4, 1.4)], [(-0.2, 2.5), (-0.35, 0.8), (-9.0, 9.0)]
    noise_std = (0.01, 0.01, 0.02)
    start, horizon = (0.0, 0.0, 0.4), 25
    dt = 0.1

    def motion(self, x, u):
        return ppi.vertcat(u[0] * ppi.cos(x[2]), u[0] * ppi.sin(x[2]), u[1])

    @staticmethod
    def cost(plant, units):
        def stage(z, v):
            x, u = plant.own(z, v)
            near = 0.8 * ppi.exp(-7.0 * ((x[0] - 0.9) ** 2 + (x[1] - 0.15) ** 2))
            return units.cost * (near + 0.06 * u[0] ** 2 + 0.04 * u[1] ** 2)

        def terminal(z):
            x = plant.own(z)
            return units.cost * (11 * ((x[0] - 1.8) ** 2 + (x[1] - 0.1) ** 2) + 0.7 * x[2] ** 2)

        return ppi.SymbolicCost(stage, terminal)


class Line(InUnits):
    """Two masses on a line, linear, with noise that grows with the forces."""

    state_names, control_names = ("a", "b", "speed a", "speed b"), ("push a", "push b")
    noise_std, control_noise = (0.0, 0.0, 0.05, 0.03), (0.2, 0.1)
    start, horizon = (1.0, -0.7, 0.0, 0.3), 20
    dt = 0.1

    def motion(self, x, u):
        spring = 3.1 * (x[0] - x[1])
        return ppi.vertcat(x[2], x[3], 0.9 * u[0] - spring, 1.7 * u[1] + 0.6 * spring)

    @staticmethod
    def cost(plant, units):
        q, r = units.cost / np.square(units.state), units.cost / np.square(units.control)
        weights = np.array([1.1, 0.7, 0.1, 0.13]) * q, np.array([0.06, 0.09]) * r, np.array([9.0, 7.0, 1.1, 1.3]) * q
        return ppi.Quadratic(*weights, np.array([0.2, 0.1, 0.0, 0.0]) * units.state)
