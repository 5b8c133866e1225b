"""Messages along integer-valued chains that one shared action per stage moves.

Chain i of levels 0 to m goes from x to x + s at a stage whose action a has shifts[a, i] = s in -1, 0, 1. Its messages
are F_t(x), of what is before, and B_t(x), of what is after, both with the weight of the level at stage t. Then

    M_i(s) = sum_x F_{t-1}(x) B_t(x + s)        what chain i says about its shift at stage t,
    N_i(s)                                      what the actions say to chain i.

Numbers are mantissa * 2^(512 exponent), in two arrays of floats: their logarithms differ by thousands, and the sums
below vectorize, which exponentials would not. A zero has a mantissa of 0 and the exponent NOTHING. Levels have a place
of zeros on either side.
"""

import math

import numpy as np
from numba import njit

from ppi_robotics.kernels.tabular import INLINED, OPTIONS

FAST = {"reassoc", "nnan", "nsz", "contract"}  # sums in any order; nothing here is nan
LANES = INLINED | {"fastmath": FAST}
NOTHING = -1e15
UNIT, HIGH, LOW = 2.0**512, 2.0**256, 2.0**-256
INVERSE, LOG_UNIT = 2.0**-512, 512 * math.log(2.0)
ENOUGH = 2.0**-440  # times the precision of floats
NARROW = 200.0  # three factors above exp(-NARROW) are far from underflow
SMALL = 1e-150  # sums of probabilities below it are formed in the log domain


@njit(**LANES)
def scale(behind):
    """2^(512 behind) for whole numbers not above 0."""
    return 1.0 if behind == 0.0 else (INVERSE if behind == -1.0 else 0.0)


@njit(**LANES)
def advance(old, way, N, weight, new):
    """new(x) = weight(x) sum_s N(s) old(x + way s)."""
    am, ae, bm, be, cm, ce = N[0, 0], N[1, 0], N[0, 1], N[1, 1], N[0, 2], N[1, 2]
    if way < 0:
        am, ae, cm, ce = cm, ce, am, ae
    for x in range(1, old.shape[1] - 1):
        left, middle, right = old[1, x - 1] + ae, old[1, x] + be, old[1, x + 1] + ce
        top = left if left > right else right
        top = middle if middle > top else top
        total = old[0, x - 1] * am * scale(left - top)
        total += old[0, x] * bm * scale(middle - top)
        total += old[0, x + 1] * cm * scale(right - top)
        total *= weight[0, x]
        up = 1.0 if total > HIGH else (-1.0 if total < LOW else 0.0)
        factor = INVERSE if total > HIGH else (UNIT if total < LOW else 1.0)
        new[0, x] = total * factor
        new[1, x] = NOTHING if total == 0.0 else top + weight[1, x] + up


@njit(**LANES)
def largest(values):
    """Largest of an array."""
    top = 2.0 * NOTHING
    for x in range(values.shape[0]):
        top = values[x] if values[x] > top else top
    return top


@njit(**LANES)
def meet_at(F, B, top):
    """sum_x F(x) B(x + s - 1) for s = 0, 1, 2, over 2^(512 top)."""
    m = F.shape[1] - 2
    fm, fe, bm, be = F[0, 1 : m + 1], F[1, 1 : m + 1], B[0], B[1]  # slices from 0 vectorize
    down, still, up = 0.0, 0.0, 0.0
    for x in range(m):
        behind = fe[x] - top
        down += fm[x] * bm[x] * scale(be[x] + behind)
        still += fm[x] * bm[x + 1] * scale(be[x + 1] + behind)
        up += fm[x] * bm[x + 2] * scale(be[x + 2] + behind)
    return down, still, up


