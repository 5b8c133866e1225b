"""What happens between the physics steps of MuJoCo's batches, compiled: a feedback law, noise, differences.

    u_t = clip(u_ref_t + a k_t + K_t (x_t - x_ref_t) + S_t e_t)
    x_{t+1} = f(x_t, u_t + sum_i b_i C_i u_t) + G w_t + F_t (v_t + a h_t + D_t (x_t - x_ref_t))

States lie on the manifold of `kernels.manifold`. A simulation is a row of its batch's state (mjSTATE_INTEGRATION): the
time, the state x, then more, of which `at` says where controls and the mark lie. The mark is a force on the world,
which nothing reads and only a reset clears, and with a reset MuJoCo answers a simulation that diverges. Gains are held
transposed, K (T, ndx, nu), and numbers of all samples lie side by side. Sizes are inputs: one module for all models.
"""

import numpy as np
from numba import uint64

from ppi_robotics import streams
from ppi_robotics.kernels.jit import njit
from ppi_robotics.kernels.lanes import normals, normals_of
from ppi_robotics.kernels.manifold import OPTIONS, add, subtract
from ppi_robotics.kernels.scalar import use_widest_vectors

PROCESS, INITIAL = uint64(streams.PROCESS), uint64(streams.INITIAL)
CONTROL, ACTUATOR = uint64(streams.CONTROL), uint64(streams.ACTUATOR)
FARTHEST = 1e10  # entries of a state beyond it MuJoCo itself takes for diverged (mjMAXVAL)
TIME, STATE = 0, 1  # where a row has the time, and where the state begins


@njit(**OPTIONS)
def next_stage(t, dt, sizes, law, u_ref, work, rows, xs, us, lost):
    """End stage t - 1 of all simulations and begin stage t: noise, feedback, time.

    Few arrays, as every one of them takes as long to hand over as the stage of a small plant.

    Args:
      dt: seconds a stage.
      sizes: seed of the noise, number of the first sample, where controls and the mark lie in a row, then
        `Law.packed`'s sizes, then where quaternions start in the state.
      law: what acts on the controls, and on the states that stages lead to, see `Law.packed`.
      u_ref: (1 or N, T, nu).
      work: numbers of all samples side by side (n, N): step lengths a, first stages, controls after the last stage
        (nu), and room for controls (nu), for those that are applied (nu), for disturbances (ndx), for the differences
        x - x_ref (ndx) from the beginning of a stage to its end, and for normal numbers of the process, of the policy
        and of the controls.
      rows: state of the batch (N, nstate).
      xs, us, lost: states (N, T + 1, nx), controls (N, T, nu), and the stage at which a sample diverged, else -1 (N,).

    Returns:
      Number of samples that have diverged.
    """
    T, nx, nu = us.shape[1], xs.shape[2], us.shape[2]
    seed, first, ctrl, mark, quaternions = uint64(sizes[0]), sizes[1], sizes[2], sizes[3], sizes[13:]
    ndx, nS, nC, nG, nF, nw = sizes[4], sizes[5], sizes[6], sizes[7], sizes[8], sizes[9]
    a, stages, work = work[0], work[1], work[2:]
    last_u, u, applied, work = work[:nu], work[nu : 2 * nu], work[2 * nu : 3 * nu], work[3 * nu :]
    move, dx, work = work[:ndx], work[ndx : 2 * ndx], work[2 * ndx :]
    process, work = work[: sizes[10]], work[sizes[10] :]
    policy, actuator = work[: sizes[11]], work[sizes[11] :]
    x_ref, law = law[: T * nx].reshape((T, nx)), law[T * nx :]
    k, law = law[: T * nu].reshape((T, nu)), law[T * nu :]
    K, law = law[: T * ndx * nu].reshape((T, ndx, nu)), law[T * ndx * nu :]
    S, law = law[: nS * nu * nu].reshape((nS, nu, nu)), law[nS * nu * nu :]
    limits, law = law[: 2 * nu].reshape((nu, 2)), law[2 * nu :]
    C, law = law[: 4 * nC].reshape((nC, 4)), law[4 * nC :]
    G, law = law[: 3 * nG].reshape((nG, 3)), law[3 * nG :]
    F, law = law[: nF * ndx * nw].reshape((nF, ndx, nw)), law[nF * ndx * nw :]
    v, law = law[: T * nw].reshape((T, nw)), law[T * nw :]
    h, law = law[: T * nw].reshape((T, nw)), law[T * nw :]
    push = G, F, v, h, law.reshape((T, nw, ndx))
    if t > 0:
        end_stage(t, rows, mark, push, a, seed, first, process, quaternions, xs, lost, dx, move)
    for n in range(rows.shape[0]):
        rows[n, TIME] = (stages[n] + t) * dt
    if t == T:
        for n in range(rows.shape[0]):
            for i in range(nu):
                rows[n, ctrl + i] = last_u[i, n]
    else:
        for n in range(rows.shape[0]):
            subtract(xs[n, t], x_ref[t], quaternions, dx[:, n])
        if policy.shape[0] > 0:
            normals(seed, CONTROL, first, t, policy)
        if actuator.shape[0] > 0:
            normals(seed, ACTUATOR, first, t, actuator)
        control(t, a, (u_ref, k, K, S, limits, C), policy, actuator, dx, u, applied)
        for n in range(rows.shape[0]):
            for i in range(nu):
                us[n, t, i] = u[i, n]
                rows[n, ctrl + i] = applied[i, n]
            if lost[n] < 0 and not (sound(xs[n, t]) and sound(applied[:, n])):
                lost[n] = t
    missing = 0
    for n in range(rows.shape[0]):
        missing += lost[n] >= 0
    return missing


