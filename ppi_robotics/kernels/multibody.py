"""Simulations in MuJoCo, compiled: rollouts of a feedback law and derivatives, one simulation a call.

    u_t = clip(u_ref_t + a k_t + K_t (x_t - x_ref_t) + S_t e_t)
    x_{t+1} = f(x_t, u_t + sum_i a_i C_i u_t) + G w_t + F_t (v_t + a h_t + D_t (x_t - x_ref_t))

States lie on the manifold of `kernels.manifold`. The functions of MuJoCo and the arrays of its data are reached by
address, so that this module is compiled once for all models. Nothing is contracted or reordered: the same numbers come
out whether these functions run inside the thread pool of MuJoCo or between its steps. Gains are held transposed, K (T,
ndx, nu), so that the sums of different controls run side by side.
"""

import numpy as np
from numba import carray, from_dtype, int32, int64, types, uint64

from ppi_robotics.kernels.foreign import call_differences, call_two, floats, integers
from ppi_robotics.kernels.jit import cfunc, njit
from ppi_robotics.kernels.lanes import normals_of
from ppi_robotics.kernels.manifold import OPTIONS, add, subtract

PROCESS, INITIAL, CONTROL, ACTUATOR = uint64(0), uint64(1), uint64(2), uint64(3)  # random streams, as in `closed_loop`
FARTHEST = 1e10  # entries of a state beyond it MuJoCo itself takes for diverged (mjMAXVAL)

# where MuJoCo's functions are, and at which offsets its data keep what
ENGINE = [(name, np.int64) for name in ("step", "forward", "differences", "nq", "nv", "na", "nu", "ns", "substeps")]
ENGINE += [("timestep", np.float64)]
ENGINE += [(name, np.int64) for name in ("qpos", "qvel", "act", "ctrl", "sensordata", "warmstart", "time", "mark")]
LAW = ("x_ref", "u_ref", "k", "K", "S", "limits", "C", "G", "F", "v", "h", "D", "quaternions")
ROLL = np.dtype(
    ENGINE
    + [(name, np.int64) for name in ("T", "first", "seed", "u_stride", "nS", "nC", "nG", "nF", "nquat", "controlled")]
    + [(name, np.int64) for name in LAW]
    + [(name, np.int64) for name in ("a", "x0", "last_u", "stages", "xs", "us", "ys", "lost")]
)
KNOTS = np.dtype(
    ENGINE
    + [(name, np.int64) for name in ("native", "centered", "nquat", "quaternions")]
    + [(name, np.int64) for name in ("x", "u", "stages", "limits", "xn", "y", "A", "B", "C", "D")]
    + [("epsilon", np.float64)]
)


# -- the law, on the state of one simulation ---------------------------------------------------------------------------


@njit(**OPTIONS)
def control(t, a, seed, sample, x, u_ref, law, dx, u, applied):
    """Control u of stage t at x, and what is applied once it has met its own noise; dx takes x - x_ref."""
    x_ref, k, K, S, limits, C, quaternions = law
    subtract(x, x_ref[t], quaternions, dx)
    for i in range(u.shape[0]):
        u[i] = u_ref[t, i] + a * k[t, i]
    for j in range(dx.shape[0]):
        for i in range(u.shape[0]):
            u[i] += K[t, j, i] * dx[j]
    if S.shape[0] > 0:
        e = np.empty(u.shape[0])
        normals_of(seed, CONTROL, sample, t, e)
        for i in range(u.shape[0]):
            for j in range(u.shape[0]):
                u[i] += S[t, i, j] * e[j]
    for i in range(u.shape[0]):
        u[i] = min(max(u[i], limits[i, 0]), limits[i, 1])
        applied[i] = u[i]
    if C.shape[0] > 0:
        b = np.empty(int(C[C.shape[0] - 1, 0]) + 1)
        normals_of(seed, ACTUATOR, sample, t, b)
        for n in range(C.shape[0]):
            m, i, j = int(C[n, 0]), int(C[n, 1]), int(C[n, 2])
            applied[i] += C[n, 3] * u[j] * b[m]


@njit(**OPTIONS)
def disturb(t, a, seed, sample, dx, push, quaternions, x):
    """Move the state x that a stage has led to by its noise and by the law's own disturbances; dx is overwritten."""
    G, F, v, h, D = push
    move = np.zeros(dx.shape[0])
    if F.shape[0] > 0:
        for m in range(v.shape[1]):
            w = v[t, m] + a * h[t, m]
            for j in range(dx.shape[0]):
                w += D[t, m, j] * dx[j]
            for i in range(dx.shape[0]):
                move[i] += F[t, i, m] * w
    if G.shape[0] > 0:
        w = np.empty(int(G[G.shape[0] - 1, 0]) + 1)
        normals_of(seed, PROCESS, sample, t, w)
        for n in range(G.shape[0]):
            move[int(G[n, 1])] += G[n, 2] * w[int(G[n, 0])]
    add(x, move, quaternions, x)