@njit(**LANES)
def meet(F, B, s):
    """Mantissa and exponent of sum_x F(x) B(x + s - 1), whichever terms are the largest."""
    m = F.shape[1] - 2
    fm, fe, bm, be = F[0, 1 : m + 1], F[1, 1 : m + 1], B[0, s : s + m], B[1, s : s + m]
    top = 2.0 * NOTHING
    for x in range(m):
        here = fe[x] + be[x]
        top = here if here > top else top
    total = 0.0
    for x in range(m):
        total += fm[x] * bm[x] * scale(fe[x] + be[x] - top)
    return normal(total, top)


@njit(**LANES)
def normal(total, top):
    """A mantissa within its bounds, and its exponent."""
    if not total > 0.0:
        return 0.0, NOTHING
    if total > HIGH:
        return total * INVERSE, top + 1.0
    if total < LOW:
        return total * UNIT, top - 1.0
    return total, top


@njit(**OPTIONS)
def to_log(number):
    """Logarithm of a mantissa and an exponent."""
    return -np.inf if number[0] == 0.0 else math.log(number[0]) + LOG_UNIT * number[1]


@njit(**OPTIONS)
def split(value):
    """Mantissa and exponent of exp(value)."""
    if value == -np.inf:
        return 0.0, NOTHING
    exponent = math.floor(value / LOG_UNIT + 0.5)
    return math.exp(value - exponent * LOG_UNIT), exponent


@njit(**OPTIONS)
def split_all(values, out):
    """Mantissas and exponents out (2, size) of exp(values)."""
    for j in range(values.size):
        out[0, j], out[1, j] = split(values[j])


@njit(**OPTIONS)
def log_sum(values):
    """log sum exp."""
    top = -np.inf
    for j in range(values.shape[0]):
        top = max(top, values[j])
    if top == -np.inf:
        return top
    total = 0.0
    for j in range(values.shape[0]):
        total += math.exp(values[j] - top)
    return top + math.log(total)


@njit(**OPTIONS)
def listen(F, B, M, log_M):
    """M (n, 3, 2), and its logarithm (n, 3), of one stage."""
    for i in range(F.shape[0]):
        top = largest(F[i, 1]) + largest(B[i, 1])
        sums = meet_at(F[i], B[i], top)
        for s in range(3):  # terms that were left out, if any, are smaller than ENOUGH
            M[i, s] = normal(sums[s], top) if sums[s] > ENOUGH else meet(F[i], B[i], s)
            log_M[i, s] = to_log(M[i, s])


@njit(**OPTIONS)
def share(shifts, log_M, log_Q, i, s):
    """log of sum over actions a that shift chain i by s - 1 of Q(a), over M_i(s); for sums that would underflow."""
    top = -np.inf
    for a in range(log_Q.shape[0]):
        if shifts[a, i] == s - 1:
            top = max(top, log_Q[a])
    if top == -np.inf:
        return top
    total = 0.0
    for a in range(log_Q.shape[0]):
        if shifts[a, i] == s - 1:
            total += math.exp(log_Q[a] - top)
    return top + math.log(total) - log_M[i, s]


