"""Sweeps of messages over the stages of coupled chains: belief propagation, and the double loop."""

import numpy as np

from plants.blocks.chains import ChainMessages, CoupledChains
from plants.blocks.kernels import action_parts, merged_actions, messages, scaled
from ppi_robotics import ProblemError
from ppi_robotics.interruption import Held

MOST_INNER, PATIENCE = 200, 16  # sweeps of an iteration that may become more, and iterations that made no progress
FINER = 0.1  # change of the actions in an inner sweep, relative to the tolerance, below which it counts as solved
GROWN = 1e8  # logarithms, relative to the largest of the chains, that have grown without bound
ROUNDING = 64 * np.finfo(float).eps  # of logarithms, relative to the largest sum along a chain
LANES = 8  # numbers of levels, of actions and of chains are rounded up to multiples of it
WORK = 2e7  # numbers that are updated between two looks at Ctrl-C, some tenths of a second


class ChainSweeps:
    """Arrays of the kernels while one method runs.

    Args:
      chains: `CoupledChains`.
      start: `ChainMessages` or None.
      separate: whether the parts of actions are variables of their own.
      hold: Ctrl-C, which ends the sweeps.
    """

    def __init__(self, chains: CoupledChains, start: ChainMessages | None, separate: bool, hold: Held):
        self.hold = hold
        self.size = T, n, m, A = chains.stages, chains.start.size, chains.top, chains.log_prior.size
        self.at_once = max(1, int(WORK / (T * n * (m + A))))  # sweeps between two looks at Ctrl-C
        self.log_prior = _padded(chains.log_prior, -np.inf)
        self.shifts = _padded(chains.shifts.T.astype(float), 0.0)
        weights = _scaled(_rows(chains.log_weights), scaled.NARROW)
        first, last = np.full((n, m + 1), -np.inf), np.tile(chains.log_weights[-1], (n, 1))
        first[range(n), chains.start] = 0.0
        if chains.goal is not None:
            last[np.arange(m + 1) != chains.goal[:, None]] = -np.inf
        forward, backward = _ends(T, 0, first), _ends(T, T, last)
        self.parts = self.priors = None
        if separate:
            self.priors = _factors(chains)
            self.parts = tuple(np.zeros((T, n, size)) for size in chains.parts)
        if start is None:
            log_actions = np.tile(chains.log_prior - np.logaddexp.reduce(chains.log_prior), (T, 1))
            to_chains = np.tile(_shares(chains.shifts, log_actions[0]), (T, 1, 1))
        else:
            log_actions, to_chains = start.log_actions, start.to_chains
            if separate and start.to_parts is not None:
                self.parts = tuple(part.copy() for part in start.to_parts)
        self.log_Q = _padded(log_actions, -np.inf)
        self.Q = np.exp(self.log_Q)
        self.pace = np.zeros((2 * T - 1, self.Q.shape[1]))
        self.outgoing = _outgoing(to_chains)
        messages.backward_pass(backward, self.outgoing, weights)
        self.incoming = np.ones((3, _up(n))), np.zeros(_up(n)), np.zeros((3, _up(n)))
        self.chains = forward, backward, self.outgoing, weights
        largest = max(_strength(chains.log_prior), T * _strength(chains.log_weights))
        self.rounding, self.lost = ROUNDING * largest, -GROWN * max(1.0, largest)

    # -- methods -------------------------------------------------------------------------------------------------------

    def propagate(self, tolerance: float, most: int, damping: float) -> tuple[int, float, np.ndarray]:
        """Belief propagation: number of sweeps, the last change, and the trace of free energies."""
        trace = np.empty(most)
        if self.parts is None:
            powers = 1.0 - damping, 0.0, float(damping)
            sweeps, change = self._sweep(powers, self.log_Q, most, tolerance, trace)
        else:
            sweeps, change = self._sweep_parts(float(damping), most, tolerance, trace)
        return sweeps, change, trace[: sweeps - int(change < 0.0)]

    def double_loop(self, tolerance: float, inner: int | None, outer: int, bound: float):
        """The double loop: number of inner sweeps in all, the last outer change, and the trace of free energies."""
        sweeps, change, trace, inner_trace = 0, np.inf, [], np.empty(inner or MOST_INNER)
        share = 1.0 / (1.0 + bound * (self.shifts.shape[0] - 1))
        most, setbacks, rates = inner or 1, 0, np.zeros_like(self.log_Q)
        for _ in range(outer):
            reference, before, last = self.log_Q.copy(), self.Q.copy(), change
            powers = share, 1.0 - share, 0.0
            number, moved = self._sweep(powers, reference, most, FINER * tolerance, inner_trace)
            sweeps += number
            if moved < 0.0:
                return sweeps, moved, np.array(trace)
            trace.append(inner_trace[number - 1])
            rates, pace = _rates(self.log_Q, reference) / share, rates
            change = self._outer_change(rates, pace, (self.Q - before) / share, tolerance)
            if len(trace) > 1:
                change = max(change, ((trace[-1] - trace[-2]) / share) ** 2)
            if change < tolerance or self.hold.pressed:
                break
            setbacks += change > last
            if inner is None and setbacks == PATIENCE:
                most, setbacks = min(2 * most, MOST_INNER), 0
        return sweeps, change, np.array(trace)

    def _outer_change(self, rates, pace, moved, rare):
        """The change in an outer iteration, measured as in `merged_actions.merged`."""
        falling = (rare >= self.Q) & (rates < 0.0) & (rates > -np.inf)
        off = np.subtract(rates, pace, out=rates.copy(), where=falling)
        return max(np.abs(moved).max(), np.abs(off).max() ** 2)

    def _sweep(self, powers, reference, most, tolerance, trace):
        """Sweeps with whole actions as variables; their number and the last change, below 0 if there is none."""
        rows = (np.empty_like(self.log_prior) for _ in range(3))
        scratch = self.incoming, (*rows, np.ones((3, _up(self.size[1]))))
        beliefs = self.log_Q, self.Q, self.pace
        how = self.shifts, self.log_prior, powers, self.lost, reference, self.chains, beliefs, scratch
        return self._in_parts(merged_actions.sweep_merged, how, most, tolerance, trace)

    def _sweep_parts(self, damping, most, tolerance, trace):
        """Sweeps with the parts of actions as variables; their number and the last change, below 0 if there is none."""
        A = self.size[-1]
        sizes = (*(part.shape[-1] for part in self.parts), 3)
        logs, found, values = (tuple(np.empty(size) for size in sizes) for _ in range(3))
        scratch = self.incoming, (np.empty(A, np.int64), *logs, found, values)
        beliefs = tuple(np.ascontiguousarray(array[:, :A]) for array in (self.log_Q, self.Q))
        shifts = np.ascontiguousarray(self.shifts[:, :A])
        how = shifts, self.priors, damping, self.lost, self.parts, self.chains, beliefs, scratch
        found = self._in_parts(action_parts.sweep_separate, how, most, tolerance, trace)
        self.log_Q[:, :A], self.Q[:, :A] = beliefs
        return found

    def _in_parts(self, sweep, how, most, tolerance, trace):
        """Sweeps of a kernel, with a look at Ctrl-C between some of them."""
        done, change = 0, np.inf
        while done < most and change >= tolerance and not (done and self.hold.pressed):
            done, change = sweep(*how, (done, min(done + self.at_once, most)), tolerance, trace)
        return done, change

    # -- results -------------------------------------------------------------------------------------------------------

    def actions(self) -> np.ndarray:
        """Probabilities of actions (T, A)."""
        return self.Q[:, : self.size[-1]]

    def levels(self) -> tuple[np.ndarray, float]:
        """Probabilities of levels (T + 1, n, m + 1), and the largest inconsistency."""
        T, n, m, _ = self.size
        levels = np.empty((T + 1, n, m + 1))
        return levels, merged_actions.marginals(self.shifts, self.chains, self.Q, self.incoming, levels)

    def messages(self) -> ChainMessages:
        """Messages that another inference may start from."""
        values, offsets = (array[..., : self.size[1]] for array in self.outgoing)
        values = np.ascontiguousarray(np.moveaxis(values, 1, 2))
        logs = np.empty_like(values)
        scaled.rows_to_logs(values.reshape(-1, 3), offsets.reshape(-1), logs.reshape(-1, 3))
        return ChainMessages(logs, self.log_Q[:, : self.size[-1]], self.parts)


