"""Rows of non-negative numbers whose logarithms may differ by thousands, for messages along chains.

A row has one of two forms. Scaled: values * 2^offset, so that sums are sums of floats; the range of what is not 0 is
bounded such that products of two rows, or of three of which two are NARROW, neither over- nor underflow. Where the
range is larger: logarithms, with LOGS as offset. Rows of levels have zeros before the first level and after the last.
"""

import math

import numpy as np
from numba import types, uint64
from numba.extending import intrinsic

from ppi_robotics.kernels.outside import INLINED, OPTIONS, njit
from ppi_robotics.kernels.scalar import LN2_HIGH, LN2_LOW, MAGIC, bits_of, float_of, log_unit, use_widest_vectors

LANES = INLINED | {"fastmath": {"reassoc", "nnan", "nsz", "contract"}}  # sums in any order; nothing here is nan
LOGS = np.inf
LN2, LOG2_E = math.log(2.0), 1.0 / math.log(2.0)
WIDE, NARROW = 130 * math.log(10.0), 75 * math.log(10.0)  # largest ranges of scaled rows: messages, and their factors
LOW, HIGH, LEAST = 1e-40, 1e100, 1e-150  # of the sum of a scaled message, and of its values but for zeros
TINY = 1e-305  # every scaled value that is not 0 is above


@intrinsic
def noinline(typingctx):
    """Keep the function that calls this from being inlined: its callers compile faster."""

    def generate(context, builder, _sig, _args):
        builder.function.attributes.discard("alwaysinline")
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.none(), generate


@njit(**INLINED)
def exp(x):
    """Exponential of x up to 700, in lanes; 0 below -700."""
    bounded = x if x > -700.0 else -700.0
    shifted = bounded * LOG2_E + MAGIC
    n = shifted - MAGIC
    r = (bounded - n * LN2_HIGH) - n * LN2_LOW
    p = 1.0 / 6227020800.0  # Taylor's series to r^13, |r| < .35
    p = 1.0 / 479001600.0 + r * p
    p = 1.0 / 39916800.0 + r * p
    p = 1.0 / 3628800.0 + r * p
    p = 1.0 / 362880.0 + r * p
    p = 1.0 / 40320.0 + r * p
    p = 1.0 / 5040.0 + r * p
    p = 1.0 / 720.0 + r * p
    p = 1.0 / 120.0 + r * p
    p = 1.0 / 24.0 + r * p
    p = 1.0 / 6.0 + r * p
    p = 0.5 + r * p
    value = (1.0 + r + r * r * p) * float_of((bits_of(shifted) + uint64(1023)) << uint64(52))
    return value if x >= -700.0 else 0.0


@njit(**INLINED)
def log(x):
    """Logarithm of a scaled value, in lanes; -inf of 0."""
    value = log_unit(x if x > TINY else TINY)
    return value if x > 0.0 else -np.inf


@njit(**INLINED)
def exponent(x):
    """Largest whole number whose power of 2 is not above x, for scaled values that are not 0."""
    return float((bits_of(x) >> uint64(52)) & uint64(0x7FF)) - 1023.0


@njit(**INLINED)
def power(n):
    """2^n for whole numbers from -1000 to 1000."""
    return float_of((bits_of(n + MAGIC) + uint64(1023)) << uint64(52))


@njit(**LANES)
def bounds(logs):
    """Largest of logarithms, and the smallest of those that are finite."""
    use_widest_vectors()
    top, least = -np.inf, np.inf
    for x in range(logs.shape[0]):
        value = logs[x]
        alive = value if value > -np.inf else np.inf
        top = value if value > top else top
        least = alive if alive < least else least
    return top, least


@njit(**OPTIONS)
def scale(logs, widest, values):
    """Store numbers, given as logarithms, in the form that fits their range; returns the offset. May be in place."""
    noinline()
    use_widest_vectors()
    top, least = bounds(logs)
    if top == -np.inf:
        values[:] = 0.0
        return 0.0
    if top - least > widest:
        values[:] = logs
        return LOGS
    offset = math.floor(top * LOG2_E)
    shift = offset * LN2
    for x in range(values.shape[0]):
        values[x] = exp(logs[x] - shift)
    return offset


@njit(**OPTIONS)
def scale_rows(logs, widest, values, offsets):
    """`scale` rows (N, W)."""
    for row in range(logs.shape[0]):
        offsets[row] = scale(logs[row], widest, values[row])


@njit(**OPTIONS)
def to_logs(values, offset, logs):
    """Logarithms of a row of either form."""
    noinline()
    use_widest_vectors()
    if offset == LOGS:
        logs[:] = values
    else:
        for x in range(values.shape[0]):
            logs[x] = log(values[x]) + offset * LN2


@njit(**OPTIONS)
def rows_to_logs(values, offsets, logs):
    """`to_logs` rows (N, W)."""
    for row in range(values.shape[0]):
        to_logs(values[row], offsets[row], logs[row])


@njit(**OPTIONS)
def log_sum(logs):
    """log sum exp."""
    top = -np.inf
    for j in range(logs.shape[0]):
        top = max(top, logs[j])
    if top == -np.inf:
        return top
    total = 0.0
    for j in range(logs.shape[0]):
        total += exp(logs[j] - top)
    return top + math.log(total)
