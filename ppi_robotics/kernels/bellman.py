"""Backups of the one recursion on tables, in the log domain.

    Q(x, u) = c(x, u) + gamma R_lS[V],   V(x) = R_lP^rho[Q(x, .)],   R_l^p[f] = -(1 / l) log E_p exp(-l f)

lS = 0 is the mean, +-inf the smallest and the largest value that can happen; lP = 0 the mean, inf the minimum. Rows of
transitions are sparse: entries indptr[row] to indptr[row + 1] of `data` and `indices`, row = x * A + u.

With both weights l the equation is linear in z = exp(-l V), for many terminal costs at once:

    log y(x, u) = -l c(x, u) + log E_iota[z(next)],   log z(x) = log E_rho[y(x, .)]
"""

import math

import numpy as np

from ppi_robotics.kernels.jit import njit

OPTIONS = {"nogil": True, "error_model": "numpy"}
INLINED = OPTIONS | {"forceinline": True}  # a call for every row would take longer than the row
SMALLEST = 1e-290  # sum of exponentials that has all its digits
REPEATS, SETTLED = 30, 1e-15  # of a state's own value: at most, and the relative change that ends them


@njit(**INLINED)
def log_sum(terms, count):
    """log sum exp of the first terms; -inf where all are."""
    top = -np.inf
    for k in range(count):
        top = max(top, terms[k])
    if top == -np.inf:
        return top
    total = 0.0
    for k in range(count):
        total += math.exp(terms[k] - top)
    return top + math.log(total)


@njit(**INLINED)
def risk(data, indices, start, stop, V, weight):
    """R_weight[V] over the entries start to stop of a row; inf where a state of infinite value counts."""
    if weight == 0.0:
        total = 0.0
        for k in range(start, stop):
            total += data[k] * V[indices[k]]
        return total
    extreme = np.inf if weight > 0.0 else -np.inf
    for k in range(start, stop):
        value = V[indices[k]]
        extreme = min(extreme, value) if weight > 0.0 else max(extreme, value)
    if math.isinf(weight) or math.isinf(extreme):
        return extreme
    shortfall = 0.0  # of the mean of exponentials to 1, whose digits small weights need
    for k in range(start, stop):
        shortfall += data[k] * math.expm1(-weight * (V[indices[k]] - extreme))
    return extreme - math.log1p(shortfall) / weight


@njit(**OPTIONS)
def log_mean_exp(Q, log_rho, weight, least):
    """log E_rho exp(-weight (Q - least)) of a row of actions, where probabilities are too small for exponentials."""
    terms = np.empty(Q.shape[0])
    for u in range(Q.shape[0]):
        terms[u] = log_rho[u] - weight * (Q[u] - least) if log_rho[u] > -np.inf else -np.inf
    return log_sum(terms, terms.shape[0])


@njit(**INLINED)
def soft(Q, log_rho, weight):
    """R_weight^rho[Q] of a row of actions; those of log_rho -inf are not there."""
    least = np.inf
    for u in range(Q.shape[0]):
        if log_rho[u] > -np.inf:
            least = min(least, Q[u])
    if math.isinf(weight) or math.isinf(least):
        return least
    if weight == 0.0:
        total = 0.0
        for u in range(Q.shape[0]):
            if log_rho[u] > -np.inf:
                total += math.exp(log_rho[u]) * Q[u]
        return total
    shortfall = 0.0  # of the mean of exponentials to 1, whose digits small weights need
    for u in range(Q.shape[0]):
        if log_rho[u] > -np.inf:
            shortfall += math.exp(log_rho[u]) * math.expm1(-weight * (Q[u] - least))
    if shortfall > -0.5:
        return least - math.log1p(shortfall) / weight
    total = 0.0
    for u in range(Q.shape[0]):
        if log_rho[u] > -np.inf:
            total += math.exp(log_rho[u] - weight * (Q[u] - least))
    if total > SMALLEST:
        return least - math.log(total) / weight
    return least - log_mean_exp(Q, log_rho, weight, least) / weight