@njit(**OPTIONS)
def scatter(seed, first, mean, factor, quaternions, x0):
    """Initial states x0 (N, nx) of samples first, first + 1, ...: the mean, moved by factor (ndx, rank) e."""
    w, move = np.empty(factor.shape[1]), np.empty(factor.shape[0])
    for n in range(x0.shape[0]):
        move[:] = 0.0
        if factor.shape[1] > 0:
            normals_of(seed, INITIAL, first + n, 0, w)
        for i in range(factor.shape[0]):
            for m in range(factor.shape[1]):
                move[i] += factor[i, m] * w[m]
        add(mean, move, quaternions, x0[n])


@njit(**OPTIONS)
def sound(x):
    """Whether a state is finite and not beyond all bounds."""
    far = 0.0
    for i in range(x.shape[0]):
        far = max(far, abs(x[i])) if abs(x[i]) >= 0.0 else np.inf
    return far <= FARTHEST


# -- the same between the steps of a batch -----------------------------------------------------------------------------


@njit(**OPTIONS)
def control_rows(t, a, seed, first, x, u_ref, law, dx, u, applied):
    """`control` for every row of x (N, nx); u_ref (N or 1, T, nu)."""
    for n in range(x.shape[0]):
        mine = u_ref[min(n, u_ref.shape[0] - 1)]
        control(t, a[n], seed, first + n, x[n], mine, law, dx[n], u[n], applied[n])


@njit(**OPTIONS)
def disturb_rows(t, a, seed, first, dx, push, quaternions, x, lost):
    """`disturb` for every row of x (N, nx) that is not lost."""
    for n in range(x.shape[0]):
        if lost[n] < 0:
            disturb(t, a[n], seed, first + n, dx[n], push, quaternions, x[n])


# -- inside MuJoCo's thread pool ---------------------------------------------------------------------------------------


@njit(**OPTIONS)
def copy(v, out):
    """out = v, for vectors."""
    for i in range(v.shape[0]):
        out[i] = v[i]


@njit(**OPTIONS)
def clear(v):
    """v = 0."""
    for i in range(v.shape[0]):
        v[i] = 0.0


@njit(**OPTIONS)
def lose(rows, first):
    """Rows from `first` on take nan."""
    for t in range(first, rows.shape[0]):
        for i in range(rows.shape[1]):
            rows[t, i] = np.nan


@njit(**OPTIONS)
def lose_all(t, lost, n, xs, us, ys):
    """Sample n has diverged in stage t."""
    lost[n] = t
    lose(xs, t + 1)
    lose(us, t + 1)
    lose(ys, t + 1)


@njit(**OPTIONS)
def field(d, offset, shape):
    """Array of the data d that its struct points to at an offset."""
    return floats(integers(d + offset, (1,))[0], shape)


@njit(**OPTIONS)
def arrays(d, e):
    """qpos, qvel, act and ctrl of the data d."""
    return (
        field(d, e.qpos, (e.nq,)),
        field(d, e.qvel, (e.nv,)),
        field(d, e.act, (e.na,)),
        field(d, e.ctrl, (e.nu,)),
    )


@njit(**OPTIONS)
def load(state, x):
    """x from (qpos, qvel, act, ctrl)."""
    qpos, qvel, act, _ = state
    nq, nv = qpos.shape[0], qvel.shape[0]
    copy(qpos, x)
    copy(qvel, x[nq:])
    copy(act, x[nq + nv :])


@njit(**OPTIONS)
def store(x, state):
    """(qpos, qvel, act) from x."""
    qpos, qvel, act, _ = state
    nq, nv = qpos.shape[0], qvel.shape[0]
    copy(x[:nq], qpos)
    copy(x[nq : nq + nv], qvel)
    copy(x[nq + nv :], act)


@njit(**OPTIONS)
def marked(d, e):
    """A force on the world, which nothing reads and only a reset clears, set to 1."""
    mark = field(d, e.mark, (1,))
    mark[0] = 1.0
    return mark


@njit(**OPTIONS)
def advance(m, d, step, mark):
    """Take a physics step; False if MuJoCo gave up, which puts the model back to its default."""
    call_two(step, m, d)
    return mark[0] != 0.0


