"""Batches of simulations inside MuJoCo's own thread pool, driven by compiled callbacks.

`mjb_apply` of MuJoCo's C interface runs a function on every simulation of a batch; its Python package exports it from
its shared library without wrapping it. What fails inside a simulation ends that simulation, not the process.
"""

import ctypes
import functools
import threading
from contextlib import contextmanager
from pathlib import Path

import mujoco
import numpy as np

from ppi_robotics.errors import PPIError
from ppi_robotics.kernels.compiler import load_whole

FIELDS = {"qpos": "nq", "qvel": "nv", "act": "na", "ctrl": "nu", "sensordata": "nsensordata", "qacc_warmstart": "nv"}
FIELDS |= {"xfrc_applied": "nbody"}
MARK = 1.2345678901234567e-77  # a time that stands nowhere else in a simulation's data


class Config(ctypes.Structure):
    """mjBatchConfig."""

    _fields_ = [("nthread", ctypes.c_int), ("persistent", ctypes.c_bool)]


@functools.cache
def library():
    """The shared library of MuJoCo, or None where it does not offer what is needed."""
    for path in sorted(Path(mujoco.__file__).parent.glob("*mujoco*")):
        if path.suffix in (".dll", ".dylib") or ".so" in path.name and path.name.startswith("libmujoco"):
            lib = ctypes.CDLL(str(path))
            if hasattr(lib, "mjb_apply"):
                return declared(lib)
    return None


def declared(lib):
    """The library with the types of the functions that are called from here."""
    lib.mjb_makeBatch.restype = ctypes.c_void_p
    lib.mjb_makeBatch.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(Config), ctypes.c_char_p, ctypes.c_int]
    lib.mjb_deleteBatch.argtypes = [ctypes.c_void_p]
    lib.mjb_apply.restype = ctypes.c_int
    lib.mjb_apply.argtypes = [ctypes.c_void_p, ctypes.c_void_p, *[ctypes.c_int], *[ctypes.c_void_p] * 2, ctypes.c_int]
    lib.mjb_warning.restype, lib.mjb_warning.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    lib.mjb_error.restype, lib.mjb_error.argtypes = ctypes.c_char_p, [ctypes.c_void_p, ctypes.c_int]
    lib.mjb_status.restype, lib.mjb_status.argtypes = ctypes.POINTER(ctypes.c_int), [ctypes.c_void_p]
    return lib


