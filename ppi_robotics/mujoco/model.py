"""What a plant owns of its model: a copy that others may read, and the surroundings that stay as they are.

Simulations run on a model that nobody else has. Poses of mocap bodies, and which equality constraints act, are no part
of a plant's state: its model holds them, as poses of its bodies and as `eq_active0`, where every MjData of it starts.
"""

import copy
import ctypes
import functools
from typing import Any

import mujoco
import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import as_finite, check_instance, shown
from ppi_robotics.errors import PlantError, ProblemError
from ppi_robotics.gaussian import Record
from ppi_robotics.mujoco import loading

BULKY = ("bvh_", "oct_", "skin_", "tex_")  # large, and of pictures, or not to be reached by names of things
RECORDS = ("opt", "stat")  # numbers in `vis` are a matter of pictures, and of everybody
SAME = 1e-9  # difference of poses that counts as none
REMEDY = "make a plant that plans with it by MujocoPlant(..., surroundings=data), or the name of a keyframe"


class ShownModel:
    """A copy of a model for all to read, that cannot be edited, or whose edits are found.

    Its arrays are read-only; numbers such as opt.timestep, and arrays behind names such as model.body("link").mass,
    MuJoCo lets everybody write, so that they are compared before use.

    Args:
      model: MjModel of a plant.

    Attributes:
      model: the copy.
    """

    def __init__(self, model):
        self.model = copy.copy(model)
        arrays = arrays_of(self.model)
        records = [getattr(self.model, record) for record in RECORDS]
        for array in (*arrays.values(), *(array for record in records for array in arrays_of(record).values())):
            array.setflags(write=False)
        self._spans = spans(array for name, array in arrays.items() if not self._bulky(name, array))
        self._scalars = [
            (record, name)
            for record in records
            for name in dir(record)
            if not name.startswith("_") and isinstance(getattr(record, name), int | float)
        ]
        self._seen = self._read()

    def _bulky(self, name, array):
        of_meshes = name.startswith("mesh_") and len(array) != self.model.nmesh
        return name.startswith(BULKY) or of_meshes

    def _read(self):
        numbers = [getattr(record, name) for record, name in self._scalars]
        return numbers, [ctypes.string_at(*span) for span in self._spans]

    def check(self, label):
        """Raise `PlantError` if the copy was edited."""
        if self._read() != self._seen:
            raise PlantError(
                f"the model of {label} was edited, and a plant keeps the physics that it was made with; edit the MJCF, "
                "the MjSpec or copy.copy(plant.model), and make another MujocoPlant of it"
            )


def arrays_of(record):
    """Arrays of a model, or of a part of it, by name."""
    named = {name: getattr(record, name) for name in dir(record) if not name.startswith("_")}
    return {name: value for name, value in named.items() if isinstance(value, np.ndarray)}


def spans(arrays):
    """Where in memory arrays lie, as few pairs of address and size."""
    joined = []
    for start, size in sorted((array.ctypes.data, array.nbytes) for array in arrays if array.size):
        if joined and start <= sum(joined[-1]) + 64:  # what lies between is padding
            joined[-1] = joined[-1][0], start + size - joined[-1][0]
        else:
            joined.append((start, size))
    return joined


def place(model, given, label):
    """Put mocap bodies and equality constraints of a model where a keyframe or an MjData has them.

    Args:
      model: MjModel, which is changed.
      given: name or number of a keyframe, or MjData.
      label: of the plant, for messages.

    Raises:
      ProblemError: if there is no such keyframe, or the data belongs to another model.
    """
    data = given
    if not isinstance(given, mujoco.MjData):
        data = mujoco.MjData(model)
        mujoco.mj_resetDataKeyframe(model, data, keyframe_number(model, given, label))
    check_sizes(model, data, label)
    bodies = mocap_bodies(model)
    model.body_pos[bodies], model.body_quat[bodies] = data.mocap_pos, data.mocap_quat
    model.eq_active0[:] = data.eq_active


def keyframe_number(model, given, label):
    """Number of a keyframe given by name or number.

    Raises:
      ProblemError: if there is none; the message lists those that there are.
    """
    names = [model.key(i).name or str(i) for i in range(model.nkey)]
    if isinstance(given, str) and given in names:
        return names.index(given)
    if isinstance(given, str | int | np.integer) and str(given).isdecimal() and int(given) < len(names):
        return int(given)
    raise ProblemError(f"{label} has no keyframe {shown(given)}; it has {', '.join(names) or 'none'}")


def mocap_bodies(model):
    """Numbers of the mocap bodies, in the order of their poses in an MjData."""
    bodies = np.flatnonzero(model.body_mocapid >= 0)
    return bodies[np.argsort(model.body_mocapid[bodies])]


def check_sizes(model, data, label):
    """Raise `ProblemError` unless an MjData has as many mocap bodies and equality constraints as the model."""
    sizes = len(data.mocap_pos), len(data.eq_active)
    if sizes != (model.nmocap, model.neq):
        raise ProblemError(
            f"data has {sizes[0]} mocap bodies and {sizes[1]} equality constraints, the model of {label} "
            f"{model.nmocap} and {model.neq}; give data of the plant's model"
        )


