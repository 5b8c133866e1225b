"""Beliefs and Bethe's log Z of messages between the nodes and the factors of a graph, see `graph_messages`.

With `maximize`, a belief in a value is the weight of the best configuration that has it, relative to the best of all.
"""

import math

import numpy as np

from ppi_robotics.kernels.graph_messages import FINE, NOTHING, OPTIONS, gather_all
from ppi_robotics.kernels.jit import njit


@njit(**OPTIONS)
def node_beliefs(net, maximize, messages, beliefs, work):
    """beliefs: probabilities of every node's states, or those of the best configurations relative to the best one.

    Returns log of the product of the sums, -inf if there is a node that nothing is left of, and the largest logarithm
    that a node's product has.
    """
    total, reach = 0.0, 0.0
    for v in range(net.start.shape[0] - 1):
        low, size = net.start[v], net.start[v + 1] - net.start[v]
        for x in range(size):
            work[x] = 0.0
        for k in range(net.incident[v], net.incident[v + 1]):
            move = net.offset[net.edge[k]]
            for x in range(size):
                work[x] += messages[move + x]
        top = -np.inf
        for x in range(size):
            top = max(top, work[x])
            if work[x] > -np.inf:
                reach = max(reach, -work[x])
        if top == -np.inf:
            return top, reach
        weight = 0.0
        for x in range(size):
            work[x] = math.exp(work[x] - top)
            weight += work[x]
        weight = 1.0 if maximize else weight
        for x in range(size):
            beliefs[low + x] = work[x] / weight
        total += top + math.log(weight)
    return total, reach


@njit(**OPTIONS)
def factor_belief(net, f, maximize, into, out):
    """out: probabilities of the configurations of factor f, as `node_beliefs`; log of the sum of their weights."""
    degree, begin, end, place = net.scope[f + 1] - net.scope[f], net.entry[f], net.entry[f + 1], net.place[f]
    top = -np.inf
    for n in range(begin, end):
        total = net.log_weight[n]
        for j in range(degree):
            total += into[net.position[place + j]]
        place += degree
        out[n] = total
        top = max(top, total)
    if top == -np.inf:
        return -np.inf
    weight = 0.0
    for n in range(begin, end):
        out[n] = math.exp(out[n] - top)
        weight += out[n]
    weight = 1.0 if maximize else weight
    for n in range(begin, end):
        out[n] /= weight
    return top + math.log(weight)


@njit(**OPTIONS)
def bethe(net, maximize, messages, of_nodes, into, work, joint):
    """Bethe's log Z of messages, sum_f log Z_f + sum_v log Z_v - sum_e log Z_e; joint: beliefs of the factors.

    `of_nodes` is sum_v log Z_v, as `node_beliefs` returns it. FINE, NOTHING or LOST come first.
    """
    total, code = of_nodes, gather_all(net, messages, into, work)
    if code != FINE:
        return code, -np.inf
    for f in range(net.scope.shape[0] - 1):
        for e in range(net.scope[f], net.scope[f + 1]):
            top, weight = -np.inf, 0.0
            for i in range(net.offset[e], net.offset[e + 1]):
                top = max(top, into[i] + messages[i])
            if top == -np.inf:
                return NOTHING, top
            if not maximize:
                for i in range(net.offset[e], net.offset[e + 1]):
                    weight += math.exp(into[i] + messages[i] - top)
                top += math.log(weight)
            total -= top
        total += factor_belief(net, f, maximize, into, joint)
        if total == -np.inf:
            return NOTHING, total
    return FINE, total


@njit(**OPTIONS)
def disagreement(net, maximize, beliefs, joint):
    """Largest difference between a node's probabilities and those that its factors' beliefs give it."""
    worst = 0.0
    marginal = np.zeros(net.offset[net.offset.shape[0] - 1])
    for f in range(net.scope.shape[0] - 1):
        degree, place = net.scope[f + 1] - net.scope[f], net.place[f]
        for n in range(net.entry[f], net.entry[f + 1]):
            for j in range(degree):
                i = net.position[place + j]
                marginal[i] = max(marginal[i], joint[n]) if maximize else marginal[i] + joint[n]
            place += degree
    for e in range(net.node.shape[0]):
        move = net.start[net.node[e]] - net.offset[e]
        for i in range(net.offset[e], net.offset[e + 1]):
            worst = max(worst, abs(marginal[i] - beliefs[i + move]))
    return worst