@njit(**OPTIONS)
def merged(shifts, log_prior, powers, reference, M, log_M, log_Q, Q, N, log_bp, sums):
    """Update the actions' probabilities Q of a stage and what they tell the chains, N (n, 2, 3).

        Q  ~  (prior prod_i M_i)^a reference^b Q^c,    N_i(s) = sum_{a: shift s} Q(a) / M_i(s),

    powers a, b, c. What was 0 stays 0.

    Returns the largest change of Q, which is nan after a contradiction, and the stage's part of log Z.
    """
    (A, n), (own, fixed, kept), top = shifts.shape, powers, -np.inf
    for a in range(A):
        value = log_prior[a]
        for i in range(n):
            value += log_M[i, shifts[a, i] + 1]
        log_bp[a] = value
        if own < 1.0 and value > -np.inf:
            alive = log_Q[a] > -np.inf and reference[a] > -np.inf
            value = own * value + fixed * reference[a] + kept * log_Q[a] if alive else -np.inf
        log_Q[a] = value
        top = max(top, value)
    if top == -np.inf:
        return np.nan, -np.inf
    total = 0.0
    for a in range(A):
        sums[a] = math.exp(log_Q[a] - top)
        total += sums[a]
    shift, change, part = top + math.log(total), 0.0, 0.0
    for a in range(A):
        value = sums[a] / total
        change = max(change, abs(value - Q[a]))
        Q[a] = value
        log_Q[a] -= shift
        if value > 0.0:
            part += value * (log_bp[a] - log_Q[a])
    for i in range(n):
        sums[0] = sums[1] = sums[2] = 0.0
        for a in range(A):
            sums[shifts[a, i] + 1] += Q[a]
        for s in range(3):
            if M[i, s, 0] == 0.0:
                N[i, 0, s], N[i, 1, s] = 0.0, NOTHING
            elif sums[s] > SMALL:
                value, exponent = sums[s] / M[i, s, 0], -M[i, s, 1]
                if value < LOW:
                    value, exponent = value * UNIT, exponent - 1.0
                N[i, 0, s], N[i, 1, s] = value, exponent
            else:
                N[i, 0, s], N[i, 1, s] = split(share(shifts, log_M, log_Q, i, s))
    return change, part


@njit(**OPTIONS)
def pass_back(B, N, weights):
    """B of all stages from the last, by N as it is."""
    for t in range(N.shape[0], 1, -1):
        for i in range(B.shape[1]):
            advance(B[t, i], 1, N[t - 1, i], weights[t - 2], B[t - 1, i])


@njit(**OPTIONS)
def sweep_merged(shifts, log_prior, weights, powers, F, B, N, log_Q, Q, reference, scratch, most, tolerance, trace):
    """Forward and backward sweeps, at most some, until Q changes less than the tolerance.

    F, B (T + 1, n, 2, m + 3); N (T, n, 2, 3); log_Q, Q, reference (T, A). Returns the number of sweeps and the
    last change; the trace gets the free energies.
    """
    (T, n), (M, log_M, log_bp, sums) = N.shape[:2], scratch
    change = np.inf
    for number in range(most):
        change, log_Z = 0.0, 0.0
        for visit in range(2 * T - 1):
            t = visit if visit < T else 2 * T - 2 - visit
            listen(F[t], B[t + 1], M, log_M)
            moved, part = merged(shifts, log_prior, powers, reference[t], M, log_M, log_Q[t], Q[t], N[t], log_bp, sums)
            if math.isnan(moved):
                return number + 1, np.nan
            change = max(change, moved)
            if visit < T - 1:
                for i in range(n):
                    advance(F[t, i], -1, N[t, i], weights[t], F[t + 1, i])
            else:
                log_Z += part
                if t > 0:
                    for i in range(n):
                        advance(B[t + 1, i], 1, N[t, i], weights[t - 1], B[t, i])
        trace[number] = -log_Z
        if change < tolerance:
            return number + 1, change
    return most, change


@njit(**OPTIONS)
def cavity(log_prior, messages, i, out):
    """Product of a prior and all messages (n, K) but that of chain i, its maximum 1, as logarithms out (K,)."""
    for k in range(out.shape[0]):
        out[k] = log_prior[k]
        for j in range(messages.shape[0]):
            if j != i:
                out[k] += messages[j, k]
    to_top(out)


@njit(**OPTIONS)
def to_top(logs):
    """Shift logarithms to a maximum of 0; nan if there is nothing but zeros."""
    top = -np.inf
    for k in range(logs.shape[0]):
        top = max(top, logs[k])
    for k in range(logs.shape[0]):
        logs[k] -= top


@njit(**OPTIONS)
def renew(message, found, damping):
    """Message, as logarithms of maximum 0, with what was found; zeros of either stay."""
    to_top(found)
    for k in range(message.shape[0]):
        if message[k] > -np.inf and found[k] > -np.inf:
            message[k] = damping * message[k] + (1.0 - damping) * found[k]
        else:
            message[k] = -np.inf
    to_top(message)