def check_surroundings(model, data, label):
    """Raise `ProblemError` if mocap bodies of an MjData stand elsewhere than in the model, or other equalities act."""
    check_sizes(model, data, label)
    if model.nmocap:
        bodies = mocap_bodies(model)
        near = np.abs(data.mocap_pos - model.body_pos[bodies]).max(axis=1) <= SAME
        along = np.abs(np.einsum("ni,ni->n", data.mocap_quat, model.body_quat[bodies]))  # either sign is one rotation
        lengths = np.linalg.norm(data.mocap_quat, axis=1) * np.linalg.norm(model.body_quat[bodies], axis=1)
        for body in bodies[~(near & (along >= (1.0 - SAME) * lengths))]:
            raise ProblemError(
                f"mocap body '{model.body(body).name or body}' is elsewhere than {label} has it; " + REMEDY
            )
    if model.neq and not np.array_equal(data.eq_active, model.eq_active0):
        i = int(np.flatnonzero(data.eq_active != model.eq_active0)[0])
        is_on = ("inactive", "active")[int(data.eq_active[i])]
        raise ProblemError(
            f"equality constraint '{model.equality(i).name or i}' is {is_on}, and not so in {label}; " + REMEDY
        )


class OwnedModel(Record):
    """A MuJoCo model that nobody else can change, and states as they stand in an MjData of it."""

    _derived = ("_shown", "sensor_names", "clocks")

    def _load(self, source, assets):
        """Read the model, which is returned; see `loading.load`."""
        self._model, self._spec = loading.load(source, assets)
        self._given = source if self._spec is None or not isinstance(source, mujoco.MjSpec) else self._spec, assets, ()
        return self._model

    def __setattr__(self, name, value):
        if self.__dict__.get("_sealed"):
            raise PlantError(f"a plant cannot be changed; construct another MujocoPlant with another {name}")
        object.__setattr__(self, name, value)

    def __getstate__(self):
        self._check_model()
        state, read_only = super().__getstate__()
        source, assets, added = self._given or (None, None, ())
        recipe = None if source is None else loading.recipe(source, assets)
        return state | {"_spec": None, "_given": None if recipe is None else (*recipe, added)}, read_only

    def __deepcopy__(self, memo):
        return self  # it cannot be changed

    def _specification(self):
        """A copy of what the model was compiled from; read again in a pickled copy of the plant. None of a model."""
        if self._spec is None and self._given is not None:
            source, assets, added = self._given
            spec = loading.load(source, assets)[1]
            for sensors in added if spec is not None else ():
                loading.add_sensors(spec, sensors)
            vars(self)["_spec"] = spec
        return None if self._spec is None else self._spec.copy()

    @property
    def model(self) -> Any:
        """The MjModel, for reading."""
        return self._shown.model

    @functools.cached_property
    def _shown(self):
        return ShownModel(self._model)

    def _check_model(self):
        if "_shown" in self.__dict__:
            self._shown.check(f"'{self.name}'")

    def state(self, keyframe: str | int | None = None) -> np.ndarray:
        """State (nx,) of a keyframe given by name or number, or the model's default.

        Raises:
          ProblemError: if there is no such keyframe, or mocap bodies stand elsewhere in it than in the model.
        """
        data = mujoco.MjData(self._model)
        if keyframe is not None:
            mujoco.mj_resetDataKeyframe(self._model, data, keyframe_number(self._model, keyframe, f"'{self.name}'"))
        return self.read(data)

    def read(self, data: Any) -> np.ndarray:
        """State (nx,) of an MjData.

        Raises:
          ProblemError: if mocap bodies stand elsewhere in it than in the plant's model, or other equality constraints
            act: they are no part of the state, and the plant would plan with the model's.
        """
        self._check_data(data)
        check_surroundings(self._model, data, f"'{self.name}'")
        return np.concatenate((data.qpos, data.qvel, data.act))

    def write(self, data: Any, x: ArrayLike) -> None:
        """Set positions, velocities and activations of an MjData to a state (nx,); call mj_forward for the rest."""
        self._check_data(data)
        loading.write(self._model, data, as_finite(x, "x", (self.nx,)))

    def _check_data(self, data):
        check_instance(data, "data", mujoco.MjData, "of the plant's model")
        model = self._model
        given = data.qpos.size, data.qvel.size, data.act.size, data.ctrl.size
        if given != (model.nq, model.nv, model.na, model.nu):
            raise ProblemError(
                f"data has sizes {given} of positions, velocities, activations and controls, plant '{self.name}' "
                f"{(model.nq, model.nv, model.na, model.nu)}; give data of the plant's model"
            )

    @functools.cached_property
    def sensor_names(self) -> dict[str, slice]:
        """Names of the sensors, by which costs refer to them, and where their entries lie, as a dict to slices."""
        model = self._model
        starts, sizes = model.sensor_adr.tolist(), model.sensor_dim.tolist()
        names = (model.sensor(i).name or f"sensor {i}" for i in range(model.nsensor))
        return {name: slice(i, i + size) for name, i, size in zip(names, starts, sizes, strict=True)}

    @functools.cached_property
    def clocks(self) -> frozenset[int]:
        """Entries of the sensors that tell the time, which is stage * dt."""
        clocks = np.flatnonzero(self._model.sensor_type == mujoco.mjtSensor.mjSENS_CLOCK)
        return frozenset(self._model.sensor_adr[clocks].tolist())