@njit(**OPTIONS)
def end_stage(t, rows, mark, push, a, seed, first, process, quaternions, xs, lost, dx, move):
    """Disturb the states that stage t - 1 has led to, and keep them."""
    G, F, v, h, D = push
    moves = G.shape[0] > 0 or F.shape[0] > 0
    if moves:
        move[:] = 0.0
    if F.shape[0] > 0:
        for n in range(rows.shape[0]):
            for m in range(v.shape[1]):
                w = v[t - 1, m] + a[n] * h[t - 1, m]
                for j in range(dx.shape[0]):
                    w += D[t - 1, m, j] * dx[j, n]
                for i in range(dx.shape[0]):
                    move[i, n] += F[t - 1, i, m] * w
    if G.shape[0] > 0:
        normals(seed, PROCESS, first, t - 1, process)
        for k in range(G.shape[0]):
            add_multiple(G[k, 2], process[int(G[k, 0])], move[int(G[k, 1])])
    for n in range(rows.shape[0]):
        x = rows[n, STATE : STATE + xs.shape[2]]
        if lost[n] < 0 and (rows[n, mark] == 0.0 or not sound(x)):
            lost[n] = t - 1
        if moves and lost[n] < 0:
            add(x, move[:, n], quaternions, x)
        copy(x, xs[n, t])


@njit(**OPTIONS)
def control(t, a, law, policy, actuator, dx, u, applied):
    """Controls u (nu, N) of stage t at differences dx (ndx, N), and what is applied once they have met their noise."""
    u_ref, k, K, S, limits, C = law
    for i in range(u.shape[0]):
        for n in range(u.shape[1]):
            u[i, n] = u_ref[min(n, u_ref.shape[0] - 1), t, i] + a[n] * k[t, i]
        for j in range(dx.shape[0]):
            add_multiple(K[t, j, i], dx[j], u[i])
        for j in range(policy.shape[0]):
            add_multiple(S[t, i, j], policy[j], u[i])
        for n in range(u.shape[1]):
            u[i, n] = min(max(u[i, n], limits[i, 0]), limits[i, 1])
            applied[i, n] = u[i, n]
    for m in range(C.shape[0]):
        b, i, j = int(C[m, 0]), int(C[m, 1]), int(C[m, 2])
        for n in range(u.shape[1]):
            applied[i, n] += C[m, 3] * u[j, n] * actuator[b, n]


@njit(**OPTIONS)
def add_multiple(a, v, out):
    """out += a v, for vectors."""
    use_widest_vectors()
    for n in range(v.shape[0]):
        out[n] += a * v[n]


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


@njit(**OPTIONS)
def copy(v, out):
    """out = v, for vectors."""
    for i in range(v.shape[0]):
        out[i] = v[i]


