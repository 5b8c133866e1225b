"""Videos of MuJoCo models: frames at a constant rate, and a camera that keeps the motion in view."""

import copy
import logging
import math
from collections.abc import Iterator
from os import PathLike

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_count, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.plotting import video
from ppi_robotics.plotting.animations import CAMERA_SECONDS, smooth
from ppi_robotics.plotting.offscreen import NoOpenGL, Offscreen, on_a_light_page
from ppi_robotics.plotting.stick_figure import SHOWN_GROUPS, StickFigure

CameraChoice = str | int | mujoco.MjvCamera | None
WIDTH, HEIGHT = 640, 480  # pixels
FPS = 30.0
FOLLOWED = 3.0  # motions so many times as large as the model
MAX_LAG = 0.5  # of the camera behind a model, relative to the model's radius
MARGIN = 1.08  # of the pictures
DEFAULT_VIEW = (90.0, -45.0)  # azimuth and elevation [degrees] of models that choose none
INSTALL = "for shaded pictures install EGL (Debian, Ubuntu: apt install libegl1 libgl1-mesa-dri) or set MUJOCO_GL"


def save(
    path: str | PathLike[str],
    model: mujoco.MjModel,
    states: ArrayLike,
    time: ArrayLike | None,
    fps: float = FPS,
    width: int = WIDTH,
    height: int = HEIGHT,
    camera: CameraChoice = None,
    data: mujoco.MjData | None = None,
) -> int:
    """Write a video of a motion at real-time speed, all of it or nothing.

    Args:
      path: of the video; its suffix, .mp4 or .gif, says which kind. A frame of a GIF lasts 20 ms, 30 ms,
        ..., so that its rate is the nearest of these.
      model, states, time, fps, width, height, camera, data: as for `frames`.

    Returns:
      Number of frames.

    Raises:
      ProblemError: if an argument does not fit, the file cannot be written, or an MP4 is asked for without the package
        that writes it.
    """
    fps = video.check_path(path, fps)
    with Film(model, states, time, fps, width, height, camera, data) as film:
        video.write(path, film, fps)
        return len(film)


def frames(
    model: mujoco.MjModel,
    states: ArrayLike,
    time: ArrayLike | None = None,
    fps: float = FPS,
    width: int = WIDTH,
    height: int = HEIGHT,
    camera: CameraChoice = None,
    data: mujoco.MjData | None = None,
) -> Iterator[np.ndarray]:
    """Pictures of a motion, drawn one at a time as they are asked for.

    Args:
      model: `mujoco.MjModel`.
      states: (n, nq) positions, or longer rows that begin with them, such as a plant's states.
      time: (n,) increasing times of the states [s], or the seconds from state to state; None makes one picture a state.
      fps: pictures a second.
      width, height: pixels.
      camera: name or number of one of the model's cameras, or an `MjvCamera`; None keeps the motion in view, and
        follows a model that travels far.
      data: `MjData` whose other content, such as mocap bodies, appears in the pictures; the model's default if None.

    Yields:
      (height, width, 3) arrays of bytes.

    Raises:
      ProblemError: if an argument does not fit.
    """
    with Film(model, states, time, fps, width, height, camera, data) as film:
        for i in range(len(film)):
            yield film[i]


class Film:
    """The pictures of a motion by number, drawn on demand; arguments as in `frames`. Use it in a `with`."""

    def __init__(self, model, states, time=None, fps=FPS, width=WIDTH, height=HEIGHT, camera=None, data=None):
        if not isinstance(model, mujoco.MjModel):
            raise ProblemError(f"model is a {type(model).__name__}; expected a mujoco.MjModel such as plant.model")
        self.model = model
        self.data = mujoco.MjData(model) if data is None else copy.copy(data)
        if self.data.qpos.size != model.nq or self.data.qvel.size != model.nv:
            raise ProblemError(
                f"data has {self.data.qpos.size} positions, the model {model.nq}; give data of this model"
            )
        self.qpos = _positions(states, model)
        self.stamps, self.moments = _times(time, len(self.qpos), fps)
        for name, value in (("width", width), ("height", height)):
            check_count(value, name, 16, 8192)
        some = np.unique(np.linspace(0, len(self) - 1, 100).astype(int))
        seconds = (self.moments[-1] - self.moments[0]) / max(len(some) - 1, 1)
        self.view = View(model, (self._pose(i) for i in some), some, max(seconds, 1e-6), width / height)
        camera, model = _camera(model, camera), on_a_light_page(model, width, height, self.view)
        try:
            self.artist = Offscreen(model, width, height, self.view, camera)
        except NoOpenGL as error:
            logging.getLogger("ppi_robotics").warning("no OpenGL (%s): drawing a stick figure; %s", error, INSTALL)
            self.artist = StickFigure(model, width, height, self.view)

    def __len__(self):
        return len(self.moments)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"frame {index} of {len(self)}")
        return self.artist.draw(self._pose(index), index, self.moments[index])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.artist.close()

    def _pose(self, index):
        """The data at the time of a frame, interpolated between the states before and after it."""
        moment = self.moments[index]
        after = min(int(np.searchsorted(self.stamps, moment)), len(self.stamps) - 1)
        before = max(after - 1, 0)
        gap = self.stamps[after] - self.stamps[before]
        share = (moment - self.stamps[before]) / gap if gap > 0 else 0.0
        change, qpos = np.empty(self.model.nv), self.qpos[before].copy()
        mujoco.mj_differentiatePos(self.model, change, 1.0, qpos, self.qpos[after])
        mujoco.mj_integratePos(self.model, qpos, change, min(share, 1.0))
        self.data.qpos[:] = qpos
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)  # tracking cameras look at centers of mass
        mujoco.mj_tendon(self.model, self.data)
        return self.data


