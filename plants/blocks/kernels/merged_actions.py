"""Sweeps over coupled chains with the action of a stage as one variable, and marginals.

Arrays over actions have lanes: their number is rounded up, and the actions added have a prior of 0 and move nothing.
"""

import math

import numpy as np

from plants.blocks.kernels.messages import collect, pass_messages
from plants.blocks.kernels.scaled import (
    LANES,
    LOGS,
    NARROW,
    exp,
    exponent,
    log_sum,
    noinline,
    power,
    scale,
    to_logs,
)
from ppi_robotics.kernels.outside import OPTIONS, njit
from ppi_robotics.kernels.scalar import use_widest_vectors
from ppi_robotics.kernels.tiles import matrix, vector

SMALL = 1e-150  # sums of probabilities below it are formed in the log domain
CLOSE = math.exp(-NARROW)
NOTHING, GROWN = -1.0, -2.0  # in place of a change: all is 0, a proven contradiction; numbers grow without bound


@njit(**LANES)
def combine(shifts, log_prior, log_M, out):
    """Logarithms of prior prod_i M_i(shift of i) of all actions (A,); shifts (n, A) are floats."""
    use_widest_vectors()
    for a in range(out.shape[0]):
        out[a] = log_prior[a]
    for i in range(shifts.shape[0]):
        down, still, up = log_M[0, i], log_M[1, i], log_M[2, i]
        row = vector(shifts, i, out.shape[0])
        for a in range(out.shape[0]):
            s = row[a]
            out[a] += still if s == 0.0 else (down if s < 0.0 else up)


@njit(**LANES)
def by_shift(shifts, Q):
    """Sums of Q (A,) over the actions of shift -1, 0, 1 in one chain."""
    use_widest_vectors()
    down, still, up = 0.0, 0.0, 0.0
    for a in range(Q.shape[0]):
        down += Q[a] if shifts[a] < 0.0 else 0.0
        still += Q[a] if shifts[a] == 0.0 else 0.0
        up += Q[a] if shifts[a] > 0.0 else 0.0
    return down, still, up


@njit(**LANES)
def mix(log_bp, powers, reference, log_Q, moved):
    """log_Q = log of bp^a reference^b Q^c, and -inf where it was; moved: what was added.

    Returns its largest, its smallest, and how many became zeros.
    """
    use_widest_vectors()
    own, fixed, kept = powers
    top, least, other = -np.inf, np.inf, 0.0
    for a in range(log_Q.shape[0]):
        old = log_Q[a]
        alive = log_bp[a] > -np.inf and reference[a] > -np.inf and old > -np.inf
        value = own * log_bp[a] + fixed * reference[a] + kept * old if alive else -np.inf
        log_Q[a] = value
        moved[a] = value - old if alive else 0.0
        top = value if value > top else top
        least = value if alive and value < least else least
        other += 1.0 if old > value and not alive else 0.0
    return top, least, other


@njit(**LANES)
def adopt(log_bp, log_Q, moved):
    """log_Q = log_bp, as `mix`; counts also what is not zero any longer."""
    use_widest_vectors()
    top, least, other = -np.inf, np.inf, 0.0
    for a in range(log_Q.shape[0]):
        old, value = log_Q[a], log_bp[a]
        was, alive = old > -np.inf, value > -np.inf
        log_Q[a] = value
        moved[a] = value - old if was and alive else 0.0
        top = value if value > top else top
        least = value if alive and value < least else least
        other += 1.0 if was != alive else 0.0
    return top, least, other


@njit(**LANES)
def exponentials(logs, top, out):
    """out = exp(logs - top); returns the sum."""
    use_widest_vectors()
    total = 0.0
    for a in range(out.shape[0]):
        out[a] = exp(logs[a] - top)
        total += out[a]
    return total


@njit(**LANES)
def normalize(total, top, log_bp, numbers, log_Q, Q, moved, pace, rare):
    """Normalize Q and log_Q; returns the largest changes of Q and log_Q, and sum_a Q(a) log(bp(a) / Q(a)).

    Where Q is `rare` or more rare, and falls, the change of log_Q is that of its pace, in which it has fallen before:
    at a steady one it goes to 0.
    """
    use_widest_vectors()
    factor, shift, change, worst, part = 1.0 / total, top + math.log(total), 0.0, 0.0, 0.0
    for a in range(Q.shape[0]):
        value = numbers[a] * factor
        step = abs(value - Q[a])
        change = step if step > change else change
        Q[a] = value
        alive = log_Q[a] > -np.inf
        log_Q[a] -= shift
        rate = moved[a] - shift if alive else 0.0
        off = rate - pace[a] if value <= rare and rate < 0.0 else rate
        off = off if off > 0.0 else -off
        worst = off if off > worst else worst
        pace[a] = rate
        part += value * (log_bp[a] - log_Q[a]) if value > 0.0 else 0.0
    return change, worst, part


