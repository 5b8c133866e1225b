"""What an environment shows: pictures of the present state."""

import numpy as np

from ppi_robotics.checks import shown
from ppi_robotics.errors import ProblemError


def pictures_of(problem, camera=None):
    """`Drawn` for plants that offer `draw` and `view`, `Filmed` for MuJoCo plants.

    Args:
      problem: `Problem`.
      camera: as for `Filmed`.

    Raises:
      ProblemError: if the plant offers neither, or the camera does not fit it.
    """
    plant = problem.plant
    if hasattr(plant, "draw") and hasattr(plant, "view"):
        if camera is not None:
            raise ProblemError(f"camera is {shown(camera)}; plant '{plant.name}' draws itself, leave it out")
        return Drawn(plant)
    if hasattr(plant, "model") and hasattr(plant, "read"):
        return Filmed(plant, problem.initial.mean, camera)
    raise ProblemError(f"plant '{plant.name}' has no draw(x) and view to make pictures from; leave render_mode out")


class Drawn:
    """Shapes of a plant with the path of its tips so far, as in `plotting.animations`."""

    def __init__(self, plant):
        self.plant = plant

    def start(self, x):
        """Show an initial state (nx,)."""
        self.drawings, self.controls = [self.plant.draw(x)], [np.zeros(self.plant.nu)]

    def go_on(self, x, u):
        """Show the next state (nx,) and the control (nu,) that led to it."""
        self.drawings.append(self.plant.draw(x))
        self.controls.append(u)

    def picture(self):
        """Pixels (height, width, 3)."""
        from ppi_robotics.plotting.animations import Scene  # matplotlib takes long to import

        count = len(self.drawings)
        scene = Scene(self.plant, self.drawings, np.array(self.controls), self.plant.dt * np.arange(count), "")
        return scene.frame(count - 1)[..., :3].copy()

    def close(self):
        """Nothing is held."""


class Filmed:
    """Pictures of a MuJoCo model, see `rendering`.

    Args:
      plant: `MujocoPlant`.
      x: any state (nx,).
      camera: name or number of one of the model's cameras, or an `MjvCamera`; None for MuJoCo's free camera, which
        stands still.
    """

    def __init__(self, plant, x, camera):
        import mujoco

        from ppi_robotics.rendering import Film

        if camera is None:
            camera = mujoco.MjvCamera()
            mujoco.mjv_defaultFreeCamera(plant.model, camera)
        self.film = Film(plant.model, np.array(x[None]), camera=camera)

    def start(self, x):
        """Show an initial state (nx,)."""
        self.film.qpos[0] = x[: self.film.qpos.shape[1]]

    def go_on(self, x, _u):
        """Show the next state (nx,)."""
        self.start(x)

    def picture(self):
        """Pixels (height, width, 3)."""
        return self.film[0]

    def close(self):
        """Give back what OpenGL holds."""
        if self.film is not None:
            self.film.artist.close()
        self.film = None
