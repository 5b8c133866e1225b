"""Factor graphs over discrete variables: tables and deterministic maps, in the log domain, with hard zeros.

    p(x) = (1 / Z) prod_f psi_f(x_f)

A coin decides which of two dice is thrown; given the sum of the throw and one more pip per head, what was the coin?

    >>> import numpy as np
    >>> from ppi_robotics.discrete import FactorGraph, IndexMap, Table, junction_tree
    >>> coin, die, total = 0, 1, 2
    >>> fair, loaded = np.full(6, 1 / 6), np.array([0, 0, 0, 0, 0.5, 0.5])
    >>> pips = np.arange(2)[:, None] + np.arange(6)  # 0 to 5 on the die, one more for heads
    >>> graph = FactorGraph(
    ...     (2, 6, 7),
    ...     (Table.of_weights((coin, die), 0.5 * np.array([fair, loaded])), IndexMap((coin, die), total, pips)),
    ...     names=("coin", "die", "total"),
    ... )
    >>> found = junction_tree(graph.clamp({"total": 5}))
    >>> print(found.beliefs[coin].round(3), np.exp(found.log_partition).round(3))
    [0.25 0.75] 0.333

A map never becomes a table: inference runs over the configurations that have weight. `graph_files` reads and writes the
formats of other programs.
"""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike

from ppi_robotics.checks import (
    as_finite,
    as_logs,
    as_wholes,
    check_counts,
    check_names,
    check_sequence,
    is_count,
    shown,
)
from ppi_robotics.errors import ProblemError
from ppi_robotics.gaussian import Record, frozen

NO_VALUE = -1  # in the index of a map
MOST_VALUES = 2**31 - 1  # of a variable


@dataclass(frozen=True, eq=False)
class Table(Record):
    """A factor with a weight for every configuration of its variables, or a constant if it has none.

    Attributes:
      variables: which they are, one per axis of log_values; () for a constant.
      log_values: logarithms of the weights; -inf is a hard zero.

    Raises:
      ProblemError: if the shape does not fit, variables repeat, a value is nan or inf, or all weights are zero.
    """

    variables: tuple[int, ...]
    log_values: np.ndarray

    def __post_init__(self):
        vars(self).update(variables=_scope(self.variables, "a Table", least=0))
        values = as_logs(self.log_values, f"log_values of the Table of {self.variables}")
        if values.ndim != len(self.variables):
            raise ProblemError(
                f"log_values of a Table has {values.ndim} axes; expected one for each of its variables {self.variables}"
            )
        if not (values > -np.inf).any():
            raise ProblemError(f"the Table of {self.variables} has zeros alone; leave one configuration possible")
        vars(self).update(log_values=frozen(values))

    @classmethod
    def of_weights(cls, variables: Sequence[int], weights: ArrayLike) -> Self:
        """The table of weights that are not negative, in place of their logarithms.

        Raises:
          ProblemError: as the class, or if a weight is negative.
        """
        weights = as_finite(weights, "weights of a Table")
        if not (weights >= 0.0).all():
            raise ProblemError(f"weights of a Table have {weights.min()} in them; expected numbers from 0")
        with np.errstate(divide="ignore"):
            return cls(variables, np.log(weights))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the variables."""
        return self.log_values.shape

    @property
    def count(self) -> int:
        """Number E of configurations that have weight."""
        return int(np.count_nonzero(self.log_values > -np.inf))

    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Configurations (E, d) that have weight, and its logarithm (E,)."""
        states, where = _places(self.log_values > -np.inf)
        return states, self.log_values.ravel()[where]


