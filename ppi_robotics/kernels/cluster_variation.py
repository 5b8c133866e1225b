"""Messages between inner and outer regions with counting numbers, in the log domain, on a `Net`.

Heskes, Albers, Kappen, *Approximate inference and constrained optimization* (UAI, 2003). With L_ab the log message
from outer region a to inner region b, n_b outer regions around b, counting number c_b and that of the inner loop C_b,

    log Q_b = (sum_a L_ab + (C_b - c_b) log Q_b^old) / (n_b + C_b),    into_ba = log Q_b - L_ab,
    Q_a  is in proportion to  psi_a prod_b exp(into_ba)
"""

import math

import numpy as np

from ppi_robotics.kernels.belief_propagation import FINE, OPTIONS, distance, factor_belief, shift, to_node
from ppi_robotics.kernels.jit import njit


@njit(**OPTIONS)
def update_inner(net, counts, inner_counts, old, into, messages, logs, beliefs, work):
    """Renew every inner region's messages and beliefs; FINE, NOTHING or LOST, and the largest change.

    That is of a belief, or of the logarithm of a message, squared. `old` and `logs` are logarithms of the beliefs,
    those of the last outer loop and those that are renewed.
    """
    worst = 0.0
    for v in range(net.start.shape[0] - 1):
        low, high = net.start[v], net.start[v + 1]
        around, first, last = net.incident[v + 1] - net.incident[v], net.incident[v], net.incident[v + 1]
        pull, scale = inner_counts[v] - counts[v], 1.0 / (around + inner_counts[v])
        kept = work.shape[0] - high  # where the workspace keeps the old message
        for i in range(low, high):
            logs[i] = 0.0 if pull == 0.0 else pull * old[i]
        for k in range(first, last):
            e = net.edge[k]
            move = net.offset[e] - low
            for i in range(low, high):
                work[kept + i] = messages[i + move]
            code = to_node(net, net.factor[e], e, False, into, work, messages)
            if code != FINE:
                return code, worst
            for i in range(low, high):
                logs[i] += messages[i + move]
                worst = max(worst, distance(messages[i + move], work[kept + i]) ** 2)
        for i in range(low, high):
            logs[i] *= scale
        code = shift(logs, low, high, net.lost)
        if code != FINE:
            return code, worst
        weight = 0.0
        for i in range(low, high):
            weight += math.exp(logs[i])
        for i in range(low, high):
            p = math.exp(logs[i]) / weight
            worst = max(worst, abs(p - beliefs[i]))
            beliefs[i] = p
        for k in range(first, last):
            move = net.offset[net.edge[k]] - low
            for i in range(low, high):
                into[i + move] = logs[i] - messages[i + move] if logs[i] > -np.inf else -np.inf
    return FINE, worst


@njit(**OPTIONS)
def inner_loop(net, counts, inner_counts, old, into, messages, logs, beliefs, work, sweeps, tolerance):
    """Sweeps until messages change less than the tolerance; FINE, NOTHING or LOST, their number, the last change."""
    change = 0.0
    for n in range(sweeps):
        code, change = update_inner(net, counts, inner_counts, old, into, messages, logs, beliefs, work)
        if code != FINE or change <= tolerance:
            return code, n + 1, change
    return FINE, sweeps, change


@njit(**OPTIONS)
def outer_change(net, counts, inner_counts, old, logs, before, beliefs):
    """Largest change of a belief, or of its logarithm squared, as they would be without the bound that damps them."""
    worst = 0.0
    for v in range(net.start.shape[0] - 1):
        around = net.incident[v + 1] - net.incident[v]
        free, held = around + counts[v], around + inner_counts[v]
        share = held / free if free > 0.0 else held
        for i in range(net.start[v], net.start[v + 1]):
            worst = max(worst, share * abs(beliefs[i] - before[i]), (share * distance(logs[i], old[i])) ** 2)
    return worst


@njit(**OPTIONS)
def free_energy(net, counts, into, beliefs, joint):
    """F = sum_a <log Q_a - log psi_a> + sum_b c_b <log Q_b>; joint: beliefs of the outer regions."""
    total = 0.0
    for f in range(net.scope.shape[0] - 1):
        log_weight = factor_belief(net, f, False, into, joint)
        if log_weight == -np.inf:
            return np.inf
        total -= log_weight
        degree, place = net.scope[f + 1] - net.scope[f], net.place[f]
        for n in range(net.entry[f], net.entry[f + 1]):
            if joint[n] > 0.0:
                for j in range(degree):
                    total += joint[n] * into[net.position[place + j]]
            place += degree
    for v in range(net.start.shape[0] - 1):
        for i in range(net.start[v], net.start[v + 1]):
            if beliefs[i] > 0.0:
                total += counts[v] * beliefs[i] * math.log(beliefs[i])
    return total
