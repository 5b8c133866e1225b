"""Messages between the nodes and the factors of a graph, in the log domain.

Nodes are variables, or inner regions; factors are factors, or outer regions, each a list of the configurations that
have weight. An edge joins a factor to a node of its scope; its message has a number for every state of the node.
Messages are shifted so that the largest number is 0; -inf is a hard zero, which no arithmetic here turns into nan.
"""

import math
from collections import namedtuple

import numpy as np
from numba import njit

LOST = -1e8  # relative logarithm of a message that has grown without bound
OPTIONS = {"cache": True, "nogil": True, "error_model": "numpy"}

Net = namedtuple(
    "Net",
    (
        "scope",  # edges scope[f] to scope[f + 1] - 1 belong to factor f
        "node",  # of every edge
        "factor",  # of every edge
        "offset",  # where the message of every edge starts; one more entry for the end
        "entry",  # configurations entry[f] to entry[f + 1] - 1 belong to factor f
        "place",  # where the positions of the first of them start
        "position",  # of every configuration and edge of its factor: the index of its state in the messages
        "log_weight",  # of every configuration
        "incident",  # edges edge[incident[v]] to edge[incident[v + 1] - 1] belong to node v
        "edge",
        "start",  # where the beliefs of every node start; one more entry for the end
    ),
)


@njit(**OPTIONS)
def shift(values, first, last):
    """Subtract the largest of values first to last - 1; False if all are -inf, or one is finite and below LOST."""
    top, least = -np.inf, np.inf
    for i in range(first, last):
        top = max(top, values[i])
        if values[i] > -np.inf:
            least = min(least, values[i])
    if top == -np.inf or least - top < LOST:
        return False
    for i in range(first, last):
        values[i] -= top
    return True


@njit(**OPTIONS)
def gather(net, e, messages, into):
    """into: what the node of edge e tells its factor, the product of its other messages; False if nothing is left."""
    v, first, last = net.node[e], net.offset[e], net.offset[e + 1]
    for i in range(first, last):
        into[i] = 0.0
    for k in range(net.incident[v], net.incident[v + 1]):
        other = net.edge[k]
        if other != e:
            move = net.offset[other] - first
            for i in range(first, last):
                into[i] += messages[i + move]
    return shift(into, first, last)


@njit(**OPTIONS)
def emit(net, f, e, into, work, out):
    """out: what factor f tells the node of edge e, its sum over all else; False if nothing is left."""
    first, last, degree = net.scope[f], net.scope[f + 1], net.scope[f + 1] - net.scope[f]
    begin, end, mine = net.entry[f], net.entry[f + 1], e - first
    low, high, place = net.offset[e], net.offset[e + 1], net.place[f]
    for i in range(low, high):
        out[i] = -np.inf
    for n in range(begin, end):
        total = net.log_weight[n]
        for j in range(degree):
            if j != mine:
                total += into[net.position[place + j]]
        work[n - begin] = total
        i = net.position[place + mine]
        out[i] = max(out[i], total)
        place += degree
    sums = work[end - begin :]
    for i in range(high - low):
        sums[i] = 0.0
    place = net.place[f] + mine
    for n in range(end - begin):
        i = net.position[place]
        place += degree
        if work[n] == out[i]:  # the largest one, which needs no exponential; or a zero among zeros
            sums[i - low] += 1.0
        elif work[n] > -np.inf:
            sums[i - low] += math.exp(work[n] - out[i])
    for i in range(low, high):
        if out[i] > -np.inf:
            out[i] += math.log(sums[i - low])
    return shift(out, low, high)


@njit(**OPTIONS)
def renew(net, f, messages, damping, into, work, out):
    """out: damped messages of factor f after those of its nodes; False after a contradiction."""
    for e in range(net.scope[f], net.scope[f + 1]):
        if not gather(net, e, messages, into):
            return False
    for e in range(net.scope[f], net.scope[f + 1]):
        low, high = net.offset[e], net.offset[e + 1]
        if damping == 0.0:
            if not emit(net, f, e, into, work, out):
                return False
            continue
        kept = work[work.shape[0] - (high - low) :]
        for i in range(low, high):
            kept[i - low] = messages[i]
        if not emit(net, f, e, into, work, out):
            return False
        for i in range(low, high):
            if out[i] > -np.inf and kept[i - low] > -np.inf:
                out[i] += damping * (kept[i - low] - out[i])
        shift(out, low, high)
    return True


@njit(**OPTIONS)
def sweep_in_order(net, order, messages, damping, into, work):
    """Renew the messages of factors in an order, each seeing the ones before it; False after a contradiction."""
    n = 0
    while n < order.shape[0] and renew(net, order[n], messages, damping, into, work, messages):
        n += 1
    return n == order.shape[0]