@njit(**OPTIONS)
def backup(first, last, rows, cost, log_rho, weights, gamma, ahead, ends, terminal, Q, V):
    """Q (S, A) and V (S,) of states first to last - 1, from the values `ahead` of the next states.

    `rows` holds indptr, indices and data; `weights` lambda_policy and lambda_transition. Where `ends` is set, V is the
    terminal cost. `ahead` may be V itself: then states see what this pass has already found.
    """
    (indptr, indices, data), (of_policy, of_transition) = rows, weights
    A = cost.shape[1]
    for x in range(first, last):
        if ends[x]:
            for u in range(A):
                Q[x, u] = terminal[x]
            V[x] = terminal[x]
            continue
        for u in range(A):
            row = x * A + u
            if log_rho[x, u] == -np.inf:
                Q[x, u] = np.inf
            else:
                Q[x, u] = cost[x, u] + gamma * risk(data, indices, indptr[row], indptr[row + 1], ahead, of_transition)
        V[x] = soft(Q[x], log_rho[x], of_policy)


@njit(**OPTIONS)
def backup_in_order(order, rows, cost, log_rho, weights, gamma, ends, terminal, Q, V):
    """`backup` of states in an order, each seeing the values found before it; returns the largest change.

    A state that may stay where it is sees its own value: it is repeated until that settles, REPEATS times at most.
    """
    indptr, indices, A, change = rows[0], rows[1], cost.shape[1], 0.0
    for n in range(order.shape[0]):
        x = order[n]
        before, stays = V[x], False
        for k in range(indptr[x * A], indptr[(x + 1) * A]):
            stays |= indices[k] == x
        for _ in range(REPEATS if stays else 1):
            last = V[x]
            backup(x, x + 1, rows, cost, log_rho, weights, gamma, V, ends, terminal, Q, V)
            if ends[x] or not abs(V[x] - last) > SETTLED * abs(last):
                break
        if V[x] != before:
            change = max(change, abs(V[x] - before))
    return change


@njit(**OPTIONS)
def tilt(rows, V, R, weight, out):
    """out: data of p(y) exp(-weight (V(y) - R(row))), the transitions that the risk stands for."""
    indptr, indices, data = rows
    for row in range(indptr.shape[0] - 1):
        for k in range(indptr[row], indptr[row + 1]):
            value = V[indices[k]]
            out[k] = 0.0 if value == np.inf else data[k] * math.exp(-weight * (value - R[row]))


@njit(**OPTIONS)
def risk_rows(rows, V, weight, out):
    """R_weight[V] of every row."""
    indptr, indices, data = rows
    for row in range(indptr.shape[0] - 1):
        out[row] = risk(data, indices, indptr[row], indptr[row + 1], V, weight)


@njit(**OPTIONS)
def log_backup(rows, log_r, log_rho, ahead, ends, final, log_y, log_z):
    """log_y (S, A, n) and log_z (S, n) from those of the next states, ahead (S, n).

    `rows` holds indptr, indices and logarithms of probabilities; `log_r` (S, A) is -l c. Where `ends` is set, z is
    `final` (S, n).
    """
    indptr, indices, log_p = rows
    (S, A), n, widest = log_r.shape, ahead.shape[1], 0
    for row in range(S * A):
        widest = max(widest, indptr[row + 1] - indptr[row])
    terms = np.empty(max(widest, A))
    for x in range(S):
        for i in range(n):
            if ends[x]:
                log_z[x, i] = final[x, i]
                for u in range(A):
                    log_y[x, u, i] = final[x, i]
                continue
            for u in range(A):
                log_y[x, u, i] = -np.inf
                start, stop = indptr[x * A + u], indptr[x * A + u + 1]
                if log_rho[x, u] > -np.inf:
                    for k in range(start, stop):
                        terms[k - start] = log_p[k] + ahead[indices[k], i]
                    log_y[x, u, i] = log_r[x, u] + log_sum(terms, stop - start)
            for u in range(A):
                terms[u] = log_rho[x, u] + log_y[x, u, i]
            log_z[x, i] = log_sum(terms, A)
