"""Many simulations of one model at once: rollouts of a feedback law, derivatives at many knots, sensors.

They are batches of MuJoCo's Python package (`mujoco.batch`), between whose steps `kernels.mujoco` acts. The numbers are
those of a plain loop of `mj_step`, at any number of threads.
"""

import copy
import functools
import itertools
import math
import threading
from contextlib import contextmanager
from dataclasses import dataclass

import mujoco
import numpy as np

from ppi_robotics.checks import check_count, shown
from ppi_robotics.errors import PlantError, PPIError, ProblemError
from ppi_robotics.gaussian import entries, writable
from ppi_robotics.kernels.compiler import load_whole
from ppi_robotics.parallel import in_threads, processors

try:
    from mujoco import batch as mujoco_batch
except ImportError:
    mujoco_batch = None

MOST_IDLE = 32  # batches, or simulations, that are kept for later
MOST_ROWS = 1024  # simulations side by side that differences of whole stages take
EXACT = 8  # simulations up to which a batch has no more than are asked for
LARGEST_PART = 16  # knots that a thread takes at a time
LEAST = 4  # samples that are worth a thread
STATE = int(mujoco.mjtState.mjSTATE_INTEGRATION)


@dataclass(frozen=True, eq=False)
class Law:
    """A feedback law and what disturbs it, see `kernels.mujoco`.

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
    def packed(self) -> tuple[np.ndarray, np.ndarray]:
        """Sizes, and x_ref, k, K, S, limits, C, G, F, v, h, D one after another, of full shape.

        C and G are their `entries`, K is transposed. The sizes are ndx, the lengths of S, C, G and F, nw, and how many
        normal numbers the process, the policy and the controls take.
        """
        ndx, (T, _), nu, nw = self.ndx, self.x_ref.shape, self.u_ref.shape[2], 0 if self.F is None else self.F.shape[2]
        shapes = {"x_ref": (), "k": (T, nu), "K": (T, nu, ndx), "S": (0, nu, nu), "limits": (), "C": (0, nu, nu)}
        shapes |= {"G": (ndx, 0), "F": (0, ndx, 0), "v": (T, nw), "h": (T, nw), "D": (T, nw, ndx)}
        full = {
            name: np.zeros(shape) if getattr(self, name) is None else getattr(self, name)
            for name, shape in shapes.items()
        }
        full |= {"C": entries(full["C"]), "G": entries(full["G"].T), "K": np.swapaxes(full["K"], 1, 2)}
        lengths = [len(full[name]) for name in "SCGF"]
        sizes = [ndx, *lengths, nw, count(full["G"]), nu if lengths[0] else 0, count(full["C"])]
        return np.array(sizes, dtype=np.int64), np.concatenate([np.ravel(array) for array in full.values()])


class Simulations:
    """Simulations of a model in stages of `substeps` physics steps.

    Args:
      model: MjModel, which must not change.
      substeps: physics steps a stage.
      quaternions: where quaternions start in the state.

    Raises:
      PlantError: if the installed MuJoCo knows no batches.
    """

    def __init__(self, model, substeps: int, quaternions):
        if mujoco_batch is None:
            raise PlantError(f"MuJoCo {mujoco.__version__} cannot step batches; install mujoco 4.0 or later")
        self.nx, self.ndx, self.nu = model.nq + model.nv + model.na, 2 * model.nv + model.na, model.nu
        self.ns, self.substeps, self.quaternions = model.nsensordata, substeps, np.array(quaternions, dtype=np.int64)
        self.model, self.dt, self.batches, self.data = model, substeps * model.opt.timestep, Pool(), Pool()
        self.controls, mark = place(model, mujoco.mjtState.mjSTATE_CTRL), mujoco.mjtState.mjSTATE_XFRC_APPLIED
        self.at = self.controls, place(model, mark)
        self.row = np.empty(mujoco.mj_stateSize(model, STATE))  # of a simulation before it begins
        mujoco.mj_getState(model, mujoco.MjData(model), self.row, STATE)
        self.row[self.at[1]] = 1.0

    def law(self, x_ref, u_ref, limits=None, **others) -> Law:
        """`Law` about a reference, without limits by default."""
        limits = np.tile([-np.inf, np.inf], (self.nu, 1)) if limits is None else limits
        return Law(self.ndx, x_ref, u_ref, limits, **others)

    def room(self, N: int, T: int, sensors: bool = True) -> tuple:
        """Uninitialized arrays for what `roll` returns."""
        shapes = (N, T + 1, self.nx), (N, T, self.nu), (N, T + 1, self.ns if sensors else 0)
        return (*(np.empty(shape) for shape in shapes), np.empty(N, dtype=np.int64))

    def roll(self, law, x0, seed=0, first=0, a=None, last_u=None, threads=None, out=None, u_ref=None, stage=0) -> tuple:
        """Rollouts of a law from states x0 (N, nx), in stages; samples are numbered from `first`.

        Args:
          a: step length of every sample (N,), zero by default.
          last_u: controls (1 or N, nu) for the sensors of the last state, zero by default.
          out: `room` to fill; sensors are not computed where it has none.
          u_ref: (1 or N, T, nu), in place of the law's.
          stage: number of the first stage, or one a sample (N,), at dt times which the time is when it begins.

        Returns:
          x (N, T + 1, nx), u (N, T, nu), sensors at them (N, T + 1, ns), and at which stage a sample diverged (N,), -1
          where it did not; from there on its entries are nan.
        """
        N = len(x0)
        out = self.room(N, len(law.x_ref)) if out is None else out
        own = np.zeros(N) if a is None else writable(a), numbers(stage, N)
        shared = law.u_ref if u_ref is None else u_ref, np.zeros((1, self.nu)) if last_u is None else last_u

        def work(start):
            part = slice(start, start + size)
            mine = (writable(array if len(array) == 1 else array[part]) for array in shared)
            self._roll(
                law, x0[part], seed, first + start, *(array[part] for array in own), *mine, [o[part] for o in out]
            )

        size = max(math.ceil(N / (threads or processors())), LEAST)
        list(in_threads(work, range(0, N, size), threads))
        return out

    def _roll(self, law, x0, seed, first, a, stages, u_ref, last_u, out):
        """`roll` in one thread."""
        (xs, us, ys, lost), (sizes, law_flat), N, T, nu, gone = out, law.packed, len(x0), len(law.x_ref), self.nu, 0
        work = np.empty((2 + 3 * nu + 2 * self.ndx + sizes[-3:].sum(), N))
        work[0], work[1], work[2 : 2 + nu] = a, stages, last_u.T
        sizes = np.concatenate(([np.uint64(seed).view(np.int64), first, *self.at], sizes, self.quaternions))
        senses = ys.shape[2] > 0
        with self._batch(N, senses) as batch:
            rows, ids = batch.rows[:N], None if batch.size == N else np.arange(N, dtype=np.int32)
            rows[:], lost[:] = self.row, -1
            rows[:, 1 : 1 + self.nx] = xs[:, 0] = x0
            given, next_stage = (self.dt, sizes, law_flat, u_ref, work, rows, xs, us, lost), kernels().next_stage
            for t in range(T + 1):
                missing = next_stage(t, *given)
                if missing > gone:
                    gone, ids = missing, np.flatnonzero(lost < 0).astype(np.int32)
                if gone == N:
                    break
                batch.stage(ids, self.substeps if t < T else 0, ys[:, t] if senses else None)
        for n in np.flatnonzero(lost >= 0):
            for path in (xs, us, ys):
                path[n, lost[n] + 1 :] = np.nan

    def scatter(self, seed, first, mean, factor, count) -> np.ndarray:
        """Initial states (count, nx) of samples from `first` on: mean (nx,), moved by factor (ndx, rank) e."""
        x0 = np.empty((count, self.nx))
        kernels().scatter(np.uint64(seed), first, writable(mean), writable(factor), self.quaternions, x0)
        return x0

    def sense(self, x, u=None, threads=None, stage=0) -> np.ndarray:
        """Sensors (N, ns) at states x (N, nx) and controls u (N, nu), zero by default, of stages (N,) or one."""
        nothing = self.law(np.empty((0, self.nx)), np.empty((1, 0, self.nu)))
        return self.roll(nothing, x, last_u=u, threads=threads, stage=stage)[2][:, 0]

    # -- derivatives ---------------------------------------------------------------------------------------------------

    def linearize(
        self, x, u, limits, centered=True, epsilon=1e-6, native=True, threads=None, stage=0, sensors=True
    ) -> tuple:
        """Next states, sensors and their derivatives at knots x (N, nx), u (N, nu) of stages (N,) or one.

        Args:
          native: by `mjd_transitionFD`, chained over the substeps; else by differences of whole stages.
          sensors: whether they matter; else ns is 0.

        Returns:
          xn (N, nx), y (N, ns), A (N, ndx, ndx), B (N, ndx, nu), C (N, ns, ndx), D (N, ns, nu).
        """
        N, ndx, ns = len(x), self.ndx, self.ns if sensors else 0
        sizes = (self.nx,), (ns,), (ndx, ndx), (ndx, self.nu), (ns, ndx), (ns, self.nu)
        out, x, u = tuple(np.zeros((N, *size)) for size in sizes), writable(x), writable(u)
        rows, limits = np.repeat(self.row[None], N, axis=0), writable(limits)
        rows[:, 0], rows[:, 1 : 1 + self.nx] = numbers(stage, N) * self.dt, x
        rows[:, self.controls : self.controls + self.nu] = u

        workers = threads or processors()
        if native:
            parts = shrinking(N, workers)
            items, shared = parts[:workers], iter(parts)  # an iterator that threads share balances unlike parts
            work = functools.partial(self._differentiate, shared, rows, centered, epsilon, out)
        else:

            def work(start):
                part = slice(start, start + size)
                mine = [array[part] for array in out]
                self._difference(x[part], rows[part], float(centered), epsilon, limits, mine)

            size = min(math.ceil(N / workers / 2), MOST_ROWS // (1 + 2 * (ndx + self.nu)))
            items = range(0, N, max(size, 1))
        list(in_threads(work, items, threads))
        kernels().lose_unsound(x, u, out)
        return out

    def _differentiate(self, parts, rows, centered, epsilon, out, _):
        """Derivatives by `mjd_transitionFD`, chained over the substeps; the next state is nan if MuJoCo gives up.

        Args:
          parts: iterator over slices of at most `LARGEST_PART` knots.
          rows: states of the knots, which become those after their stage.
        """
        model, chain, mark, (xn, y, *derivatives) = self.model, kernels().chain, self.at[1], out
        senses, rest = y.shape[1] > 0, (None, None)
        As, Bs = (np.empty(array.shape[1:]) for array in derivatives[:2])
        steps = self._batch(min(len(rows), LARGEST_PART), senses)
        with steps as batch, self.data.take(None, lambda: mute(mujoco.MjData(model))) as data:
            force = data.xfrc_applied[0]
            for part in parts:
                starts = self._steps(batch, rows[part], y[part] if senses else None)
                sound = (np.isfinite(starts[0]).all(axis=1) & (rows[part, mark] != 0.0)).tolist()
                for n in itertools.compress(range(len(sound)), sound):
                    A, B, C, D = (array[part.start + n] for array in derivatives)
                    mujoco.mj_setState(model, data, starts[0, n], STATE)
                    mujoco.mjd_transitionFD(model, data, epsilon, centered, A, B, *((C, D) if senses else rest))
                    for start in starts[1:, n]:
                        mujoco.mj_setState(model, data, start, STATE)
                        mujoco.mjd_transitionFD(model, data, epsilon, centered, As, Bs, *rest)
                        chain(As, Bs, A, B)
                    if not force[0]:
                        rows[part.start + n, mark] = 0.0
                        mute(data)
                mine = rows[part]
                xn[part] = np.where(mine[:, mark : mark + 1] != 0.0, mine[:, 1 : 1 + self.nx], np.nan)

    def _steps(self, batch, rows, seen):
        """States (substeps, N, nstate) before every step of a stage; rows take those after it, `seen` the sensors."""
        N, starts = len(rows), np.empty((self.substeps, *rows.shape))
        states, ids = batch.rows[:N], np.flatnonzero(np.isfinite(rows).all(axis=1)).astype(np.int32)
        states[:] = rows
        batch.batch.forward(ids)  # every difference starts from the constraint solver's solution
        for s in range(self.substeps):
            starts[s] = states
            batch.stage(ids, 1, seen if s == 0 else None)
        rows[:] = states
        return starts

    def _difference(self, x, knots, centered, epsilon, limits, out):
        """Differences of whole stages, all of them side by side in a batch."""
        width = 1 + 2 * (self.ndx + self.nu)
        N, count = len(x), width * len(x)
        steps, used, seen = (
            np.empty((N, 2, width // 2)),
            np.empty(count, dtype=bool),
            np.empty((count, out[1].shape[1])),
        )
        with self._batch(count, seen.shape[1] > 0) as batch:
            rows = batch.rows[:count]
            rows[::width] = knots
            batch.batch.forward(np.arange(0, count, width, dtype=np.int32))
            kernels().surround(x, epsilon, centered, limits, self.quaternions, rows, self.at, steps, used)
            batch.stage(np.flatnonzero(used).astype(np.int32), self.substeps, seen if seen.shape[1] else None)
            kernels().difference(rows, self.at, seen, self.quaternions, steps, used, tuple(out))

    def _batch(self, count, sensors):
        """A `Batch` of at least `count` simulations for the sole use of the caller."""
        size = count if count <= EXACT else 1 << (count - 1).bit_length()
        kind = size, sensors or self.model.nplugin > 0
        return self.batches.take(kind, lambda: Batch(self.model, *kind))


class Pool:
    """Things that wait for their next use, as making them takes longer than using them."""

    def __init__(self):
        self.idle, self.lock = [], threading.Lock()

    @contextmanager
    def take(self, kind, make):
        """One of a kind, for the sole use of the caller."""
        with self.lock:
            found = next((n for n, (of, _) in enumerate(self.idle) if of == kind), None)
            thing = None if found is None else self.idle.pop(found)[1]
        thing = make() if thing is None else thing
        yield thing
        with self.lock:  # not after an error
            self.idle.append((kind, thing))
            del self.idle[:-MOST_IDLE]


class Batch:
    """Simulations side by side in one thread.

    Args:
      model: MjModel.
      size: number of simulations.
      sensors: whether they are computed; what moves does not depend on them.

    Attributes:
      rows: their states (size, nstate), as in mjSTATE_INTEGRATION.
    """

    def __init__(self, model, size: int, sensors: bool):
        if not sensors:
            model = copy.copy(model)
            model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_SENSOR)
        self.size, self.batch = size, mujoco_batch.Batch(model, size, 1)
        self.rows, self.sensors = self.batch.state, self.batch.bind("sensordata") if sensors else None
        self.batch.warning[:] = 1  # MuJoCo reports those that come first to the terminal and to a file

    def stage(self, ids, substeps: int, seen) -> None:
        """Simulate steps, or none but a forward pass; `seen`, if it is an array, takes the sensors of its beginning.

        Args:
          ids: numbers of the simulations (int32), or None for all.

        Raises:
          PPIError: with MuJoCo's message, if a simulation raised an error.
        """
        try:
            if seen is None:
                if substeps:
                    self.batch.step(ids, substeps)
                return
            if substeps:
                self.batch.step(ids)
            else:
                self.batch.forward(ids)
            seen[:] = self.sensors[: len(seen)]
            if substeps > 1:
                self.batch.step(ids, substeps - 1)
        except mujoco_batch.SimulationError as error:
            raise PPIError(f"MuJoCo failed in a simulation: {' '.join(str(error).split())}") from error


def mute(data):
    """The data, no warning of which is the first of its kind: those MuJoCo reports to the terminal and to a file."""
    for warning in data.warning:
        warning.number = 1
    return data


def kernels():
    """The compiled loops, one module for all models."""
    return load_whole("the loops about MuJoCo", "mujoco")


def place(model, component):
    """Where a component begins in a state of all that a step depends on."""
    return mujoco.mj_stateSize(model, STATE & (int(component) - 1))


def count(factors):
    """How many normal numbers the `entries` of factors take."""
    return int(factors[-1, 0]) + 1 if len(factors) else 0


def shrinking(N, workers):
    """Slices of N knots for workers to take in turn: the smaller, the nearer the end, so that all end together."""
    parts, start = [], 0
    while start < N:
        size = min(math.ceil((N - start) / workers / 2), LARGEST_PART)
        parts.append(slice(start, start + size))
        start += size
    return parts


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