@dataclass(frozen=True, eq=False)
class IndexMap(Record):
    """A factor by which one variable is a function of others: child == index[parents].

    Attributes:
      parents: arguments of the function, one per axis of index.
      child: variable that has its value.
      index: its value for every configuration of the parents; -1 where there is none, a hard zero.
      log_weight: logarithms of weights of the parents' configurations, in the shape of index; None for 1 throughout.

    Raises:
      ProblemError: if shapes do not fit, variables repeat, a value is no whole number from -1, a weight is nan or inf,
        or no configuration is left.
    """

    parents: tuple[int, ...]
    child: int
    index: np.ndarray
    log_weight: np.ndarray | None = None

    def __post_init__(self):
        vars(self).update(parents=_scope(self.parents, "an IndexMap"))
        vars(self).update(child=_scope((*self.parents, self.child), "an IndexMap")[-1])
        name = f"the IndexMap of {self.parents} to {self.child}"
        index = as_wholes(self.index, f"index of {name}", None, NO_VALUE, MOST_VALUES)
        if index.ndim != len(self.parents):
            raise ProblemError(f"index of {name} has {index.ndim} axes; expected one for each parent")
        weight = np.zeros(index.shape) if self.log_weight is None else as_logs(self.log_weight, f"log_weight of {name}")
        if weight.shape != index.shape:
            raise ProblemError(f"log_weight of {name} has shape {weight.shape}; expected that of index, {index.shape}")
        if not ((index > NO_VALUE) & (weight > -np.inf)).any():
            raise ProblemError(f"{name} has zeros alone; leave one configuration possible")
        vars(self).update(index=frozen(index, np.int64), log_weight=frozen(weight))

    @property
    def variables(self) -> tuple[int, ...]:
        """Parents and child."""
        return (*self.parents, self.child)

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the parents, and one more than the largest value of the child."""
        return (*self.index.shape, int(self.index.max()) + 1)

    @property
    def count(self) -> int:
        """Number E of configurations that have weight."""
        return int(np.count_nonzero((self.index > NO_VALUE) & (self.log_weight > -np.inf)))

    def entries(self) -> tuple[np.ndarray, np.ndarray]:
        """Configurations (E, d) that have weight, and its logarithm (E,)."""
        parents, where = _places((self.index > NO_VALUE) & (self.log_weight > -np.inf), room=1)
        parents[:, -1] = self.index.ravel()[where]
        return parents, self.log_weight.ravel()[where]


@dataclass(frozen=True, eq=False)
class FactorGraph:
    """Discrete variables 0 to N - 1 and the factors over them.

    Attributes:
      sizes: number of values of every variable (N,).
      factors: `Table` and `IndexMap`.
      names: of the variables, for messages and `clamp`; their numbers by default.

    Raises:
      ProblemError: if a factor names a variable that is not there, or does not fit its variables' sizes.
    """

    sizes: Sequence[int]
    factors: Sequence[Table | IndexMap]
    names: Sequence[str] = ()

    def __post_init__(self):
        sizes = check_counts(self.sizes, "sizes", 1, MOST_VALUES)
        if not sizes:
            raise ProblemError("sizes is empty; expected a whole number from 1 for every variable")
        names = check_names(self.names, "names")
        if names and (len(names) != len(sizes) or len(set(names)) != len(names)):
            raise ProblemError(f"names has {len(set(names))} different ones; expected {len(sizes)}, one a variable")
        vars(self).update(sizes=sizes, names=names, factors=check_sequence(self.factors, "factors", "factors"))
        for number, factor in enumerate(self.factors):
            self._check(number, factor)

    def _check(self, number, factor):
        if not isinstance(factor, Table | IndexMap):
            raise ProblemError(f"factor {number} is a {type(factor).__name__}; expected a Table or an IndexMap")
        kind = type(factor).__name__
        outside = [v for v in factor.variables if v >= len(self.sizes)]
        if outside:
            raise ProblemError(f"factor {number}, a {kind}, has variable {outside[0]}; there are {len(self.sizes)}")
        given, expected, which = factor.shape, tuple(self.sizes[v] for v in factor.variables), ""
        if kind == "IndexMap":
            (*given, last), (*expected, size), which = given, expected, " of parents"
        if tuple(given) != tuple(expected):
            shapes = f"has shape {tuple(given)}{which}; its variables have {tuple(expected)}"
            raise ProblemError(f"factor {number}, a {kind}, {shapes}")
        if kind == "IndexMap" and last > size:
            raise ProblemError(
                f"factor {number}, an IndexMap, has value {last - 1} of variable {self.name(factor.child)}; "
                f"expected at most {size - 1}"
            )

    def name(self, variable: int) -> str:
        """Name of a variable, or its number."""
        return repr(self.names[variable]) if self.names else str(variable)

    def clamp(self, values: Mapping[Any, int]) -> Self:
        """The graph with some variables held at values: a mapping from numbers or names of variables to them.

        log Z of the clamped graph counts the configurations with these values alone; log Z less that of the whole
        graph is the log probability of the values.

        Raises:
          ProblemError: if a variable or value is not there.
        """
        if not isinstance(values, Mapping):
            raise ProblemError(f"values is {shown(values)}; expected a dict of variables and values, such as {{0: 1}}")
        held = []
        for key, value in values.items():
            variable = self.names.index(key) if key in self.names else key
            if not is_count(variable, 0, len(self.sizes) - 1):
                raise ProblemError(f"no variable {shown(key)} to clamp; expected a name, or 0 to {len(self.sizes) - 1}")
            if not is_count(value, 0, self.sizes[variable] - 1):
                last = self.sizes[variable] - 1
                raise ProblemError(f"variable {self.name(variable)} has no value {shown(value)}; it has 0 to {last}")
            held.append(Table.of_weights((variable,), np.arange(self.sizes[variable]) == value))
        return FactorGraph(self.sizes, self.factors + tuple(held), self.names)

    def log_weight(self, states: ArrayLike) -> float:
        """Logarithm of the product of all factors at a configuration, of a value for every variable."""
        states, total = as_wholes(states, "states", (len(self.sizes),), 0), 0.0
        if (states >= self.sizes).any():
            variable = int(np.argmax(states >= self.sizes))
            raise ProblemError(f"variable {self.name(variable)} has no value {states[variable]}; give smaller ones")
        for factor in self.factors:
            where = tuple(states[np.array(factor.variables, int)])
            if isinstance(factor, Table):
                total += factor.log_values[where]
            else:
                fits = factor.index[where[:-1]] == where[-1]
                total += factor.log_weight[where[:-1]] if fits else -np.inf
        return float(total)

    @functools.cached_property
    def entries(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """`entries` of every factor."""
        return tuple(factor.entries() for factor in self.factors)


def mixed_radix(states, shape, order="C"):
    """Numbers (E,) of states (E, d) in an array of a shape; the last variable runs fastest, in order "F" the first."""
    if not len(shape):
        return np.zeros(len(states), np.int64)
    return np.ravel_multi_index(tuple(np.transpose(states)), tuple(shape), order=order)


def _places(chosen, room=0):
    """Indices (E, d + room) of what is chosen in an array of d axes, and as numbers (E,) of the flat array.

    `np.argwhere` takes twice the memory.
    """
    flat = np.flatnonzero(chosen)
    places, left = np.empty((len(flat), chosen.ndim + room), np.int64), flat.copy()
    for axis in reversed(range(chosen.ndim)):
        np.remainder(left, chosen.shape[axis], out=places[:, axis])
        left //= chosen.shape[axis]
    return places, flat


def _scope(variables, name, least=1):
    """Variables as a tuple of different whole numbers, at least some."""
    given = tuple(variables) if isinstance(variables, tuple | list | range | np.ndarray) else (variables,)
    if len(given) < least or not all(is_count(v, 0) for v in given):
        raise ProblemError(f"variables of {name} are {shown(variables)}; expected one or more whole numbers from 0")
    if len(set(map(int, given))) != len(given):
        raise ProblemError(f"variables of {name} are {shown(variables)}; expected different ones")
    return tuple(map(int, given))
