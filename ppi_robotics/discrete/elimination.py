"""Elimination of variables from a factor graph: its order, the clique tree that follows, and the memory that it takes.

Variables whose own tables leave them one value, as clamped ones, are taken out first. Of the others, the next one
eliminated is that whose neighbors lack the fewest edges: Kjaerulff, *Triangulation of graphs* (1990), "min-fill".
"""

import heapq
import math
from dataclasses import dataclass

from ppi_robotics.checks import check_instance, check_number
from ppi_robotics.discrete.factor_graph import FactorGraph
from ppi_robotics.errors import ProblemError
from ppi_robotics.interruption import check

LARGEST = 1e8  # numbers in all tables
ADDRESSABLE = 2.0**59  # of them at most, whatever is asked for: 2^62 bytes
FEW = 20_000  # edges that are filled in beyond the limit, for an estimate of the memory needed
PIECE = 1 << 15  # entries of a table whose exponentials are taken at once
OF_CLIQUE, OF_FACTOR = 1000, 1100  # bytes of the Python objects of one


@dataclass(frozen=True)
class TreeSize:
    """Size of a junction tree, and the memory that exact inference takes.

    Attributes:
      variables: in the largest clique, but for those of one value; one more than the width of the tree.
      largest: entries of the table of the clique that has the most.
      entries: of the tables of all cliques together.
      cliques: how many there are.
      bytes: memory at the peak: tables, messages, marginals, and the configurations of the factors.
    """

    variables: int
    largest: int
    entries: int
    cliques: int
    bytes: int


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
      complete: whether all variables are eliminated; if not, the cliques are those of the first of them.
    """

    fixed: dict[int, int]
    cliques: tuple[tuple[int, ...], ...]
    parents: tuple[int, ...]
    separators: tuple[tuple[int, ...], ...]
    homes: dict[int, int]
    ranks: dict[int, int]
    complete: bool = True

    def home(self, variables):
        """Number of a clique that has all of some connected variables."""
        return self.homes[min(variables, key=self.ranks.get)]

    def size(self, graph: FactorGraph) -> TreeSize:
        """`TreeSize` of inference in the graph of the tree."""
        entries = [math.prod(graph.sizes[v] for v in clique) for clique in self.cliques]
        messages = [math.prod(graph.sizes[v] for v in separator) for separator in self.separators]
        room = 2 * max(messages, default=0) + min(PIECE, max(entries, default=0))  # of a message that is made
        numbers = sum(entries) + sum(messages) + sum(graph.sizes) + room
        return TreeSize(
            variables=max(map(len, self.cliques), default=0),
            largest=max(entries, default=1),
            entries=sum(entries),
            cliques=len(entries),
            bytes=8 * numbers + OF_CLIQUE * len(entries) + sum(map(_bytes_of, graph.factors)),
        )


def tree_size(graph: FactorGraph) -> TreeSize:
    """`TreeSize` of exact inference in a `FactorGraph`, without doing any."""
    return clique_tree(graph).size(graph)


def affordable_tree(graph, largest=LARGEST):
    """`CliqueTree` of a graph.

    Raises:
      ProblemError: if the tables of all cliques have more than `largest` entries together.
    """
    largest = check_number(largest, "largest", least=1, most=math.inf)
    most = min(largest, ADDRESSABLE)
    tree = clique_tree(graph, most)
    size = tree.size(graph)
    if size.entries > most:
        least = "" if tree.complete else "more than "
        limit = f"largest={largest:.3g}" if largest <= most else "can be addressed"
        raise ProblemError(
            f"a junction tree needs {least}{size.bytes / 1e9:.3g} GB: {size.entries:.3g} entries in {size.cliques} "
            f"cliques of up to {size.variables} variables, more than {limit}; use belief_propagation or "
            "double_loop, or an exact solver of the problem behind the graph"
        )
    return tree


def clique_tree(graph, most=math.inf):
    """`CliqueTree` of a `FactorGraph`; its elimination may end early if a clique has more entries than `most`."""
    check_instance(graph, "graph", FactorGraph)
    fixed = _fixed(graph)
    neighbors = {v: set() for v in range(len(graph.sizes)) if v not in fixed}
    for factor in graph.factors:
        scope = [v for v in factor.variables if v not in fixed]
        for v in scope:
            neighbors[v].update(scope)
    for v, near in neighbors.items():
        near.discard(v)
    free = len(neighbors)
    order, later = _min_fill(neighbors, graph.sizes, most)
    rank = {v: i for i, v in enumerate(order)}
    cliques, parents, separators, home = [], [], [], {}
    for v in reversed(order):
        rest = later[v]
        parent = home.get(min(rest, key=lambda other: rank.get(other, len(order))), -1) if rest else -1
        if parent >= 0 and cliques[parent] == rest:
            cliques[parent] = rest | {v}
            home[v] = parent
            continue
        home[v] = len(cliques)
        cliques.append(rest | {v})
        parents.append(parent)
        separators.append(tuple(sorted(rest)))
    cliques = tuple(tuple(sorted(clique)) for clique in cliques)
    complete = len(order) == free
    return CliqueTree(fixed, cliques, tuple(parents), tuple(separators), home, rank, complete)


def _bytes_of(factor):
    """Memory that a factor's configurations take, their weights and probabilities."""
    return 8 * factor.count * (len(factor.variables) + 2) + OF_FACTOR


