"""The model that a plant shows: a copy that cannot be edited, or whose edits are found.

Simulations run on a model that nobody else has. The arrays of the copy are read-only; numbers such as opt.timestep, and
arrays behind names such as model.body("link").mass, MuJoCo lets everybody write, so that they are compared before use.
"""

import copy
import ctypes

import numpy as np

from ppi_robotics.errors import PlantError

BULKY = ("bvh_", "oct_", "skin_", "tex_")  # large, and of pictures, or not to be reached by names of things
RECORDS = ("opt", "stat")  # numbers in `vis` are a matter of pictures, and of everybody


class Shown:
    """A copy of a model for all to read.

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