@njit(**OPTIONS)
def share(shifts, log_Q, s):
    """log of the sum of Q(a) over the actions that shift a chain by s - 1; for sums that would underflow."""
    return log_sum(np.where(shifts == s - 1.0, log_Q, -np.inf))


@njit(**LANES)
def divide(shares, M, offsets, N, offsets_N):
    """N = shares / M (3, lanes) and their offsets, LOGS where those would over- or underflow; returns how many do."""
    use_widest_vectors()
    lanes, wide = offsets_N.shape[0], 0.0
    p, q, r = vector(shares, 0, lanes), vector(shares, 1, lanes), vector(shares, 2, lanes)
    d, e, f = vector(M, 0, lanes), vector(M, 1, lanes), vector(M, 2, lanes)
    x, y, z = vector(N, 0, lanes), vector(N, 1, lanes), vector(N, 2, lanes)
    for i in range(lanes):
        a = p[i] / d[i] if d[i] > 0.0 else 0.0
        b = q[i] / e[i] if e[i] > 0.0 else 0.0
        c = r[i] / f[i] if f[i] > 0.0 else 0.0
        top = a if a > b else b
        top = c if c > top else top
        bound = CLOSE * top
        fits = (d[i] == 0.0 or (p[i] > SMALL and a > bound)) and (e[i] == 0.0 or (q[i] > SMALL and b > bound))
        fits = fits and (f[i] == 0.0 or (r[i] > SMALL and c > bound)) and offsets[i] < LOGS and top > 0.0
        n = exponent(top if fits else 1.0)
        factor = power(-n)
        x[i], y[i], z[i] = a * factor, b * factor, c * factor
        offsets_N[i] = n - offsets[i] if fits else LOGS
        wide += 0.0 if fits else 1.0
    return wide


@njit(**OPTIONS)
def send(shifts, incoming, shares, log_Q, Q, N, offsets_N):
    """Messages to the chains: N_i(s) = sum_{a: shift s} Q(a) / M_i(s)."""
    (M, offsets, log_M), (n, A) = incoming, shifts.shape
    for i in range(n):
        shares[0, i], shares[1, i], shares[2, i] = by_shift(vector(shifts, i, A), Q)
    if divide(shares, M, offsets, N, offsets_N) > 0.0:
        for i in range(n):
            if offsets_N[i] == LOGS:
                send_in_logs(shifts[i], log_M[:, i], log_Q, N[:, i], offsets_N[i : i + 1])


@njit(**OPTIONS)
def send_in_logs(shifts, log_M, log_Q, N, offset):
    """`send` to one chain, in the log domain."""
    noinline()
    logs = np.empty(3)
    for s in range(3):
        logs[s] = share(shifts, log_Q, s) - log_M[s] if log_M[s] > -np.inf else -np.inf
    offset[0] = scale(logs, NARROW, logs)
    N[:] = logs


@njit(**OPTIONS)
def merged(shifts, log_prior, powers, limits, actions, incoming, N, offsets_N, scratch):
    """Update the actions' probabilities Q of a stage and what they send the chains, N (3, lanes).

        Q  ~  (prior prod_i M_i)^a reference^b Q^c,    N_i(s) = sum_{a: shift s} Q(a) / M_i(s),

    powers a, b, c. What was 0 stays 0, unless a = 1. Limits: what is rare, and the logarithm below which, relative to
    the largest, numbers are GROWN.

    Returns the change without damping, of Q or of log Q squared, or NOTHING or GROWN, and the stage's part of log Z.
    """
    noinline()
    (reference, log_Q, Q, pace), (log_bp, numbers, moved, shares) = actions, scratch
    combine(shifts, log_prior, incoming[2], log_bp)
    if powers[0] == 1.0:
        top, least, other = adopt(log_bp, log_Q, moved)
    else:
        top, least, other = mix(log_bp, powers, reference, log_Q, moved)
    if top == -np.inf:
        return NOTHING, -np.inf
    if not least - top > limits[1]:
        return GROWN, -np.inf
    total = exponentials(log_Q, top, numbers)
    change, worst, part = normalize(total, top, log_bp, numbers, log_Q, Q, moved, pace, limits[0])
    send(shifts, incoming, shares, log_Q, Q, N, offsets_N)
    undamped = 1.0 / (1.0 - powers[2])
    return np.inf if other > 0.0 else max(undamped * change, (undamped * worst) ** 2), part


