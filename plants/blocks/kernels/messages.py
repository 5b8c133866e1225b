"""Messages along integer-valued chains that one shared action per stage moves.

Chain i of levels 0 to m goes from x to x + s at a stage whose action a has shifts[i, a] = s in -1, 0, 1. Its forward
messages F_t(x) and backward messages B_t(x) both have the weight of the level at stage t. Then

    M_i(s) = sum_x F_{t-1}(x) B_t(x + s)        incoming: from chain i to the action of stage t
    N_i(s)                                      outgoing: from the action of stage t to chain i

F, B (T + 1, n, W) and weights (T, W) are rows as `scaled` has them, M (3, lanes) and N (T, 3, lanes) have a column of
that form for every chain; every array of rows comes with the array of its offsets.
"""

import math

import numpy as np

from plants.blocks.kernels.scaled import (
    HIGH,
    LANES,
    LEAST,
    LN2,
    LOGS,
    LOW,
    WIDE,
    exp,
    exponent,
    log,
    noinline,
    power,
    scale,
    to_logs,
)
from ppi_robotics.kernels.outside import OPTIONS, njit
from ppi_robotics.kernels.scalar import use_widest_vectors
from ppi_robotics.kernels.tiles import vector


@njit(**LANES)
def advance_scaled(old, outgoing, way, weight, new):
    """new(x) = weight(x) sum_s outgoing(s) old(x + way s); returns the sum and how many are too small but not 0."""
    use_widest_vectors()
    left, middle, right = outgoing[1 - way], outgoing[1], outgoing[1 + way]
    before, here, after = old[: old.shape[0] - 2], old[1 : old.shape[0] - 1], old[2:]
    factor, out = weight[1 : weight.shape[0] - 1], new[1 : new.shape[0] - 1]
    total, small = 0.0, 0.0
    for x in range(out.shape[0]):
        value = (before[x] * left + here[x] * middle + after[x] * right) * factor[x]
        small += 1.0 if value < LEAST else 0.0
        small -= 1.0 if value == 0.0 else 0.0
        total += value  # a largest value would not vectorize
        out[x] = value
    return total, small


@njit(**OPTIONS)
def advance_in_logs(old, offset, outgoing, offset_outgoing, way, weight, offset_weight, new):
    """`advance` for rows of either form, in the log domain."""
    noinline()
    use_widest_vectors()
    W = old.shape[0]
    logs, factor, shift = np.empty(W), np.empty(W), np.empty(3)
    to_logs(old, offset, logs)
    to_logs(weight, offset_weight, factor)
    for s in range(3):
        shift[s] = outgoing[s] if offset_outgoing == LOGS else log(outgoing[s]) + offset_outgoing * LN2
    left, middle, right = shift[1 - way], shift[1], shift[1 + way]
    new[0] = new[W - 1] = -np.inf
    for x in range(1, W - 1):
        a, b, c = logs[x - 1] + left, logs[x] + middle, logs[x + 1] + right
        top = max(max(a, b), max(c, -1e300))
        new[x] = factor[x] + top + log(exp(a - top) + exp(b - top) + exp(c - top))
    return scale(new, WIDE, new)


@njit(**OPTIONS)
def rescale(values, offset):
    """Store scaled values in the form that fits their range; returns the offset."""
    to_logs(values, offset, values)
    return scale(values, WIDE, values)


@njit(**OPTIONS)
def advance(old, offset, outgoing, offset_outgoing, way, weight, offset_weight, new):
    """new(x) = weight(x) sum_s outgoing(s) old(x + way s), of rows and three numbers outgoing; returns the offset."""
    sum_of_offsets = offset + offset_outgoing + offset_weight
    if sum_of_offsets == LOGS:
        return advance_in_logs(old, offset, outgoing, offset_outgoing, way, weight, offset_weight, new)
    new[0] = new[new.shape[0] - 1] = 0.0
    total, small = advance_scaled(old, outgoing, way, weight, new)
    if small > 0.0:  # products of such values would underflow
        return rescale(new, sum_of_offsets)
    if LOW < total < HIGH or total == 0.0:
        return sum_of_offsets
    n = exponent(total)
    factor = power(-n)
    for x in range(new.shape[0]):
        new[x] *= factor
    return sum_of_offsets + n


@njit(**LANES)
def meet(F, B):
    """sum_x F(x) B(x + s - 1) for s = 0, 1, 2."""
    noinline()
    use_widest_vectors()
    f, before, here, after = F[1 : F.shape[0] - 1], B[: B.shape[0] - 2], B[1 : B.shape[0] - 1], B[2:]
    down, still, up = 0.0, 0.0, 0.0
    for x in range(f.shape[0]):
        down += f[x] * before[x]
        still += f[x] * here[x]
        up += f[x] * after[x]
    return down, still, up


@njit(**OPTIONS)
def meet_in_logs(F, offset_F, B, offset_B, i, log_M):
    """Logarithms of `meet`, for rows of either form."""
    noinline()
    use_widest_vectors()
    W = F.shape[0]
    before, after = np.empty(W), np.empty(W)
    to_logs(F, offset_F, before)
    to_logs(B, offset_B, after)
    for s in range(3):
        top, total = -np.inf, 0.0
        for x in range(1, W - 1):
            top = max(top, before[x] + after[x + s - 1])
        log_M[s, i] = top
        if top > -np.inf:
            for x in range(1, W - 1):
                total += exp(before[x] + after[x + s - 1] - top)
            log_M[s, i] += math.log(total)


@njit(**OPTIONS)
def collect(F, offsets_F, B, offsets_B, M, offsets, log_M):
    """Messages M (3, lanes) of all chains to the action of a stage, from F and B (n, W); log_M alone where LOGS."""
    noinline()
    use_widest_vectors()
    W, lanes, wide = F.shape[1], M.shape[1], False
    for i in range(F.shape[0]):
        offsets[i] = offsets_F[i] + offsets_B[i]
        if offsets[i] == LOGS:
            wide = True
        else:
            M[0, i], M[1, i], M[2, i] = meet(vector(F, i, W), vector(B, i, W))
    for s in range(3):
        row, logs = vector(M, s, lanes), vector(log_M, s, lanes)
        for i in range(lanes):
            logs[i] = log(row[i]) + offsets[i] * LN2
    if wide:
        for i in range(F.shape[0]):
            if offsets[i] == LOGS:
                meet_in_logs(F[i], offsets_F[i], B[i], offsets_B[i], i, log_M)


@njit(**OPTIONS)
def pass_messages(t, way, rows, outgoing, weights):
    """Pass F on from stage t to t + 1 (way -1), or B back from stage t + 1 to t (way 1)."""
    (values, offsets), (N, offsets_N), (factors, offsets_of_factors) = rows, outgoing, weights
    (_, n, W), old, new = values.shape, t if way < 0 else t + 1, t + 1 if way < 0 else t
    factor, offset_of_factor = vector(factors, new - 1, W), offsets_of_factors[new - 1]
    for i in range(n):
        before, after = vector(values, old * n + i, W), vector(values, new * n + i, W)
        one = N[t, 0, i], N[t, 1, i], N[t, 2, i]
        offsets[new, i] = advance(before, offsets[old, i], one, offsets_N[t, i], way, factor, offset_of_factor, after)


@njit(**OPTIONS)
def backward_pass(rows, outgoing, weights):
    """B of all stages, from the last one back, with the messages N as they are."""
    for t in range(outgoing[0].shape[0] - 1, 0, -1):
        pass_messages(t, 1, rows, outgoing, weights)