@njit(**OPTIONS)
def roll_one(m, d, n, r):
    """Simulation number n of a rollout, described by a ROLL record."""
    nx, ndx, nu, T = r.nq + r.nv + r.na, 2 * r.nv + r.na, r.nu, r.T
    quaternions = integers(r.quaternions, (r.nquat,))
    law = (
        floats(r.x_ref, (T, nx)),
        floats(r.k, (T, nu)),
        floats(r.K, (T, ndx, nu)),
        floats(r.S, (r.nS, nu, nu)),
        floats(r.limits, (nu, 2)),
        floats(r.C, (r.nC, 4)),
        quaternions,
    )
    push = (
        floats(r.G, (r.nG, 3)),
        floats(r.F, (T if r.nF > 0 else 0, ndx, r.nF)),
        floats(r.v, (T, r.nF)),
        floats(r.h, (T, r.nF)),
        floats(r.D, (T, r.nF, ndx)),
    )
    a, u_ref = floats(r.a + 8 * n, (1,))[0], floats(r.u_ref + 8 * r.u_stride * n, (T, nu))
    xs, us = floats(r.xs + 8 * n * (T + 1) * nx, (T + 1, nx)), floats(r.us + 8 * n * T * nu, (T, nu))
    ys, lost = floats(r.ys + 8 * n * (T + 1) * r.ns, (T + 1, r.ns)), integers(r.lost, (n + 1,))
    state, sensors, time, mark = arrays(d, r), field(d, r.sensordata, (r.ns,)), floats(d + r.time, (1,)), marked(d, r)
    start = integers(r.stages + 8 * n, (1,))[0]
    seed, sample = uint64(r.seed), r.first + n
    dx, applied = np.empty(ndx), np.empty(nu)
    noisy = r.nG > 0 or r.nF > 0
    copy(floats(r.x0 + 8 * n * nx, (nx,)), xs[0])
    clear(field(d, r.warmstart, (r.nv,)))
    store(xs[0], state)
    lost[n] = -1
    if not sound(xs[0]):
        lose_all(0, lost, n, xs, us, ys)
        return
    for t in range(T):
        control(t, a, seed, sample, xs[t], u_ref, law, dx, us[t], applied)
        if not sound(applied):
            lose_all(t, lost, n, xs, us, ys)
            return
        copy(applied, state[3])
        time[0] = (start + t) * (r.substeps * r.timestep)
        for s in range(r.substeps):
            if not advance(m, d, r.step, mark):
                lost[n] = t
            if s == 0:
                copy(sensors, ys[t])
        load(state, xs[t + 1])
        if lost[n] >= 0 or not sound(xs[t + 1]):
            lose_all(t, lost, n, xs, us, ys)
            return
        if noisy:
            disturb(t, a, seed, sample, dx, push, quaternions, xs[t + 1])
            store(xs[t + 1], state)
    if r.ns > 0:
        copy(floats(r.last_u + 8 * n * nu * r.controlled, (nu,)), state[3])
        time[0] = (start + T) * (r.substeps * r.timestep)
        call_two(r.forward, m, d)
        copy(sensors, ys[T])


@njit(**OPTIONS)
def linearize_one(m, d, n, k):
    """Next state, sensors and derivatives of knot number n, described by a KNOTS record; nan if it diverges."""
    nx, ndx, nu, ns = k.nq + k.nv + k.na, 2 * k.nv + k.na, k.nu, k.ns
    x, u = floats(k.x + 8 * n * nx, (nx,)), floats(k.u + 8 * n * nu, (nu,))
    xn, y = floats(k.xn + 8 * n * nx, (nx,)), floats(k.y + 8 * n * ns, (ns,))
    A, B = floats(k.A + 8 * n * ndx * ndx, (ndx, ndx)), floats(k.B + 8 * n * ndx * nu, (ndx, nu))
    C, D = floats(k.C + 8 * n * ns * ndx, (ns, ndx)), floats(k.D + 8 * n * ns * nu, (ns, nu))
    time = integers(k.stages + 8 * n, (1,))[0] * (k.substeps * k.timestep)
    found = sound(x) and sound(u) and differentiate(m, d, k, (x, u, time), (xn, y, A, B, C, D))
    if not found or not sound(xn):
        xn[:], y[:], A[:], B[:], C[:], D[:] = np.nan, np.nan, np.nan, np.nan, np.nan, np.nan