@njit(**OPTIONS)
def sweep_merged(shifts, log_prior, powers, lost, reference, chains, beliefs, scratch, numbers, tolerance, trace):
    """Sweeps forward and backward, of some numbers, until changes, that of log Z included, are below the tolerance.

    Chains: F and B of all stages, N, and the weights, each with its offsets. Beliefs: log_Q and Q, as the reference
    (T, A), and the pace of log_Q at every visit (2 T - 1, A). Returns the number of all sweeps and the last
    change, or NOTHING or GROWN; the trace gets the free energies.
    """
    (forward, backward, outgoing, weights), (log_Q, Q, pace), (incoming, own) = chains, beliefs, scratch
    (F, offsets_F), (B, offsets_B), (N, offsets_N) = forward, backward, outgoing
    (_, n, W), (T, _, lanes), A, change, limits = F.shape, N.shape, Q.shape[1], np.inf, (tolerance, lost)
    for number in range(numbers[0], numbers[1]):
        change, log_Z = 0.0, 0.0
        for visit in range(2 * T - 1):
            t = visit if visit < T else 2 * T - 2 - visit
            before, after = matrix(F, t, n, W), matrix(B, t + 1, n, W)
            collect(before, vector(offsets_F, t, n), after, vector(offsets_B, t + 1, n), *incoming)
            actions = vector(reference, t, A), vector(log_Q, t, A), vector(Q, t, A), vector(pace, visit, A)
            room = matrix(N, t, 3, lanes), vector(offsets_N, t, lanes)
            moved, part = merged(shifts, log_prior, powers, limits, actions, incoming, room[0], room[1], own)
            if moved < 0.0:
                return number + 1, moved
            change = max(change, moved)
            if visit < T - 1:
                pass_messages(t, -1, forward, outgoing, weights)
            else:
                log_Z += part
                if t > 0:
                    pass_messages(t, 1, backward, outgoing, weights)
        trace[number] = -log_Z
        if number > 0:
            change = max(change, ((trace[number] - trace[number - 1]) / (1.0 - powers[2])) ** 2)
        if change < tolerance:
            return number + 1, change
    return numbers[1], change


@njit(**OPTIONS)
def marginals(shifts, chains, Q, incoming, levels):
    """Fill in probabilities of levels (T + 1, n, m + 1); returns how far chains and Q differ on those of shifts."""
    use_widest_vectors()
    (forward, backward, outgoing, weights), worst = chains, 0.0
    (F, offsets_F), (B, offsets_B), (N, offsets_N), (factors, offsets) = forward, backward, outgoing, weights
    T, n = N.shape[0], F.shape[1]
    logs = np.empty((3, F.shape[2]))
    for t in range(T + 1):
        for i in range(n):
            to_logs(F[t, i], offsets_F[t, i], logs[0])
            to_logs(B[t, i], offsets_B[t, i], logs[1])
            if t == 0:
                logs[1:] = 0.0
            else:  # both count the weight
                to_logs(factors[t - 1], offsets[t - 1], logs[2])
            belief_of(logs, levels[t, i])
        if t < T:
            collect(F[t], offsets_F[t], B[t + 1], offsets_B[t + 1], *incoming)
            worst = max(worst, disagreement(shifts, N[t], offsets_N[t], incoming[2], Q[t]))
            pass_messages(t, -1, forward, outgoing, weights)
    return worst


@njit(**OPTIONS)
def belief_of(logs, p):
    """Probabilities p (m + 1,) ~ F B / weight, from rows of the three as logarithms."""
    use_widest_vectors()
    top, total = -np.inf, 0.0
    for x in range(p.shape[0]):
        alive = logs[0, x + 1] > -np.inf and logs[1, x + 1] > -np.inf
        p[x] = logs[0, x + 1] + logs[1, x + 1] - logs[2, x + 1] if alive else -np.inf
        top = max(top, p[x])
    for x in range(p.shape[0]):
        p[x] = exp(p[x] - top)
        total += p[x]
    for x in range(p.shape[0]):
        p[x] /= total


@njit(**OPTIONS)
def disagreement(shifts, N, offsets_N, log_M, Q):
    """Largest difference between the probabilities of shifts by the chains' messages and by Q."""
    worst, own = 0.0, np.empty(3)
    for i in range(shifts.shape[0]):
        given = by_shift(shifts[i], Q)
        to_logs(N[:, i].copy(), offsets_N[i], own)
        for s in range(3):
            own[s] += log_M[s, i]
        total = log_sum(own)
        for s in range(3):
            worst = max(worst, abs(math.exp(own[s] - total) - given[s]))
    return worst
