"""Methods of inference in coupled chains, as sweeps of messages over the stages."""

from dataclasses import dataclass

import numpy as np

from plants.blocks.kernels import action_parts, chain_marginals, chain_messages, chain_numbers, merged_actions
from ppi_robotics.checks import as_logs, check_sequence
from ppi_robotics.errors import ProblemError

MOST_INNER, PATIENCE = 200, 16  # sweeps of an iteration that may become more, and iterations that made no progress
FINER = 0.1  # change of the actions in an inner sweep, relative to the tolerance, below which it counts as solved
GROWN = 1e8  # logarithms, relative to the largest of the chains, that have grown without bound
ROUNDING = 64 * np.finfo(float).eps  # of logarithms, relative to the largest sum along a chain
LANES = 8  # numbers of levels, of actions and of chains are rounded up to multiples of it


@dataclass(frozen=True, eq=False)
class ChainMessages:
    """What a later inference can start from.

    Attributes:
      to_chains: logarithms of messages of actions to chains, (T, n, 3) over shifts -1, 0, 1.
      log_actions: logarithms of the probabilities of actions, (T, A).
      to_parts: logarithms of messages of chains to the parts of actions, (T, n, K) and (T, n, L); of "separate" alone.
    """

    to_chains: np.ndarray
    log_actions: np.ndarray
    to_parts: tuple | None = None

    def __post_init__(self):
        log_actions = as_logs(self.log_actions, "log_actions", (None, None))
        to_chains = as_logs(self.to_chains, "to_chains", (len(log_actions), None, 3))
        parts = self.to_parts
        if parts is not None:
            shape = (*to_chains.shape[:2], None)
            parts = check_sequence(parts, "to_parts", "arrays", 2)
            parts = tuple(as_logs(part, f"to_parts[{i}]", shape) for i, part in enumerate(parts))
        for name, value in (("to_chains", to_chains), ("log_actions", log_actions), ("to_parts", parts)):
            object.__setattr__(self, name, value)

    def last(self, stages):
        """The messages of the last stages alone, for the ones that are left."""
        parts = None if self.to_parts is None else tuple(part[-stages:] for part in self.to_parts)
        return ChainMessages(self.to_chains[-stages:], self.log_actions[-stages:], parts)


class ChainSweeps:
    """Arrays of the kernels while one method runs.

    Args:
      chains: `CoupledChains`.
      start: `ChainMessages` or None.
      separate: whether the parts of actions are variables of their own.
    """

    def __init__(self, chains, start, separate):
        self.size = T, n, m, A = chains.stages, chains.start.size, chains.top, chains.log_prior.size
        self.log_prior = _padded(chains.log_prior, -np.inf)
        self.shifts = _padded(chains.shifts.T.astype(float), 0.0)
        self.weights = _settled(_rows(chains.log_weights), chain_numbers.NARROW)
        first, last = np.full((n, m + 1), -np.inf), np.tile(chains.log_weights[-1], (n, 1))
        first[range(n), chains.start] = 0.0
        if chains.goal is not None:
            last[np.arange(m + 1) != chains.goal[:, None]] = -np.inf
        self.forth, self.back = _ends(T, 0, first), _ends(T, T, last)
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
        self.told = _told(to_chains)
        chain_messages.pass_back(self.back, self.told, self.weights)
        lanes = _up(n)
        self.heard = np.ones((3, lanes)), np.zeros(lanes), np.zeros((3, lanes))
        self.chains = self.forth, self.back, self.told, self.weights
        largest = max(_strength(chains.log_prior), T * _strength(chains.log_weights))
        self.rounding, self.lost = ROUNDING * largest, -GROWN * max(1.0, largest)

    def sweep(self, powers, reference, most, tolerance, trace):
        """Merged sweeps; their number and the last change, below 0 if there is none."""
        rows = (np.empty_like(self.log_prior) for _ in range(3))
        scratch = self.heard, (*rows, np.ones((3, _up(self.size[1]))))
        beliefs = self.log_Q, self.Q, self.pace
        how = powers, self.lost, reference
        return merged_actions.sweep_merged(
            self.shifts, self.log_prior, *how, self.chains, beliefs, scratch, most, tolerance, trace
        )

    def sweep_parts(self, damping, most, tolerance, trace):
        """Sweeps with the parts of actions apart; their number and the last change."""
        A = self.size[-1]
        sizes = (*(part.shape[-1] for part in self.parts), 3)
        logs, found, values = (tuple(np.empty(size) for size in sizes) for _ in range(3))
        scratch = self.heard, (np.empty(A, np.int64), *logs, found, values)
        shifts = np.ascontiguousarray(self.shifts[:, :A])
        beliefs = tuple(np.ascontiguousarray(array[:, :A]) for array in (self.log_Q, self.Q))
        sweeps, change = action_parts.sweep_separate(
            shifts, self.priors, damping, self.lost, self.parts, self.chains, beliefs, scratch, most, tolerance, trace
        )
        self.log_Q[:, :A], self.Q[:, :A] = beliefs
        return sweeps, change

    def propagate(self, tolerance, most, damping):
        """Belief propagation: sweeps, the last change, and the trace."""
        trace = np.empty(most)
        if self.parts is None:
            sweeps, change = self.sweep((1.0 - damping, 0.0, float(damping)), self.log_Q, most, tolerance, trace)
        else:
            sweeps, change = self.sweep_parts(float(damping), most, tolerance, trace)
        return sweeps, change, trace[: sweeps - int(change < 0.0)]

    def double_loop(self, tolerance, inner, outer, bound):
        """The double loop: inner sweeps in all, the last outer change, and the trace."""
        sweeps, change, trace, inner_trace = 0, np.inf, [], np.empty(inner or MOST_INNER)
        share = 1.0 / (1.0 + bound * (self.shifts.shape[0] - 1))
        most, setbacks, rates = inner or 1, 0, np.zeros_like(self.log_Q)
        for _ in range(outer):
            reference, before, last = self.log_Q.copy(), self.Q.copy(), change
            number, moved = self.sweep((share, 1.0 - share, 0.0), reference, most, FINER * tolerance, inner_trace)
            sweeps += number
            if moved < 0.0:
                return sweeps, moved, np.array(trace)
            trace.append(inner_trace[number - 1])
            rates, pace = (_rates(self.log_Q, reference) / share, rates)
            change = self._outer_change(rates, pace, (self.Q - before) / share, tolerance)
            if len(trace) > 1:
                change = max(change, ((trace[-1] - trace[-2]) / share) ** 2)
            if change < tolerance:
                break
            setbacks += change > last
            if inner is None and setbacks == PATIENCE:
                most, setbacks = min(2 * most, MOST_INNER), 0
        return sweeps, change, np.array(trace)

    def _outer_change(self, rates, pace, moved, rare):
        """The change in an outer iteration, as `merged_actions.merged` has it."""
        falling = (rare >= self.Q) & (rates < 0.0) & (rates > -np.inf)
        off = np.subtract(rates, pace, out=rates.copy(), where=falling)
        return max(np.abs(moved).max(), np.abs(off).max() ** 2)

    def actions(self):
        """Probabilities of actions (T, A)."""
        return self.Q[:, : self.size[-1]]

    def levels(self):
        """Probabilities of levels, and the largest inconsistency."""
        T, n, m, _ = self.size
        levels = np.empty((T + 1, n, m + 1))
        worst = chain_marginals.marginals(self.shifts, self.chains, self.Q, self.heard, levels)
        return levels, worst

    def messages(self):
        """`ChainMessages`."""
        values, offsets = (array[..., : self.size[1]] for array in self.told)
        values = np.ascontiguousarray(np.moveaxis(values, 1, 2))
        logs = np.empty_like(values)
        chain_numbers.unsettle_all(values.reshape(-1, 3), offsets.reshape(-1), logs.reshape(-1, 3))
        return ChainMessages(logs, self.log_Q[:, : self.size[-1]], self.parts)