class Engine:
    """Compiled callbacks on batches of one model.

    Args:
      model: MjModel.
      substeps: physics steps a stage.
      quaternions: where quaternions start in the state.
    """

    def __init__(self, model, substeps, quaternions):
        self.model, self.lib, self.idle, self.lock = model, library(), [], threading.Lock()
        self.sizes = {"nq": model.nq, "nv": model.nv, "na": model.na, "nu": model.nu, "ns": model.nsensordata}
        self.quaternions = np.asarray(quaternions, dtype=np.int64)
        functions = {"step": "mj_step", "forward": "mj_forward", "differences": "mjd_transitionFD"}
        address = {name: ctypes.cast(getattr(self.lib, of), ctypes.c_void_p).value for name, of in functions.items()}
        self.common = address | self.sizes | offsets(model) | {"substeps": substeps, "nquat": len(quaternions)}
        self.common |= {"timestep": model.opt.timestep, "quaternions": address_of(self.quaternions)}

    def roll(self, law, start, out, threads):
        """See `Simulations.roll`."""
        (x0, seed, first, a, last_u, stages), (xs, us, ys, lost) = start, out
        T, nu = len(law["x_ref"]), self.model.nu
        stride = 0 if len(law["u_ref"]) == 1 else T * nu
        counts = {"nS": len(law["S"]), "nC": len(law["C"]), "nG": len(law["G"]), "nF": law["F"].shape[2]}
        values = {"T": T, "first": first, "seed": seed, "u_stride": stride, "controlled": int(len(last_u) > 1)}
        values |= {"a": a, "x0": x0, "last_u": last_u, "stages": stages, "xs": xs, "us": us, "ys": ys, "lost": lost}
        kernels = callbacks()
        self.run(kernels.rolling, kernels.ROLL, law | counts | values, len(x0), threads)

    def linearize(self, knots, how, out, threads):
        """See `Simulations.linearize`."""
        (x, u, stages), (native, centered, epsilon, limits) = knots, how
        values = {"x": x, "u": u, "stages": stages, "limits": limits}
        values |= {"native": native, "centered": centered, "epsilon": epsilon}
        values |= dict(zip(("xn", "y", "A", "B", "C", "D"), out, strict=True))
        kernels = callbacks()
        self.run(kernels.linearizing, kernels.KNOTS, values, len(x), threads)

    def run(self, callback, dtype, values, count, threads):
        """Call a callback for `count` simulations; `values` are numbers, and arrays that stand for their addresses.

        Raises:
          PPIError: with MuJoCo's message, if a simulation raised an error.
        """
        arrays = {name: address_of(value) for name, value in values.items() if isinstance(value, np.ndarray)}
        known = self.common | values | arrays
        record = np.array([tuple([known[name] for name in dtype.names])], dtype)
        ids = np.arange(count, dtype=np.int32)  # without them all simulations of the batch run
        with self.batch(count, threads) as batch:
            failed = self.lib.mjb_apply(batch, address_of(ids), count, callback.address, record.ctypes.data, 0)
            if failed:
                status = self.lib.mjb_status(batch)
                first = next((n for n in range(count) if status[n]), 0)
                said = (self.lib.mjb_error(batch, first) or b"").decode(errors="replace")
                raise PPIError(f"MuJoCo failed in {failed} of {count} simulations, first in number {first}: {said}")

    @contextmanager
    def batch(self, count, threads):
        """A batch of at least `count` simulations for the sole use of the caller."""
        with self.lock:
            fitting = [item for item in self.idle if item[0] >= count and item[1] == threads]
            item = min(fitting, default=None)
            if item is not None:
                self.idle.remove(item)
        if item is None:
            item = self._new(count, threads)
        try:
            yield item[2]
        finally:
            with self.lock:
                self.idle.append(item)

    def _new(self, count, threads):
        """(simulations, threads, address) of a batch; one that is too small for it makes room."""
        with self.lock:
            small = [item for item in self.idle if item[1] == threads]
            for item in small:
                self.idle.remove(item)
                self.lib.mjb_deleteBatch(item[2])
        said = ctypes.create_string_buffer(1000)
        address = self.lib.mjb_makeBatch(self.model._address, count, Config(threads, False), said, len(said))
        if not address:
            raise PPIError(f"MuJoCo cannot make {count} simulations: {said.value.decode(errors='replace')}")
        # MuJoCo reports a warning that comes first to the terminal and to a file; these numbers end in a status
        size = count * mujoco.mjtWarning.mjNWARNING.value * 2
        (ctypes.c_int * size).from_address(self.lib.mjb_warning(address))[:] = [1] * size
        return count, threads, address

    def __del__(self):
        for _, _, address in self.idle:
            self.lib.mjb_deleteBatch(address)


def address_of(array):
    """Where an array's data are; half the time of `array.ctypes.data`."""
    return array.__array_interface__["data"][0]


@functools.cache
def callbacks():
    """The compiled callbacks, one module for all models."""
    return load_whole("the loops about MuJoCo", "multibody")


def offsets(model):
    """Where a simulation's data point to their arrays, and where they keep the time, in bytes from their start."""
    data = mujoco.MjData(model)
    data.time = MARK
    wanted = {getattr(data, name).ctypes.data: name for name, size in FIELDS.items() if getattr(model, size)}
    mark, found, word = np.float64(MARK).view(np.int64).item(), dict.fromkeys(FIELDS, 0), ctypes.c_int64
    position, missing = 0, set(wanted.values()) | {"time"}
    while missing:
        value = word.from_address(data._address + position).value
        name = "time" if value == mark else wanted.get(value)
        if name in missing:
            found[name] = position
            missing.remove(name)
        position += 8
    found["warmstart"], found["mark"] = found.pop("qacc_warmstart"), found.pop("xfrc_applied")
    return found