@njit(**OPTIONS)
def narrow(logs):
    """Whether products of a few of these, at most 1 and as logarithms, stay far from underflow, but for zeros."""
    least = 0.0
    for j in range(logs.shape[0]):
        if logs[j] > -np.inf:
            least = min(least, logs[j])
    return least > -NARROW


@njit(**OPTIONS)
def pair_sums(moves, log_k, log_l, log_s, found, values):
    """Sums of p(k) p(l) of parts, and of p(k) p(l) M(s) without the factor itself, into found: k, l, shift.

    All are logarithms; moves (A,) are the shifts of a chain. Returns the logarithm of the sum of p(k) p(l) M(s).
    """
    (of_k, of_l, of_s), (p_k, p_l, p_s) = found, values
    for logs, numbers, sums in ((log_k, p_k, of_k), (log_l, p_l, of_l), (log_s, p_s, of_s)):
        for j in range(logs.shape[0]):
            numbers[j], sums[j] = math.exp(logs[j]), 0.0
    for k in range(p_k.shape[0]):
        for j in range(p_l.shape[0]):
            s = moves[k * p_l.shape[0] + j] + 1
            of_k[k] += p_l[j] * p_s[s]
            of_l[j] += p_k[k] * p_s[s]
            of_s[s] += p_k[k] * p_l[j]
    total = of_s[0] * p_s[0] + of_s[1] * p_s[1] + of_s[2] * p_s[2]
    for sums in found:
        for j in range(sums.shape[0]):
            sums[j] = math.log(sums[j]) if sums[j] > 0.0 else -np.inf
    return math.log(total) if total > 0.0 else -np.inf


@njit(**OPTIONS)
def pair_sums_in_logs(moves, log_k, log_l, log_s, found):
    """`pair_sums` of numbers that differ too much for sums of floats."""
    of_k, of_l, of_s = found
    K, L = log_k.shape[0], log_l.shape[0]
    both, weights = np.empty((K, L)), np.empty((K, L))
    for k in range(K):
        for j in range(L):
            both[k, j], weights[k, j] = log_k[k] + log_l[j], log_s[moves[k * L + j] + 1]
    for k in range(K):
        of_k[k] = log_sum(log_l + weights[k])
    for j in range(L):
        of_l[j] = log_sum(log_k + weights[:, j])
    for s in range(3):
        of_s[s] = log_sum(np.where(moves == s - 1, both.ravel(), -np.inf))
    return log_sum((both + weights).ravel())