# -- arrays of the kernels ---------------------------------------------------------------------------------------------


def _strength(logs):
    """Largest of logarithms that are finite, whatever the sign."""
    return float(np.abs(logs[logs > -np.inf]).max(initial=0.0))


def _rates(after, before):
    """Differences of logarithms (T, A), 0 of zeros; -inf where there is a zero more."""
    return np.subtract(after, before, where=before > -np.inf, out=np.zeros_like(after))


def _up(number):
    """The next multiple of LANES."""
    return -(-number // LANES) * LANES


def _padded(array, value):
    """With columns of a value up to a multiple of LANES."""
    width = [(0, 0)] * (array.ndim - 1) + [(0, _up(array.shape[-1]) - array.shape[-1])]
    return np.ascontiguousarray(np.pad(array, width, constant_values=value))


def _rows(logs):
    """Logarithms of levels, padded to lanes, between the zeros that rows begin and end with."""
    padded = _padded(logs, -np.inf)
    return np.pad(padded, [(0, 0)] * (padded.ndim - 1) + [(1, 1)], constant_values=-np.inf)


def _scaled(logs, widest):
    """Rows of numbers from their logarithms, and their offsets."""
    values, offsets = np.empty(logs.shape), np.empty(logs.shape[:-1])
    flat = np.ascontiguousarray(logs).reshape(-1, logs.shape[-1])
    scaled.scale_rows(flat, widest, values.reshape(flat.shape), offsets.reshape(-1))
    return values, offsets


def _outgoing(logs):
    """Messages (T, 3, lanes) to the chains from their logarithms (T, n, 3), and the offsets."""
    values, offsets = _scaled(logs, scaled.NARROW)
    return _padded(np.moveaxis(values, 2, 1), 0.0), _padded(offsets, 0.0)


def _ends(T, t, logs):
    """Messages of stages 0 to T with the logarithms (n, m + 1) of stage t, and zeros elsewhere."""
    rows = _rows(logs)
    values, offsets = np.zeros((T + 1, *rows.shape)), np.zeros((T + 1, len(rows)))
    values[t], offsets[t] = _scaled(rows, scaled.WIDE)
    return values, offsets


def _shares(shifts, log_actions):
    """Logarithms (n, 3) of the probabilities of shifts -1, 0, 1 in chains."""
    with np.errstate(divide="ignore"):
        return np.log(np.stack([np.exp(log_actions) @ (shifts == s) for s in (-1, 0, 1)], axis=-1))


def _factors(chains):
    """Logarithms (K,) and (L,) of the prior of both parts."""
    table = chains.log_prior.reshape(chains.parts)
    row, column = np.unravel_index(table.argmax(), table.shape)
    first, second = table[:, column], table[row] - table[row, column]
    apart = np.abs(np.exp(first[:, None] + second - first[row]) - np.exp(table - first[row])).max()
    if not apart < 1e-9:
        raise ProblemError("log_prior does not factorize into the parts of actions; choose another method")
    return np.ascontiguousarray(first), np.ascontiguousarray(second)
