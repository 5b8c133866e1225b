"""The ready-made plants and their costs, with parameters that they accept."""

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, Pendulum, mujoco_bodies
from tests.fuzz.door import Door

PARAMETERS = {
    Pendulum: {"mass": 1.0, "length": 1.0, "damping": 0.1, "gravity": 9.8, "torque_limit": None},
    CartPole: {"cart_mass": 1.0, "pole_mass": 0.1, "pole_length": 0.5, "force_limit": None, "track_limit": None},
    Acrobot: {"masses": (1.0, 1.0), "lengths": (1.0, 1.0), "gravity": 9.8, "torque_limit": None},
    DoubleCartPole: {"cart_mass": 1.0, "pole_masses": (0.3, 0.3), "pole_lengths": (0.6, 0.6), "force_limit": None},
}
WEIGHTS = {
    Pendulum: {"angle": 1.0, "angular_velocity": 0.1, "torque": 0.01, "terminal": 1.0},
    CartPole: {"angle": 1.0, "angular_velocity": 0.1, "force": 0.01, "wrapped": False},
    Acrobot: {"angle": 1.0, "angular_velocity": 0.1, "torque": 0.01, "terminal": 1.0},
    DoubleCartPole: {"position": 1.0, "angle": 1.0, "velocity": 0.1, "force": 0.01, "terminal": 1.0},
}


def bound(plant):
    def cost(**options):
        made = plant()
        return ppi.Problem(made, made.swing_up_cost(**options), made.hanging, 2)

    return cost


def doors():
    """All calls by name."""
    made = {
        plant.__name__: Door(plant, own | {"sigma": 0.1, "dt": 0.02, "integrator": "rk4"})
        for plant, own in PARAMETERS.items()
    }
    made |= {f"{plant.__name__}.swing_up_cost": Door(bound(plant), own) for plant, own in WEIGHTS.items()}
    made["mujoco_bodies.plant"] = Door(mujoco_bodies.plant, {"body": "cartpole", "noise": 0.1})
    task = {"body": "arm2", "name": "reach", "goal": None, "noise": 0.1, "horizon": 3}
    return made | {"mujoco_bodies.task": Door(mujoco_bodies.task, task)}