@njit(**OPTIONS)
def separate(shifts, priors, damping, messages, log_M, log_Q, Q, N, scratch, counted):
    """`merged` for actions a = L k + l whose parts k and l are variables of their own; Q is chain 0's belief.

    `messages` of the chains to k (n, K) and to l (n, L) are updated, chain after chain. Finds the part of log Z only if
    it is counted.
    """
    (to_k, to_l), (moves, log_k, log_l, log_s, found, values) = messages, scratch
    L, change, part = log_l.shape[0], 0.0, 0.0
    for i in range(shifts.shape[1]):
        for a in range(Q.shape[0]):
            moves[a] = shifts[a, i]
        cavity(priors[0], to_k, i, log_k)
        cavity(priors[1], to_l, i, log_l)
        top = max(log_M[i, 0], log_M[i, 1], log_M[i, 2])
        for s in range(3):
            log_s[s] = log_M[i, s] - top
        if narrow(log_k) and narrow(log_l) and narrow(log_s):
            total = pair_sums(moves, log_k, log_l, log_s, found, values)
        else:
            total = pair_sums_in_logs(moves, log_k, log_l, log_s, found)
        if not total > -np.inf:  # nan where a cavity is all zeros
            return np.nan, -np.inf
        for s in range(3):
            N[i, 0, s], N[i, 1, s] = split(found[2][s] - total - top)
        renew(to_k[i], found[0], damping)
        renew(to_l[i], found[1], damping)
        if i == 0:
            for a in range(Q.shape[0]):
                log_Q[a] = log_k[a // L] + log_l[a % L] + log_s[moves[a] + 1] - total
                value = math.exp(log_Q[a])
                change = max(change, abs(value - Q[a]))
                Q[a] = value
        if counted:
            part += total + top - log_sum(log_k + to_k[i]) - log_sum(log_l + to_l[i])
    if not counted:
        return change, 0.0
    return change, part + log_sum(priors[0] + to_k.sum(axis=0)) + log_sum(priors[1] + to_l.sum(axis=0))


@njit(**OPTIONS)
def sweep_separate(shifts, priors, damping, weights, F, B, N, log_Q, Q, messages, scratch, most, tolerance, trace):
    """`sweep_merged` with `separate`; messages to the parts of actions (T, n, K) and (T, n, L)."""
    (T, n), (M, log_M, own), change = N.shape[:2], scratch, np.inf
    for number in range(most):
        change, log_Z = 0.0, 0.0
        for visit in range(2 * T - 1):
            t = visit if visit < T else 2 * T - 2 - visit
            listen(F[t], B[t + 1], M, log_M)
            here = (messages[0][t], messages[1][t])
            moved, part = separate(shifts, priors, damping, here, log_M, log_Q[t], Q[t], N[t], own, visit >= T - 1)
            if math.isnan(moved):
                return number + 1, np.nan
            change = max(change, moved)
            if visit < T - 1:
                for i in range(n):
                    advance(F[t, i], -1, N[t, i], weights[t], F[t + 1, i])
            else:
                log_Z += part
                if t > 0:
                    for i in range(n):
                        advance(B[t + 1, i], 1, N[t, i], weights[t - 1], B[t, i])
        trace[number] = -log_Z
        if change < tolerance:
            return number + 1, change
    return most, change


@njit(**OPTIONS)
def believe(shifts, weights, ones, F, B, N, Q, levels):
    """Probabilities of levels (T + 1, n, m + 1); returns the largest difference of those of a shift in chain and Q."""
    T, n = N.shape[:2]
    before, M, log_M = np.zeros(F.shape[1:]), np.empty((n, 3, 2)), np.empty((n, 3))
    worst = 0.0
    for t in range(T + 1):
        for i in range(n):
            if t == 0:
                levels[0, i] = F[0, i, 0, 1 : levels.shape[2] + 1]
                continue
            advance(F[t - 1, i], -1, N[t - 1, i], ones, before[i])
            advance(F[t - 1, i], -1, N[t - 1, i], weights[t - 1], F[t, i])
            total = 0.0
            top = largest(before[i, 1] + B[t, i, 1])
            for x in range(levels.shape[2]):
                exponent = before[i, 1, x + 1] + B[t, i, 1, x + 1] - top
                levels[t, i, x] = before[i, 0, x + 1] * B[t, i, 0, x + 1] * scale(exponent)
                total += levels[t, i, x]
            levels[t, i] /= total
        if t < T:
            listen(F[t], B[t + 1], M, log_M)
            worst = max(worst, disagreement(shifts, N[t], log_M, Q[t]))
    return worst


@njit(**OPTIONS)
def disagreement(shifts, N, log_M, Q):
    """Largest difference between what chains and actions hold the probabilities of shifts for."""
    worst, own, given = 0.0, np.empty(3), np.empty(3)
    for i in range(N.shape[0]):
        given[:] = 0.0
        for a in range(Q.shape[0]):
            given[shifts[a, i] + 1] += Q[a]
        for s in range(3):
            own[s] = to_log((N[i, 0, s], N[i, 1, s])) + log_M[i, s]
        total = log_sum(own)
        for s in range(3):
            worst = max(worst, abs(math.exp(own[s] - total) - given[s]))
    return worst