def _strength(logs):
    """Largest of logarithms that are finite, whatever the sign."""
    return float(np.abs(logs[logs > -np.inf]).max(initial=0.0))


def _rates(after, before):
    """Differences of logarithms (T, A), 0 of zeros; -inf where there is a zero more."""
    alive = before > -np.inf
    return np.subtract(after, before, where=alive, out=np.zeros_like(after))


def _up(number):
    """The next multiple of LANES."""
    return -(-number // LANES) * LANES


def _padded(array, value):
    """With columns of a value up to a multiple of LANES."""
    width = [(0, 0)] * (array.ndim - 1) + [(0, _up(array.shape[-1]) - array.shape[-1])]
    return np.ascontiguousarray(np.pad(array, width, constant_values=value))


def _rows(logs):
    """Logarithms of levels between zeros, as many as have lanes."""
    padded = _padded(logs, -np.inf)
    return np.pad(padded, [(0, 0)] * (padded.ndim - 1) + [(1, 1)], constant_values=-np.inf)


def _settled(logs, widest):
    """Rows of numbers from their logarithms, and their offsets."""
    values, offsets = np.empty(logs.shape), np.empty(logs.shape[:-1])
    flat = np.ascontiguousarray(logs).reshape(-1, logs.shape[-1])
    chain_numbers.settle_all(flat, widest, values.reshape(flat.shape), offsets.reshape(-1))
    return values, offsets


def _told(logs):
    """What actions tell chains, (T, 3, lanes), from its logarithms (T, n, 3), and the offsets."""
    values, offsets = _settled(logs, chain_numbers.NARROW)
    return _padded(np.moveaxis(values, 2, 1), 0.0), _padded(offsets, 0.0)


def _ends(T, t, logs):
    """Messages of stages 0 to T with the logarithms (n, m + 1) of stage t, and zeros elsewhere."""
    rows = _rows(logs)
    values, offsets = np.zeros((T + 1, *rows.shape)), np.zeros((T + 1, len(rows)))
    values[t], offsets[t] = _settled(rows, chain_numbers.WIDE)
    return values, offsets


def _shares(shifts, log_actions):
    """Logarithms (n, 3) of the probabilities of shifts -1, 0, 1 in chains."""
    with np.errstate(divide="ignore"):
        return np.log(np.stack([np.exp(log_actions) @ (shifts == s) for s in (-1, 0, 1)], axis=-1))


def _factors(chains):
    """Logarithms (K,) and (L,) of the prior of both parts."""
    table = chains.log_prior.reshape(chains.parts)
    row, column = np.unravel_index(table.argmax(), table.shape)
    largest = table[row, column]
    first, second = table[:, column], table[row] - largest
    apart = np.abs(np.exp(first[:, None] + second - largest) - np.exp(table - largest)).max()
    if not apart < 1e-9:
        raise ProblemError("log_prior does not factorize into the parts of actions; choose another method")
    return np.ascontiguousarray(first), np.ascontiguousarray(second)