@njit(**OPTIONS)
def sweep_at_once(net, messages, damping, into, work, fresh):
    """Renew all messages from those of the last sweep; False after a contradiction."""
    for f in range(net.scope.shape[0] - 1):
        if not renew(net, f, messages, damping, into, work, fresh):
            return False
    messages[:] = fresh
    return True


@njit(**OPTIONS)
def residual(net, f, messages, fresh):
    """Largest difference of a relative weight between old and fresh messages of factor f."""
    worst = 0.0
    for i in range(net.offset[net.scope[f]], net.offset[net.scope[f + 1]]):
        worst = max(worst, abs(math.exp(fresh[i]) - math.exp(messages[i])))
    return worst


@njit(**OPTIONS)
def rank(tree, f, value):
    """Set the value of leaf f in a tree of largest values."""
    at = tree.shape[0] // 2 + f
    tree[at] = value
    while at > 1:
        at //= 2
        tree[at] = max(tree[2 * at], tree[2 * at + 1])


@njit(**OPTIONS)
def prepare_residuals(net, messages, damping, into, work, fresh, tree):
    """fresh: the messages that every factor would send; tree: by how much they differ; False after a contradiction."""
    for f in range(net.scope.shape[0] - 1):
        if not renew(net, f, messages, damping, into, work, fresh):
            return False
        rank(tree, f, residual(net, f, messages, fresh))
    return True


@njit(**OPTIONS)
def sweep_by_residual(net, messages, damping, into, work, fresh, tree):
    """As many factors as there are, each time the one whose messages would change most; False after a contradiction."""
    leaves = tree.shape[0] // 2
    for _ in range(net.scope.shape[0] - 1):
        if tree[1] <= 0.0:
            return True
        at = 1
        while at < leaves:
            at = 2 * at if tree[2 * at] == tree[1] else 2 * at + 1
        f = at - leaves
        for i in range(net.offset[net.scope[f]], net.offset[net.scope[f + 1]]):
            messages[i] = fresh[i]
        rank(tree, f, 0.0)
        for e in range(net.scope[f], net.scope[f + 1]):
            v = net.node[e]
            for k in range(net.incident[v], net.incident[v + 1]):
                other = net.factor[net.edge[k]]
                if other != f:
                    if not renew(net, other, messages, damping, into, work, fresh):
                        return False
                    rank(tree, other, residual(net, other, messages, fresh))
    return True


@njit(**OPTIONS)
def node_beliefs(net, messages, beliefs, work):
    """beliefs: probabilities of every node's states; their largest change, and log of the sums of the products.

    The change is -1 after a contradiction.
    """
    change, total = 0.0, 0.0
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
        if top == -np.inf:
            return -1.0, -np.inf
        weight = 0.0
        for x in range(size):
            work[x] = math.exp(work[x] - top)
            weight += work[x]
        for x in range(size):
            p = work[x] / weight
            change = max(change, abs(p - beliefs[low + x]))
            beliefs[low + x] = p
        total += top + math.log(weight)
    return change, total


@njit(**OPTIONS)
def factor_belief(net, f, into, out):
    """out: probabilities of the configurations of factor f; log of the sum of their weights."""
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
    for n in range(begin, end):
        out[n] /= weight
    return top + math.log(weight)


@njit(**OPTIONS)
def bethe(net, messages, of_nodes, into, joint):
    """Bethe's log Z of messages, sum_f log Z_f + sum_v log Z_v - sum_e log Z_e; joint: beliefs of the factors.

    `of_nodes` is sum_v log Z_v, as `node_beliefs` returns it.
    """
    total = of_nodes
    for f in range(net.scope.shape[0] - 1):
        for e in range(net.scope[f], net.scope[f + 1]):
            if not gather(net, e, messages, into):
                return -np.inf
            top, weight = -np.inf, 0.0
            for i in range(net.offset[e], net.offset[e + 1]):
                top = max(top, into[i] + messages[i])
            if top == -np.inf:
                return -np.inf
            for i in range(net.offset[e], net.offset[e + 1]):
                weight += math.exp(into[i] + messages[i] - top)
            total -= top + math.log(weight)
        total += factor_belief(net, f, into, joint)
        if total == -np.inf:
            return total
    return total


@njit(**OPTIONS)
def disagreement(net, beliefs, joint):
    """Largest difference between a node's probabilities and those that its factors' beliefs give it."""
    worst = 0.0
    marginal = np.zeros(net.offset[net.offset.shape[0] - 1])
    for f in range(net.scope.shape[0] - 1):
        degree, place = net.scope[f + 1] - net.scope[f], net.place[f]
        for n in range(net.entry[f], net.entry[f + 1]):
            for j in range(degree):
                marginal[net.position[place + j]] += joint[n]
            place += degree
    for e in range(net.node.shape[0]):
        move = net.start[net.node[e]] - net.offset[e]
        for i in range(net.offset[e], net.offset[e + 1]):
            worst = max(worst, abs(marginal[i] - beliefs[i + move]))
    return worst
