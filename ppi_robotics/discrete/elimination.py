"""Elimination of variables from a factor graph: an order, the tree of cliques that it makes, and what these cost.

Variables whose own tables leave them one value, as clamped ones, are taken out first. Among the others, the next to go
is the one whose neighbors lack the fewest connections: Kjaerulff, *Triangulation of graphs* (1990), "min-fill".
"""

import heapq
import itertools
import math
from dataclasses import dataclass

from ppi_robotics.errors import ProblemError

LARGEST = 1e8  # numbers in all tables


@dataclass(frozen=True)
class TreeSize:
    """What exact inference in a junction tree takes.

    Attributes:
      variables: in the largest clique; one more than the width of the tree.
      largest: entries of the table of the clique that has the most.
      entries: of the tables of all cliques together.
      cliques: how many there are.
    """

    variables: int
    largest: int
    entries: int
    cliques: int

    @property
    def bytes(self):
        """What the tables of all cliques take together."""
        return 8 * self.entries


@dataclass(frozen=True, eq=False)
class CliqueTree:
    """Cliques in an order in which every one comes after its parent.

    Attributes:
      fixed: value of every variable that has one only.
      cliques: variables of every clique.
      parents: number of the parent of every clique; -1 for the root of a component.
      separators: variables that a clique shares with its parent.
      homes: number of the clique in which a variable is eliminated, with all of its neighbors that are left.
      ranks: place of every variable in the order of elimination.
    """

    fixed: dict
    cliques: tuple
    parents: tuple
    separators: tuple
    homes: dict
    ranks: dict

    def home(self, variables):
        """Number of a clique that has all of some connected variables."""
        return self.homes[min(variables, key=self.ranks.get)]

    def size(self, sizes):
        """`TreeSize` with variables of these sizes."""
        entries = [math.prod(sizes[v] for v in clique) for clique in self.cliques]
        return TreeSize(max(map(len, self.cliques), default=0), max(entries, default=1), sum(entries), len(entries))


def tree_size(graph):
    """`TreeSize` of exact inference in a `FactorGraph`, without doing any."""
    return clique_tree(graph).size(graph.sizes)


def affordable_tree(graph, largest=LARGEST):
    """`CliqueTree` of a graph.

    Raises:
      ProblemError: if the tables of all cliques have more than `largest` entries together.
    """
    if not largest >= 1:
        raise ProblemError(f"largest is {largest!r}; expected a number of entries from 1")
    tree = clique_tree(graph)
    size = tree.size(graph.sizes)
    if size.entries > largest:
        raise ProblemError(
            f"a junction tree needs {size.bytes / 1e9:.3g} GB: {size.entries:.3g} entries in {size.cliques} cliques of "
            f"up to {size.variables} variables, more than largest={largest:.3g}; use belief_propagation or "
            "double_loop, or an exact solver of the problem behind the graph"
        )
    return tree


def clique_tree(graph):
    """`CliqueTree` of a `FactorGraph`."""
    fixed = _fixed(graph)
    neighbors = {v: set() for v in range(len(graph.sizes)) if v not in fixed}
    for factor in graph.factors:
        scope = [v for v in factor.variables if v not in fixed]
        for a, b in itertools.permutations(scope, 2):
            neighbors[a].add(b)
    order, later = _min_fill(neighbors, graph.sizes)
    rank = {v: i for i, v in enumerate(order)}
    cliques, parents, separators, home = [], [], [], {}
    for v in reversed(order):
        rest = later[v]
        parent = home[min(rest, key=rank.get)] if rest else -1
        if rest and cliques[parent] == rest:
            cliques[parent] = rest | {v}
            home[v] = parent
            continue
        home[v] = len(cliques)
        cliques.append(rest | {v})
        parents.append(parent)
        separators.append(tuple(sorted(rest)))
    cliques = tuple(tuple(sorted(clique)) for clique in cliques)
    return CliqueTree(fixed, cliques, tuple(parents), tuple(separators), home, rank)


def _fixed(graph):
    """Values of the variables that have one only by the factors that are theirs alone."""
    possible = {}
    for factor, (states, _) in zip(graph.factors, graph.entries, strict=True):
        if len(factor.variables) == 1:
            left = possible.get(factor.variables[0], set(range(graph.sizes[factor.variables[0]])))
            possible[factor.variables[0]] = left & set(map(int, states[:, 0]))
    return {v: next(iter(left)) for v, left in possible.items() if len(left) == 1}


def _min_fill(neighbors, sizes):
    """Order of elimination, and every variable's neighbors when its turn comes; ties go to the smaller table."""
    neighbors = {v: set(near) for v, near in neighbors.items()}

    def price(v):
        near = neighbors[v]
        present = sum(len(neighbors[a] & near) for a in near) // 2
        return len(near) * (len(near) - 1) // 2 - present, math.prod(sizes[a] for a in near) * sizes[v], v

    prices = {v: price(v) for v in neighbors}
    heap, order, later = list(prices.values()), [], {}
    heapq.heapify(heap)
    while heap:
        found = heapq.heappop(heap)
        v = found[-1]
        if prices.get(v) != found:
            continue
        near = neighbors.pop(v)
        del prices[v]
        order.append(v)
        later[v] = near
        touched = set(near)
        for a in near:
            touched |= neighbors[a] if found[0] else set()
            neighbors[a] |= near
            neighbors[a] -= {a, v}
        for a in touched - {v}:
            fresh = price(a)
            if fresh != prices[a]:
                prices[a] = fresh
                heapq.heappush(heap, fresh)
    return order, later
