"""Figures of trajectories and of cost distributions, and modules with figures of more: `plotting.risk.risk_dial`.

Every function takes records and axes to draw into, and returns the axes. Without axes it makes a figure of its own
with the package's style, without pyplot and without changing matplotlib's settings:

    axes = plotting.trajectory(problem.plant, ppi.rollout(problem, policy, samples=500))
    axes[0].figure.savefig("trajectory.png")

`__init__.pyi` lists the public names. Each is loaded on first use. Animations are in `ppi_robotics.animation`, videos
of MuJoCo models in `ppi_robotics.rendering`.
"""

import lazy_loader

__getattr__, __dir__, _names = lazy_loader.attach_stub(__name__, __file__)
__all__ = ["color", "cost_distribution", "style", "trajectory"]  # the others are modules
