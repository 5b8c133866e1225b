"""Many simulations of one model at once: rollouts of a feedback law, derivatives at many knots, sensors.

Two executors give the same numbers: compiled callbacks inside MuJoCo's thread pool (`engine`), and the public interface
of its Python package (`portable`).
"""

import functools
from dataclasses import dataclass

import numpy as np

from ppi_robotics.checks import check_count, shown
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import entries, writable
from ppi_robotics.mujoco import engine, portable
from ppi_robotics.parallel import processors

EXECUTORS = ("auto", "compiled", "portable")


@dataclass(frozen=True, eq=False)
class Law:
    """A feedback law and what disturbs it, see `kernels.multibody`.

    Attributes:
      ndx: size of the tangent.
      x_ref: (T, nx).
      u_ref: (1 or N, T, nu), one row for all samples or one each.
      limits: of the controls (nu, 2).
      k, K: feedforward (T, nu), taken times a sample's step length, and gains (T, nu, ndx); zero by default.
      S: factors of the policy's covariance (T, nu, nu); none by default.
      C, G: factors of the control noise (k, nu, nu) and of the process noise (ndx, rank); none by default.
      F, v, h, D: disturbances F_t (v_t + a h_t + D_t dx), (T, ndx, nw), (T, nw), (T, nw), (T, nw, ndx); or none.
    """

    ndx: int
    x_ref: np.ndarray
    u_ref: np.ndarray
    limits: np.ndarray
    k: np.ndarray | None = None
    K: np.ndarray | None = None
    S: np.ndarray | None = None
    C: np.ndarray | None = None
    G: np.ndarray | None = None
    F: np.ndarray | None = None
    v: np.ndarray | None = None
    h: np.ndarray | None = None
    D: np.ndarray | None = None

    @functools.cached_property
    def arrays(self):
        """The fields by name, contiguous and of full shape; C and G as their `entries`, K transposed."""
        ndx, (T, _), nu, nw = self.ndx, self.x_ref.shape, self.u_ref.shape[2], 0 if self.F is None else self.F.shape[2]
        shapes = {"k": (T, nu), "K": (T, nu, ndx), "S": (0, nu, nu), "C": (0, nu, nu), "G": (ndx, 0)}
        shapes |= {"F": (0, ndx, 0), "v": (T, nw), "h": (T, nw), "D": (T, nw, ndx)}
        full = {
            name: np.zeros(shape) if getattr(self, name) is None else getattr(self, name)
            for name, shape in shapes.items()
        }
        full |= {"C": entries(full["C"]), "G": entries(full["G"].T), "K": np.swapaxes(full["K"], 1, 2)}
        full |= {"x_ref": self.x_ref, "u_ref": self.u_ref, "limits": self.limits}
        return {name: writable(value) for name, value in full.items()}


class Simulations:
    """Simulations of a model in stages of `substeps` physics steps.

    Args:
      model: MjModel.
      substeps: physics steps a stage.
      quaternions: where quaternions start in the state.
      executor: "compiled", "portable", or "auto" for the compiled one where MuJoCo offers what it needs.
    """

    def __init__(self, model, substeps, quaternions, executor):
        self.nx, self.ndx, self.nu = model.nq + model.nv + model.na, 2 * model.nv + model.na, model.nu
        self.ns, self.substeps, self.quaternions = model.nsensordata, substeps, np.array(quaternions, dtype=np.int64)
        compiled = executor == "compiled" or (executor == "auto" and engine.library() is not None)
        self.executor = (engine.Engine if compiled else portable.Portable)(model, substeps, self.quaternions)

    def law(self, x_ref, u_ref, limits=None, **others):
        """`Law` about a reference, without limits by default."""
        limits = np.tile([-np.inf, np.inf], (self.nu, 1)) if limits is None else limits
        return Law(self.ndx, x_ref, u_ref, limits, **others)

    def room(self, N, T):
        """Uninitialized arrays for what `roll` returns."""
        shapes = (N, T + 1, self.nx), (N, T, self.nu), (N, T + 1, self.ns)
        return (*(np.empty(shape) for shape in shapes), np.empty(N, dtype=np.int64))

    def roll(self, law, x0, seed=0, first=0, a=None, last_u=None, threads=None, out=None, u_ref=None, stage=0):
        """Rollouts of a law from states x0 (N, nx), in stages; samples are numbered from `first`.

        Args:
          a: step length of every sample (N,), zero by default.
          last_u: controls (1 or N, nu) for the sensors of the last state, zero by default.
          out: `room` to fill.
          u_ref: (1 or N, T, nu), in place of the law's.
          stage: number of the first stage, or one a sample (N,), at dt times which the time is when it begins.

        Returns:
          x (N, T + 1, nx), u (N, T, nu), sensors at them (N, T + 1, ns), and at which stage a sample diverged (N,), -1
          where it did not; from there on its entries are nan.
        """
        N, T = len(x0), len(law.x_ref)
        a = np.zeros(N) if a is None else writable(a)
        last_u = np.zeros((1, self.nu)) if last_u is None else writable(last_u)
        out = self.room(N, T) if out is None else out
        start = writable(x0), int(np.uint64(seed).view(np.int64)), first, a, last_u, numbers(stage, N)
        arrays = law.arrays if u_ref is None else law.arrays | {"u_ref": writable(u_ref)}
        self.executor.roll(arrays, start, out, threads or processors())
        return out

    def scatter(self, seed, first, mean, factor, count):
        """Initial states (count, nx) of samples from `first` on: mean (nx,), moved by factor (ndx, rank) e."""
        x0 = np.empty((count, self.nx))
        arrays = writable(mean), writable(factor), self.quaternions
        engine.callbacks().scatter(np.uint64(seed), first, *arrays, x0)
        return x0

    def linearize(self, x, u, limits, centered=True, epsilon=1e-6, native=True, threads=None, stage=0):
        """Next states, sensors and their derivatives at knots x (N, nx), u (N, nu) of stages (N,) or one.

        Returns:
          xn (N, nx), y (N, ns), A (N, ndx, ndx), B (N, ndx, nu), C (N, ns, ndx), D (N, ns, nu).
        """
        N, ndx, ns = len(x), self.ndx, self.ns
        sizes = (self.nx,), (ns,), (ndx, ndx), (ndx, self.nu), (ns, ndx), (ns, self.nu)
        out = tuple(np.zeros((N, *size)) for size in sizes)
        how = int(native), int(centered), float(epsilon), writable(limits)
        self.executor.linearize((writable(x), writable(u), numbers(stage, N)), how, out, threads or processors())
        return out

    def sense(self, x, u=None, threads=None, stage=0):
        """Sensors (N, ns) at states x (N, nx) and controls u (N, nu), zero by default, of stages (N,) or one."""
        nothing = self.law(np.empty((0, self.nx)), np.empty((1, 0, self.nu)))
        return self.roll(nothing, x, last_u=u, threads=threads, stage=stage)[2][:, 0]


def numbers(stage, N):
    """Numbers of stages (N,) from one or as many.

    Raises:
      ProblemError: if they are no whole numbers of at least 0.
    """
    if np.ndim(stage) == 0:
        return np.full(N, check_count(stage, "stage", 0), dtype=np.int64)
    given = np.asarray(stage)
    if given.dtype.kind not in "iu" or given.shape != (N,) or given.min(initial=0) < 0:
        raise ProblemError(f"stage is {shown(stage)}; expected a whole number, at least 0, or one for each of {N} rows")
    return np.ascontiguousarray(given, dtype=np.int64)
