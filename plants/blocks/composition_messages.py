"""Backward messages over the states of a `Space`, and how they are kept for all stages."""

import math
from dataclasses import dataclass

import numpy as np

from plants.blocks.kernels import exact as kernels
from plants.blocks.ring import parts
from ppi_robotics.parallel import in_threads

WIDE_HISTORY = 2.5e8  # bytes; longer histories of messages are shortened to 32 bits a number


@dataclass(frozen=True, eq=False)
class History:
    """Messages of every stage as wide numbers, or shortened to 32 bits.

    Attributes:
      numbers: (T + 1, N).
      base: exponents (T + 1,) that they count from.
      mantissa: bits (T + 1,) of their mantissas.
    """

    numbers: np.ndarray
    base: np.ndarray
    mantissa: np.ndarray

    def logs(self, t, places):
        """Logarithms of messages at some places, of which N stands for no state."""
        row, bits = self.numbers[t], int(self.mantissa[t])
        places = np.asarray(places)
        there = places < len(row)
        wide = row[np.where(there, places, 0)].astype(np.int64) * there
        mantissa = 1.0 + (wide & ((1 << bits) - 1)) / (1 << bits)
        power = (wide >> bits) + (int(self.base[t]) - kernels.BIAS)
        return np.where(wide > 0, np.log(mantissa) + power * math.log(2.0), -np.inf)


def backward(space, stages, cost, goal, charged, chance, start, say):
    """`History` of the messages, and log Z of the place of the start."""
    N = space.count
    weights, message, layers = np.empty(N, dtype=np.int64), np.empty(N, dtype=np.int64), np.zeros((2, N + 1), np.int64)
    kernels.widen_exponentials(-space.costs(cost), weights)
    message[:] = kernels.BIAS << kernels.MANTISSA
    if goal is not None:
        message[np.arange(N) != space.places(goal)] = 0
    message[N - space.outside :] = 0
    ahead, out = layers
    ahead[:N] = np.where(message > 0, weights, 0)  # at the last stage messages are 0 or 1
    history = _history(N, stages)
    _keep(history, stages, message, (kernels.BIAS, kernels.BIAS))
    weights = weights if charged == "every" else weights[:0]
    for t in reversed(range(stages)):

        def part(ends, ahead=ahead, out=out):
            return kernels.backward(*ends, space.moves, chance, weights, ahead, message, out)

        lows, highs = zip(*in_threads(part, parts(N)), strict=True)
        _keep(history, t, message, (min(lows), max(highs)))
        ahead, out = out, ahead
        say("messages", stages - t, stages)
    own = History(message[None], np.zeros(1, dtype=np.int64), np.full(1, kernels.MANTISSA))
    return history, float(own.logs(0, start))


def _history(N, stages):
    dtype = np.int64 if kept_in_full(N, stages) else np.uint32
    base = np.zeros(stages + 1, dtype=np.int64)
    return History(np.empty((stages + 1, N), dtype), base, np.full(stages + 1, kernels.MANTISSA))


def _keep(history, t, message, exponents):
    """Enter a message whose exponents lie between two."""
    row = history.numbers[t]
    if row.dtype == np.int64:
        row[:] = message
        return
    low, high = exponents
    history.base[t] = low - 1  # so that no number but 0 becomes 0
    history.mantissa[t] = bits = 31 - max(high - low + 2, 1).bit_length()

    def part(ends):
        kernels.shorten(*ends, message, low - 1, kernels.MANTISSA - bits, row)

    for _ in in_threads(part, parts(len(row))):
        pass


def kept_in_full(orbits, stages):
    """Whether messages are kept in full."""
    return (stages + 1) * orbits * 8 <= WIDE_HISTORY
