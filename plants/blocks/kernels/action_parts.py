"""Sweeps over coupled chains with the parts k and l of actions a = L k + l as variables of their own."""

import math

import numpy as np

from plants.blocks.kernels.merged_actions import GROWN, NOTHING
from plants.blocks.kernels.messages import collect, pass_messages
from plants.blocks.kernels.scaled import NARROW, log_sum, scale
from ppi_robotics.kernels.outside import OPTIONS, njit

FEW = 200.0  # three factors above exp(-FEW) are far from underflow


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
def renew(message, found, damping, lost):
    """Message, as logarithms of maximum 0, with what was found; zeros of either stay.

    Returns its largest change without damping, inf with other zeros, or GROWN if a number is below `lost`.
    """
    to_top(found)
    change, least = 0.0, 0.0
    for k in range(message.shape[0]):
        change = max(change, 0.0 if found[k] == message[k] else abs(found[k] - message[k]))
        if found[k] > -np.inf:
            least = min(least, found[k])
        if message[k] > -np.inf and found[k] > -np.inf:
            message[k] = damping * message[k] + (1.0 - damping) * found[k]
        else:
            message[k] = -np.inf
    to_top(message)
    return change if least > lost else GROWN


@njit(**OPTIONS)
def narrow(logs):
    """Whether products of a few of these, at most 1 and as logarithms, stay far from underflow, but for zeros."""
    least = 0.0
    for j in range(logs.shape[0]):
        if logs[j] > -np.inf:
            least = min(least, logs[j])
    return least > -FEW


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
def separate(shifts, priors, damping, lost, messages, log_M, log_Q, Q, N, offsets_N, scratch, counted):
    """`merged` for actions a = L k + l whose parts k and l are variables of their own; Q is chain 0's belief.

    `messages` of the chains to k (n, K) and to l (n, L) are updated, chain after chain. Finds the part of log Z only if
    it is counted.
    """
    (to_k, to_l), (moves, log_k, log_l, log_s, found, values) = messages, scratch
    L, change, part = log_l.shape[0], 0.0, 0.0
    for i in range(shifts.shape[0]):
        for a in range(Q.shape[0]):
            moves[a] = int(shifts[i, a])
        cavity(priors[0], to_k, i, log_k)
        cavity(priors[1], to_l, i, log_l)
        top = max(log_M[0, i], log_M[1, i], log_M[2, i])
        for s in range(3):
            log_s[s] = log_M[s, i] - top
        if narrow(log_k) and narrow(log_l) and narrow(log_s):
            total = pair_sums(moves, log_k, log_l, log_s, found, values)
        else:
            total = pair_sums_in_logs(moves, log_k, log_l, log_s, found)
        if not total > -np.inf:  # nan where a cavity is all zeros
            return NOTHING, -np.inf
        for s in range(3):
            found[2][s] -= total + top
        offsets_N[i] = scale(found[2], NARROW, found[2])
        N[:, i] = found[2]
        moved = renew(to_k[i], found[0], damping, lost), renew(to_l[i], found[1], damping, lost)
        if min(moved) < 0.0:
            return GROWN, -np.inf
        change = max(change, max(moved) ** 2)
        if i == 0:
            for a in range(Q.shape[0]):
                log_Q[a] = log_k[a // L] + log_l[a % L] + log_s[moves[a] + 1] - total
                value = math.exp(log_Q[a])
                change = max(change, abs(value - Q[a]) / (1.0 - damping))
                Q[a] = value
        if counted:
            part += total + top - log_sum(log_k + to_k[i]) - log_sum(log_l + to_l[i])
    if not counted:
        return change, 0.0
    return change, part + log_sum(priors[0] + to_k.sum(axis=0)) + log_sum(priors[1] + to_l.sum(axis=0))


@njit(**OPTIONS)
def sweep_separate(shifts, priors, damping, lost, messages, chains, beliefs, scratch, numbers, tolerance, trace):
    """`sweep_merged` with `separate`; messages to the parts of actions (T, n, K) and (T, n, L)."""
    (forward, backward, outgoing, weights), (log_Q, Q), (incoming, own) = chains, beliefs, scratch
    (F, offsets_F), (B, offsets_B), (N, offsets_N) = forward, backward, outgoing
    T, log_M, change = N.shape[0], incoming[2], np.inf
    for number in range(numbers[0], numbers[1]):
        change, log_Z = 0.0, 0.0
        for visit in range(2 * T - 1):
            t = visit if visit < T else 2 * T - 2 - visit
            collect(F[t], offsets_F[t], B[t + 1], offsets_B[t + 1], incoming[0], incoming[1], log_M)
            here, counted = (messages[0][t], messages[1][t]), visit >= T - 1
            moved, part = separate(
                shifts, priors, damping, lost, here, log_M, log_Q[t], Q[t], N[t], offsets_N[t], own, counted
            )
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
        if change < tolerance:
            return number + 1, change
    return numbers[1], change
