"""Pictures and videos of MuJoCo models, without a window.

    rendering.save("swing.mp4", plant.model, record.x, record.time)

MuJoCo's offscreen renderer draws them; where there is no OpenGL, a stick figure takes its place.
"""

from ppi_robotics.plotting.film import HEIGHT, WIDTH, Film, frames, save
from ppi_robotics.plotting.video import check_path

__all__ = ["HEIGHT", "WIDTH", "Film", "check_path", "frames", "save"]
