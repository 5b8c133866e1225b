"""Batches of simulations through the public interface of MuJoCo's Python package.

Between the steps of a batch the same compiled law acts as inside MuJoCo's thread pool: the numbers are the same.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import mujoco
import numpy as np

from ppi_robotics.errors import PlantError
from ppi_robotics.mujoco.engine import callbacks

FARTHEST = 1e10  # as in `kernels.multibody`

try:
    from mujoco import batch as mujoco_batch
except ImportError:
    mujoco_batch = None


class Portable:
    """Batches of one model, see `engine.Engine`."""

    def __init__(self, model, substeps, quaternions):
        if mujoco_batch is None:
            raise PlantError(f"MuJoCo {mujoco.__version__} cannot step batches; install mujoco 4.0 or later")
        self.model, self.substeps, self.quaternions = model, substeps, quaternions

    def roll(self, law, start, out, threads):
        """See `Simulations.roll`."""
        (x, seed, first, a, last_u, stages), (xs, us, ys, lost), kernels = start, out, callbacks()
        dt = self.substeps * self.model.opt.timestep
        T, ndx = len(law["x_ref"]), 2 * self.model.nv + self.model.na
        batch = mujoco_batch.Batch(self.model, len(x), threads)
        rows, sensors = Rows(self.model, batch), batch.bind("sensordata")
        feedback = tuple(law[name] for name in ("x_ref", "k", "K", "S", "limits", "C")) + (self.quaternions,)
        push = tuple(law[name] for name in ("G", "F", "v", "h", "D"))
        noisy = len(law["G"]) > 0 or law["F"].shape[2] > 0
        seed, dx, applied = np.int64(seed).view(np.uint64), np.empty((len(x), ndx)), np.empty((len(x), self.model.nu))
        x, u, lost[:], xs[:, 0] = x.copy(), np.empty_like(applied), -1, x
        rows.store(x)
        rows.mark[:] = 1.0
        self._lose(~(np.abs(x) <= FARTHEST).all(axis=1), lost, 0, rows)
        for t in range(T):
            kernels.control_rows(t, a, seed, first, x, law["u_ref"], feedback, dx, u, applied)
            us[:, t], rows.ctrl[:] = u, applied
            self._lose(~(np.abs(applied) <= FARTHEST).all(axis=1), lost, t, rows)
            rows.time[:] = ((stages + t) * dt)[:, None]
            self._stage(batch, rows, sensors, ys[:, t], lost, t)
            rows.load(x)
            self._lose(~(np.abs(x) <= FARTHEST).all(axis=1), lost, t, rows)
            if noisy:
                kernels.disturb_rows(t, a, seed, first, dx, push, self.quaternions, x, lost)
                rows.store(x)
            xs[:, t + 1] = x
        if self.model.nsensordata:
            rows.ctrl[:], rows.time[:] = last_u, ((stages + T) * dt)[:, None]
            batch.forward()
            ys[:, T] = sensors
        for n in np.flatnonzero(lost >= 0):
            for path in (xs, us, ys):
                path[n, lost[n] + 1 :] = np.nan

    @staticmethod
    def _lose(which, lost, t, rows):
        """Mark samples as diverged in stage t, and put them where nothing moves."""
        lost[which & (lost < 0)] = t
        for part in (*rows.parts, rows.ctrl):
            part[which] = 0.0

    def _stage(self, batch, rows, sensors, y, lost, t):
        """The physics steps of a stage; sensors are those of its start."""
        for s in range(self.substeps):
            before = rows.time.copy()
            with suppress(mujoco_batch.SimulationError):  # the time of what failed stands still
                batch.step()
            if s == 0:
                y[:] = sensors
            lost[(lost < 0) & (~(rows.time > before) | (rows.mark == 0.0))[:, 0]] = t

    def linearize(self, knots, how, out, threads):
        """See `Simulations.linearize`."""
        (x, u, stages), N = knots, len(knots[0])
        parts = [range(start, N, threads) for start in range(min(threads, N))]
        with ThreadPoolExecutor(len(parts)) as pool:
            list(pool.map(lambda part: self._linearize(x, u, stages, how, out, part), parts))

    def _linearize(self, x, u, stages, how, out, part):
        """Knots of one thread."""
        model, data, dt = self.model, mujoco.MjData(self.model), self.substeps * self.model.opt.timestep
        for n in part:
            mine = [array[n] for array in out]
            if near(x[n]) and near(u[n]):
                enter(model, data, x[n], u[n], stages[n] * dt)
                if how[0]:
                    chain_differences(self, data, how, mine)
                else:
                    difference_stages(self, data, (x[n], u[n], data.time), how, mine)
            else:
                mine[0][:] = np.nan
            if not near(mine[0]):
                for array in mine:
                    array[:] = np.nan


def near(x):
    """Whether a vector is finite and not beyond all bounds."""
    return bool((np.abs(x) <= FARTHEST).all())


def chain_differences(portable, data, how, out):
    """Derivatives by `mjd_transitionFD`, chained over the substeps; the next state is nan if it diverges."""
    model, multiply = portable.model, callbacks().multiply_onto
    (_, centered, epsilon, _), (xn, y, A, B, C, D) = how, out
    for s in range(portable.substeps):
        As, Bs = (A, B) if s == 0 else (np.empty_like(A), np.empty_like(B))
        Cs, Ds = (C, D) if s == 0 and model.nsensordata else (None, None)
        mujoco.mjd_transitionFD(model, data, epsilon, bool(centered), As, Bs, Cs, Ds)
        if s > 0:
            multiply(As, A, A)
            multiply(As, B, B)
            B += Bs
        if not data.xfrc_applied[0, 0] or not advance(model, data):
            xn[:] = np.nan
            return
        if s == 0:
            y[:] = data.sensordata
    xn[:] = np.concatenate((data.qpos, data.qvel, data.act))


class Rows:
    """The live state of a batch."""

    def __init__(self, model, batch):
        self.parts = [
            batch.bind(name) for name, size in (("qpos", model.nq), ("qvel", model.nv), ("act", model.na)) if size
        ]
        self.ctrl, self.time = batch.bind("ctrl"), batch.bind("time").reshape(-1, 1)
        self.mark = batch.bind("xfrc_applied").reshape(len(self.time), -1)[:, :1]  # as in `kernels.multibody.marked`

    def load(self, x):
        """x (N, nx) from the batch."""
        np.concatenate(self.parts, axis=1, out=x)

    def store(self, x):
        """The batch from x (N, nx)."""
        start = 0
        for part in self.parts:
            part[:] = x[:, start : start + part.shape[1]]
            start += part.shape[1]


def enter(model, data, x, u, time=0.0):
    """A simulation at a state, a control and a time, marked, and its constraint solver converged."""
    mujoco.mj_resetData(model, data)
    write(model, data, x)
    data.ctrl[:], data.time, data.xfrc_applied[0, 0] = u, time, 1.0
    mujoco.mj_forward(model, data)


def advance(model, data):
    """Take a physics step; False if MuJoCo gave up and put the model back to its default."""
    mujoco.mj_step(model, data)
    return bool(data.xfrc_applied[0, 0])


def write(model, data, x):
    """Positions, velocities and activations of a simulation from a state (nx,)."""
    data.qpos[:] = x[: model.nq]
    data.qvel[:] = x[model.nq : model.nq + model.nv]
    data.act[:] = x[model.nq + model.nv :]


def difference_stages(portable, data, at, how, out):
    """Differences of whole stages, as `kernels.multibody.difference_steps`."""
    from ppi_robotics.manifold import difference, retract

    model, (x, u, now), (_, centered, epsilon, limits), (xn, y, A, B, C, D) = portable.model, at, how, out
    warm, ndx, quaternions = data.qacc_warmstart.copy(), len(A), portable.quaternions

    def stage(start, control):
        write(model, data, start)
        data.ctrl[:], data.qacc_warmstart[:], data.time = control, warm, now
        for s in range(portable.substeps):
            if not advance(model, data):
                return np.full(len(x), np.nan), data.sensordata.copy()
            if s == 0:
                seen = data.sensordata.copy()
        return np.concatenate((data.qpos, data.qvel, data.act)), seen

    xn[:], y[:] = stage(x, u)
    for column in range(ndx + len(u)):
        ends, width, i = [], 0.0, column - ndx
        room = (u[i] + epsilon <= limits[i, 1], u[i] - epsilon >= limits[i, 0]) if i >= 0 else (True, bool(centered))
        sides = (room[0], room[1] and (bool(centered) or not room[0])) if i >= 0 else room
        for step, taken in ((epsilon, sides[0]), (-epsilon, sides[1])):
            move, control = np.zeros(ndx), u.copy()
            if not taken:
                ends.append((xn, y))
                continue
            if i >= 0:
                control[i] += step
            else:
                move[column] = step
            ends.append(stage(retract(x, move, quaternions), control))
            width += epsilon
        scale = 1.0 / width if width else 0.0
        of_state, of_sensors = (A[:, column], C[:, column]) if i < 0 else (B[:, i], D[:, i])
        of_state[:] = scale * difference(ends[0][0], ends[1][0], quaternions)
        of_sensors[:] = scale * (ends[0][1] - ends[1][1])