@njit(**OPTIONS)
def chain(As, Bs, A, B):
    """A = As A and B = As B + Bs, the derivatives of one step more."""
    product = np.empty((A.shape[0], A.shape[1] + B.shape[1]))
    product[:, : A.shape[1]], product[:, A.shape[1] :] = 0.0, 0.0
    for i in range(A.shape[0]):
        for j in range(A.shape[0]):
            for c in range(A.shape[1]):
                product[i, c] += As[i, j] * A[j, c]
            for c in range(B.shape[1]):
                product[i, A.shape[1] + c] += As[i, j] * B[j, c]
    A[:] = product[:, : A.shape[1]]
    B[:] = product[:, A.shape[1] :] + Bs


@njit(**OPTIONS)
def surround(x, epsilon, centered, limits, quaternions, rows, at, steps, used):
    """Fill the rows of a batch for differences about knots x (N, nx), each of which has 1 + 2 (ndx + nu) of them.

    The first of a knot's rows holds the knot after a forward pass, from whose solution the constraint solver starts all
    of them; of every entry of state and control, one more row is moved up, and one down.

    Args:
      epsilon, centered: the step, and whether it is taken to both sides where the limits (nu, 2) of controls allow.
      steps: lengths up and down (N, 2, ndx + nu) to fill, 0 where there is no room.
      used: which rows are to be simulated, to fill.
    """
    ndx, columns, width = steps.shape[2] - limits.shape[0], steps.shape[2], 1 + 2 * steps.shape[2]
    move, (ctrl, _) = np.zeros(ndx), at
    for n in range(x.shape[0]):
        knot = rows[n * width]
        add(x[n], move, quaternions, knot[STATE : STATE + x.shape[1]])
        used[n * width] = True
        for j in range(columns):
            up, down, i = epsilon, epsilon * centered, j - ndx
            if i >= 0:
                up = epsilon if knot[ctrl + i] + epsilon <= limits[i, 1] else 0.0
                down = epsilon if knot[ctrl + i] - epsilon >= limits[i, 0] and (centered or up == 0.0) else 0.0
            for side in range(2):
                at_row, step = n * width + 1 + 2 * j + side, up if side == 0 else -down
                row = rows[at_row]
                copy(knot, row)
                if i >= 0:
                    row[ctrl + i] += step
                else:
                    move[j] = step
                    add(x[n], move, quaternions, row[STATE : STATE + x.shape[1]])
                    move[j] = 0.0
                steps[n, side, j], used[at_row] = abs(step), step != 0.0


@njit(**OPTIONS)
def difference(rows, at, sensors, quaternions, steps, used, out):
    """Next states, sensors and derivatives from the rows of `surround` after a stage; nan where one diverged.

    Args:
      sensors: of the beginning of the stage (rows, ns).
      out: xn (N, nx), y (N, ns), A (N, ndx, ndx), B (N, ndx, nu), C (N, ns, ndx) and D (N, ns, nu) to fill.
    """
    xn, y, A, B, C, D = out
    nx, ndx, columns, width = xn.shape[1], A.shape[1], steps.shape[2], 1 + 2 * steps.shape[2]
    change = np.empty(ndx)
    for n in range(xn.shape[0]):
        first = n * width
        copy(rows[first, STATE : STATE + nx], xn[n])
        copy(sensors[first], y[n])
        for r in range(first, first + width):
            if used[r] and rows[r, at[1]] == 0.0:
                xn[n] = np.nan
        for j in range(columns):
            up, down = steps[n, 0, j], steps[n, 1, j]
            high = first + 1 + 2 * j if up > 0.0 else first
            low = first + 2 + 2 * j if down > 0.0 else first
            subtract(rows[high, STATE : STATE + nx], rows[low, STATE : STATE + nx], quaternions, change)
            scale = 1.0 / (up + down) if up + down > 0.0 else 0.0
            for i in range(ndx):
                if j < ndx:
                    A[n, i, j] = scale * change[i]
                else:
                    B[n, i, j - ndx] = scale * change[i]
            for i in range(y.shape[1]):
                slope = scale * (sensors[high, i] - sensors[low, i])
                if j < ndx:
                    C[n, i, j] = slope
                else:
                    D[n, i, j - ndx] = slope


@njit(**OPTIONS)
def lose_unsound(x, u, out):
    """Fill with nan what belongs to knots x (N, nx), u (N, nu) that are out of bounds, or whose next states are."""
    xn, y, A, B, C, D = out
    for n in range(x.shape[0]):
        if not (sound(x[n]) and sound(u[n]) and sound(xn[n])):
            xn[n], y[n], A[n], B[n], C[n], D[n] = np.nan, np.nan, np.nan, np.nan, np.nan, np.nan
