"""Where a camera has to be to see a motion."""

import math

import mujoco
import numpy as np

from ppi_robotics.plotting.camera import CAMERA_SECONDS, smooth

FOLLOWED = 3.0  # motions so many times as large as the model
MAX_LAG = 0.5  # of the camera behind a model, relative to the model's radius
MARGIN = 1.08  # of the pictures
SHOWN_GROUPS = 3  # MuJoCo shows geoms of groups 0 to 2 unless told otherwise
DEFAULT_VIEW = (90.0, -45.0)  # azimuth and elevation [degrees] of models that choose none


class View:
    """A camera that frames what moves: fixed, or following a model that travels farther than it is large.

    Args:
      model: `MjModel`.
      poses: an iterable of `MjData`, kinematics computed, that may all be the same object.
      numbers: (n,) frames that the poses belong to.
      seconds: from pose to pose.
      aspect: width by height of the pictures.

    Attributes:
      radius: of a ball about the center that holds what is to be seen [m].
      distance: of the camera from the center [m].
      azimuth, elevation: direction of view as MuJoCo has it [degrees].
      side: azimuth of a view from the side, at which most of the motion is seen.
    """

    def __init__(self, model, poses, numbers, seconds, aspect):
        self.numbers = numbers
        geoms = _shown(model)
        reach = model.geom_rbound[geoms][:, None] if len(geoms) else 0.0
        places = np.array([data.geom_xpos[geoms] if len(geoms) else data.xpos.copy() for data in poses])
        lows, highs = (places - reach).min(axis=1), (places + reach).max(axis=1)
        middle = (highs + lows) / 2
        fixed = np.broadcast_to((highs.max(axis=0) + lows.min(axis=0)) / 2, middle.shape)
        own, whole = _ball(places, reach, middle), _ball(places, reach, fixed)
        self.follows = whole > FOLLOWED * own
        self.centers = fixed
        if self.follows:
            lag = smooth(middle, CAMERA_SECONDS / seconds) - middle
            far = np.linalg.norm(lag, axis=1, keepdims=True)
            self.centers = middle + lag * np.minimum(1.0, MAX_LAG * own / np.maximum(far, 1e-300))
        self.radius = max(MARGIN * _ball(places, reach, self.centers), 1e-3)
        half = math.radians(model.vis.global_.fovy) / 2
        self.distance = self.radius / math.sin(min(half, math.atan(aspect * math.tan(half))))
        self._choose_direction(model, np.ptp(places, axis=0).max(axis=0))

    def center(self, index):
        """Point (3,) at the middle of a frame."""
        return np.array([np.interp(index, self.numbers, column) for column in self.centers.T])

    def camera(self, index):
        """A free `MjvCamera` for a frame."""
        camera = mujoco.MjvCamera()
        camera.type = mujoco.mjtCamera.mjCAMERA_FREE
        camera.lookat[:] = self.center(index)
        camera.distance = self.distance
        camera.azimuth, camera.elevation = self.azimuth, self.elevation
        return camera

    def _choose_direction(self, model, travel):
        """The model's own view if it has one; a motion in a plane from the side, others obliquely."""
        across, along = travel[:2]
        self.side = 90.0 if across >= along else 180.0
        own = model.vis.global_.azimuth, model.vis.global_.elevation
        if own != DEFAULT_VIEW:
            self.azimuth, self.elevation = own
        elif min(across, along) < 1e-3 * max(across, along):
            self.azimuth, self.elevation = self.side, -8.0
        else:
            self.azimuth, self.elevation = 125.0, -18.0


def _ball(places, reach, centers):
    """Radius about centers (n, 3) that holds balls at places (n, k, 3)."""
    return (np.linalg.norm(places - centers[:, None], axis=2) + np.reshape(reach, -1)).max()


def _shown(model):
    """Geoms that a picture must hold: those that move, and small ones beside them."""
    visible = (model.geom_group < SHOWN_GROUPS) & (model.geom_rbound > 0)  # planes have no bound
    moves = visible & (model.body_weldid[model.geom_bodyid] != 0)
    if not moves.any():
        return np.flatnonzero(visible)
    return np.flatnonzero(visible & (moves | (model.geom_rbound <= model.geom_rbound[moves].max())))