class View:
    """Free camera that keeps a motion in view: fixed, or following a model that travels farther than its own size.

    Args:
      model: `MjModel`.
      poses: an iterable of `MjData`, kinematics computed, that may all be the same object.
      numbers: (n,) frames that the poses belong to.
      seconds: from pose to pose.
      aspect: width by height of the pictures.

    Attributes:
      radius: of a ball about the center that contains all geoms in view [m].
      distance: of the camera from the center [m].
      azimuth, elevation: direction of view as MuJoCo has it [degrees].
      side: azimuth of the side view that shows most of the motion [degrees].
    """

    def __init__(self, model, poses, numbers, seconds, aspect):
        self.numbers = numbers
        geoms = _framed(model)
        reach = model.geom_rbound[geoms][:, None] if len(geoms) else 0.0
        places = np.array([data.geom_xpos[geoms] if len(geoms) else data.xpos.copy() for data in poses])
        lows, highs = (places - reach).min(axis=1), (places + reach).max(axis=1)
        middle = (highs + lows) / 2
        fixed = np.broadcast_to((highs.max(axis=0) + lows.min(axis=0)) / 2, middle.shape)
        own, whole = _ball(places, reach, middle), _ball(places, reach, fixed)
        self.centers = fixed
        if whole > FOLLOWED * own:
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


def _framed(model):
    """Geoms that must be in view: those that move, and static ones that are no larger."""
    visible = (model.geom_group < SHOWN_GROUPS) & (model.geom_rbound > 0)  # planes have no bound
    moves = visible & (model.body_weldid[model.geom_bodyid] != 0)
    if not moves.any():
        return np.flatnonzero(visible)
    return np.flatnonzero(visible & (moves | (model.geom_rbound <= model.geom_rbound[moves].max())))


def _ball(places, reach, centers):
    """Radius about centers (n, 3) that holds balls at places (n, k, 3)."""
    return (np.linalg.norm(places - centers[:, None], axis=2) + np.reshape(reach, -1)).max()


def _positions(states, model):
    states = as_finite(states, "states")
    if states.ndim != 2 or len(states) == 0 or states.shape[1] < model.nq:
        raise ProblemError(
            f"states have shape {states.shape}; expected (n, {model.nq}) positions, or longer rows that begin with them"
        )
    return np.ascontiguousarray(states[:, : model.nq])


def _times(time, count, fps):
    """Times of the states and of the frames."""
    video.check_rate(fps)
    if time is None:
        stamps = np.arange(count) / fps
        return stamps, stamps
    stamps = as_finite(time, "time")
    stamps = stamps * np.arange(count) if stamps.ndim == 0 else stamps
    if stamps.shape != (count,) or (np.diff(stamps) <= 0).any():
        raise ProblemError(f"time has shape {np.shape(time)}; expected {count} increasing times, one a state")
    span = stamps[-1] - stamps[0]
    return stamps, stamps[0] + np.arange(int(span * fps + 1e-6) + 1) / fps


def _camera(model, camera):
    """The `MjvCamera` of a name or number; None for the camera of `View`."""
    if camera is None or isinstance(camera, mujoco.MjvCamera):
        return camera
    try:
        number = model.camera(camera).id
    except (KeyError, IndexError, TypeError) as error:
        names = ", ".join(f"'{model.camera(i).name}'" for i in range(model.ncam)) or "none"
        raise ProblemError(
            f"camera is {shown(camera)}; the model has {names}; give a name or a number, or None to frame all"
        ) from error
    chosen = mujoco.MjvCamera()
    chosen.type, chosen.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, number
    return chosen
