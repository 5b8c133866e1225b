"""Animations of a plant's trajectory as GIFs.

animation.save("animation.gif", plant, rollouts.x[0], rollouts.u[0])
"""

from ppi_robotics.plotting.animations import render, save

__all__ = ["render", "save"]