def _fixed(graph):
    """Values of the variables that have one only, of themselves or by the factors that are theirs alone."""
    possible = {v: {0} for v, size in enumerate(graph.sizes) if size == 1}
    for factor in graph.factors:
        if len(factor.variables) == 1:
            left = possible.get(factor.variables[0], set(range(graph.sizes[factor.variables[0]])))
            possible[factor.variables[0]] = left & set(map(int, factor.entries()[0][:, 0]))
    return {v: next(iter(left)) for v, left in possible.items() if len(left) == 1}


def _min_fill(neighbors, sizes, most):
    """Order of elimination, and every variable's neighbors when its turn comes; ties go to the smaller table.

    The number of edges that a variable's neighbors lack is updated, so that a variable of many neighbors costs no more
    than these. Once a clique has more than `most` entries, only FEW more edges are filled in.
    """
    digits = {v: round(math.log2(sizes[v]) * 2**32) for v in neighbors}  # whole numbers add up in any order
    lacking = {v: _lacking(v, neighbors) for v in neighbors}
    width = {v: digits[v] + sum(digits[a] for a in near) for v, near in neighbors.items()}
    prices = {v: (lacking[v], width[v], v) for v in neighbors}
    heap, order, later, left = list(prices.values()), [], {}, FEW
    limit = math.log2(most) * 2**32 + 2**16
    heapq.heapify(heap)
    while heap and left > 0:
        if len(order) % 64 == 0:
            check()
        found = heapq.heappop(heap)
        v = found[-1]
        if prices.get(v) != found:
            continue
        near = neighbors[v]
        if width[v] > limit or left < FEW:
            left -= 1 + found[0]
        touched = _connect(near, neighbors, lacking, width, digits) if found[0] else near
        for a in near:
            neighbors[a].discard(v)
            lacking[a] -= len(neighbors[a]) - len(near) + 1  # v had no connection with the others of them
            width[a] -= digits[v]
        del neighbors[v], prices[v]
        order.append(v)
        later[v] = near
        for a in touched:
            if a in prices and prices[a] != (lacking[a], width[a], a):
                prices[a] = lacking[a], width[a], a
                heapq.heappush(heap, prices[a])
    return order, later


def _lacking(v, neighbors):
    """Number of pairs of neighbors that are not connected."""
    near = neighbors[v]
    return len(near) * (len(near) - 1) // 2 - sum(len(neighbors[a] & near) for a in near) // 2


def _connect(near, neighbors, lacking, width, digits):
    """Fill in the edges between some variables and update the counts; all variables whose counts changed."""
    touched = set(near)
    for a in near:
        for b in near - neighbors[a] - {a}:
            common = neighbors[a] & neighbors[b]
            for c in common:
                lacking[c] -= 1
            lacking[a] += len(neighbors[a]) - len(common)
            lacking[b] += len(neighbors[b]) - len(common)
            neighbors[a].add(b)
            neighbors[b].add(a)
            width[a] += digits[b]
            width[b] += digits[a]
            touched |= common
    return touched