@njit(**OPTIONS)
def differentiate(m, d, k, at, out):
    """Derivatives at a knot, a state, a control and a time; False if the simulation diverges."""
    (x, u, now), (xn, y, A, B, C, D) = at, out
    ndx, nu, ns = A.shape[0], B.shape[1], len(y)
    state, sensors = arrays(d, k), field(d, k.sensordata, (ns,))
    warmstart, time, mark = field(d, k.warmstart, (k.nv,)), floats(d + k.time, (1,)), marked(d, k)
    store(x, state)
    copy(u, state[3])
    time[0] = now
    clear(warmstart)
    call_two(k.forward, m, d)  # the constraint solver starts every difference from its converged solution
    if k.native == 0:
        return difference_steps(m, d, k, at, (state, sensors, warmstart, mark), out)
    As, Bs = np.empty((ndx, ndx)), np.empty((ndx, nu))
    for s in range(k.substeps):
        toC, toD = (C.ctypes.data, D.ctypes.data) if s == 0 and ns > 0 else (int64(0), int64(0))
        if s == 0:
            call_differences(k.differences, m, d, k.epsilon, k.centered, A.ctypes.data, B.ctypes.data, toC, toD)
        else:
            toA, toB = As.ctypes.data, Bs.ctypes.data
            call_differences(k.differences, m, d, k.epsilon, k.centered, toA, toB, toC, toD)
            multiply_onto(As, A, A)
            multiply_onto(As, B, B)
            for i in range(ndx):
                for j in range(nu):
                    B[i, j] += Bs[i, j]
        if mark[0] == 0.0 or not advance(m, d, k.step, mark):
            return False
        if s == 0:
            copy(sensors, y)
    load(state, xn)
    return True


@njit(**OPTIONS)
def multiply_onto(M, N, out):
    """out = M N; may be N itself."""
    column = np.empty(N.shape[0])
    for c in range(N.shape[1]):
        for i in range(M.shape[0]):
            column[i] = 0.0
            for j in range(M.shape[1]):
                column[i] += M[i, j] * N[j, c]
        for i in range(M.shape[0]):
            out[i, c] = column[i]


@njit(**OPTIONS)
def difference_steps(m, d, k, at, data, out):
    """Differences of whole stages, for what `mjd_transitionFD` refuses; starts from a forward pass at (x, u).

    False if the simulation diverges.
    """
    (x, u, now), (state, sensors, warmstart, mark), (xn, y, A, B, C, D) = at, data, out
    ndx, nu, quaternions = A.shape[0], B.shape[1], integers(k.quaternions, (k.nquat,))
    limits = floats(k.limits, (nu, 2))
    warm, time = warmstart.copy(), floats(d + k.time, (1,))
    start, move, v = np.empty_like(x), np.zeros(ndx), np.empty_like(u)
    ends, seen, change = np.empty((2, x.shape[0])), np.empty((2, y.shape[0])), np.empty(ndx)
    for column in range(-1, ndx + nu):
        low = high = 0.0
        if column >= ndx:
            i = column - ndx
            high = k.epsilon if u[i] + k.epsilon <= limits[i, 1] else 0.0
            low = k.epsilon if u[i] - k.epsilon >= limits[i, 0] and (k.centered or high == 0.0) else 0.0
        elif column >= 0:
            high, low = k.epsilon, k.epsilon * k.centered
        for side in range(2):
            step = high if side == 0 else -low
            if column >= 0 and step == 0.0:
                copy(xn, ends[side])
                copy(y, seen[side])
                continue
            if column < 0 and side == 1:
                continue
            clear(move)
            copy(u, v)
            if column >= ndx:
                v[column - ndx] += step
            elif column >= 0:
                move[column] = step
            add(x, move, quaternions, start)
            store(start, state)
            copy(v, state[3])
            copy(warm, warmstart)
            time[0] = now
            for s in range(k.substeps):
                if not advance(m, d, k.step, mark):
                    return False
                if s == 0:
                    copy(sensors, seen[side])
            load(state, ends[side])
        if column < 0:
            copy(ends[0], xn)
            copy(seen[0], y)
            continue
        subtract(ends[0], ends[1], quaternions, change)
        if column < ndx:
            quotient(change, seen, high + low, A[:, column], C[:, column])
        else:
            quotient(change, seen, high + low, B[:, column - ndx], D[:, column - ndx])
    return True


@njit(**OPTIONS)
def quotient(change, seen, width, of_state, of_sensors):
    """A column of differences over the width between them."""
    scale = 1.0 / width if width > 0.0 else 0.0
    for i in range(change.shape[0]):
        of_state[i] = scale * change[i]
    for i in range(seen.shape[1]):
        of_sensors[i] = scale * (seen[0, i] - seen[1, i])


ROLL_RECORD, KNOTS_RECORD = types.CPointer(from_dtype(ROLL)), types.CPointer(from_dtype(KNOTS))


@cfunc(types.void(int64, int64, int32, ROLL_RECORD), error_model="numpy")
def rolling(m, d, n, address):
    """`roll_one` as a callback of MuJoCo's thread pool."""
    roll_one(m, d, n, carray(address, 1)[0])


@cfunc(types.void(int64, int64, int32, KNOTS_RECORD), error_model="numpy")
def linearizing(m, d, n, address):
    """`linearize_one` as a callback of MuJoCo's thread pool."""
    linearize_one(m, d, n, carray(address, 1)[0])
