"""Random small factor graphs, and inference in them by enumeration of all configurations."""

import itertools
import math

import numpy as np

from ppi_robotics.discrete import FactorGraph, IndexMap, Table


def enumerated(graph):
    """log Z, marginals of every variable, and the joint table of all variables, by the sum over everything."""
    joint = np.zeros(graph.sizes)
    for states in itertools.product(*map(range, graph.sizes)):
        joint[states] = math.exp(graph.log_weight(states))
    weight = joint.sum()
    others = [tuple(w for w in range(joint.ndim) if w != v) for v in range(joint.ndim)]
    return math.log(weight), [joint.sum(axis=axes) / weight for axes in others], joint / weight


def random_graph(seed, variables=6, factors=6, zeros=0.2, strength=1.0):
    """A graph of tables and maps with hard zeros, in which one configuration at least has weight."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 4, variables)
    kept = rng.integers(0, sizes)  # what every factor allows
    built = []
    for number in range(factors):
        scope = rng.choice(variables, rng.integers(1, 4), replace=False)
        shape, where = sizes[scope], tuple(kept[scope])
        if number % 3 == 2 and len(scope) > 1:
            index = rng.integers(-1, shape[-1], shape[:-1])
            index[where[:-1]] = where[-1]
            built.append(IndexMap(scope[:-1], scope[-1], index, strength * rng.normal(size=shape[:-1])))
            continue
        values = strength * rng.normal(size=shape)
        values[rng.uniform(size=shape) < zeros] = -np.inf
        values[where] = 0.5
        built.append(Table(scope, values))
    return FactorGraph(sizes, built)


def random_tree(seed, variables=8):
    """A graph without loops: every variable hangs on one before it, by a table or a map."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 5, variables)
    built = [Table((0,), rng.normal(size=sizes[0]))]
    for v in range(1, variables):
        parent = int(rng.integers(v))
        if v % 3 == 0:
            built.append(IndexMap((parent,), v, rng.integers(0, sizes[v], sizes[parent])))
        else:
            values = rng.normal(size=(sizes[parent], sizes[v]))
            values[rng.uniform(size=values.shape) < 0.2] = -np.inf
            values[:, 0] = 0.0
            built.append(Table((parent, v), values))
    return FactorGraph(sizes, built)
