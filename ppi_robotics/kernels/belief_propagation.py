"""Messages between the nodes and the factors of a graph, in the log domain.

Nodes are variables, or inner regions; factors are factors, or outer regions, each a list of the configurations that
have weight. An edge joins a factor to a node of its scope; its message has a number for every state of the node.
Messages are shifted so that the largest number is 0; -inf is a hard zero, which no arithmetic here turns into nan.

The message from a node to a factor is the product of the node's other messages. It is taken from both ends of the
node's edges, the updated messages before the factor's turn and the old ones after it: no message is divided out, which
would leave zeros and rounding behind, and a node of d edges costs d. With `maximize`, the largest term replaces sums
over configurations; a belief in a value is then the weight of the best configuration that has it, relative to the best.
"""

import math
from collections import namedtuple

import numpy as np

from ppi_robotics.kernels.jit import njit

FINE, NOTHING, LOST = 0, 1, 2  # of messages: usable; zeros alone, which is proof; numbers that have grown without bound
AHEAD = 50  # factors whose residuals one update may recompute, on average
OPTIONS = {"nogil": True, "error_model": "numpy"}
INLINED = OPTIONS | {"forceinline": True}  # a call counts references to all arrays of the net

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
        "lost",  # a relative logarithm below it, which no sum of the factors' has
    ),
)


@njit(**INLINED)
def shift(values, first, last, lost):
    """Subtract the largest of values first to last - 1; NOTHING if all are -inf, LOST if one is finite and tiny."""
    top, least = -np.inf, np.inf
    for i in range(first, last):
        top = max(top, values[i])
        if values[i] > -np.inf:
            least = min(least, values[i])
    if top == -np.inf:
        return NOTHING
    if least - top < lost:
        return LOST
    for i in range(first, last):
        values[i] -= top
    return FINE


@njit(**OPTIONS)
def reorder(net, order, out):
    """out: `net.edge` for factors in another order, the edges of every node by the turns of their factors."""
    filled = net.incident.copy()
    for n in range(order.shape[0]):
        for e in range(net.scope[order[n]], net.scope[order[n] + 1]):
            out[filled[net.node[e]]] = e
            filled[net.node[e]] += 1


@njit(**INLINED)
def later_products(net, v, edge, messages, into):
    """into: for every edge of node v the product of the messages of later ones."""
    begin, last, size = net.incident[v], net.incident[v + 1] - 1, net.start[v + 1] - net.start[v]
    if begin > last:
        return
    later = net.offset[edge[last]]
    for x in range(size):
        into[later + x] = 0.0
    for k in range(last - 1, begin - 1, -1):
        here = net.offset[edge[k]]
        for x in range(size):
            into[here + x] = into[later + x] + messages[later + x]
        later = here


@njit(**OPTIONS)
def to_factors(net, v, messages, into, behind):
    """into: messages from node v to its factors, products of its other messages; behind: workspace of one message."""
    later_products(net, v, net.edge, messages, into)
    for x in range(net.start[v + 1] - net.start[v]):
        behind[x] = 0.0
    for k in range(net.incident[v], net.incident[v + 1]):
        first, last = net.offset[net.edge[k]], net.offset[net.edge[k] + 1]
        for i in range(first, last):
            into[i] += behind[i - first]
            behind[i - first] += messages[i]
        code = shift(into, first, last, net.lost)
        if code != FINE:
            return code
    return FINE


@njit(**OPTIONS)
def all_to_factors(net, messages, into, work):
    """`to_factors` of all nodes; FINE, NOTHING or LOST."""
    for v in range(net.start.shape[0] - 1):
        code = to_factors(net, v, messages, into, work)
        if code != FINE:
            return code
    return FINE


@njit(**INLINED)
def to_node(net, f, e, maximize, into, work, out):
    """out: message from factor f to the node of edge e, its sum over all else; FINE, NOTHING or LOST."""
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
    if maximize:
        return shift(out, low, high, net.lost)
    sums = end - begin - low  # where the workspace holds the sums of the states
    for i in range(low, high):
        work[sums + i] = 0.0
    place = net.place[f] + mine
    for n in range(end - begin):
        i = net.position[place]
        place += degree
        if work[n] == out[i]:  # the largest one, which needs no exponential; or a zero among zeros
            work[sums + i] += 1.0
        elif work[n] > -np.inf:
            work[sums + i] += math.exp(work[n] - out[i])
    for i in range(low, high):
        if out[i] > -np.inf:
            out[i] += math.log(work[sums + i])
    return shift(out, low, high, net.lost)


@njit(**INLINED)
def distance(first, second):
    """Difference of two logarithms; none of two zeros, inf of a zero and another number."""
    if first == second:
        return 0.0
    return abs(first - second)


@njit(**INLINED)
def update(net, f, e, messages, damping, maximize, into, work, out):
    """out: damped message of factor f to the node of edge e; FINE, NOTHING or LOST, and its change undamped."""
    low, high = net.offset[e], net.offset[e + 1]
    kept, change = work.shape[0] - high, 0.0  # where the workspace keeps the old message
    for i in range(low, high):
        work[kept + i] = messages[i]
    code = to_node(net, f, e, maximize, into, work, out)
    if code != FINE:
        return code, np.inf
    for i in range(low, high):
        change = max(change, distance(out[i], work[kept + i]))
    if damping > 0.0:
        for i in range(low, high):
            if out[i] > -np.inf and work[kept + i] > -np.inf:
                out[i] += damping * (work[kept + i] - out[i])
        code = shift(out, low, high, net.lost)
    return code, change


@njit(**OPTIONS)
def iterate(net, order, edge, messages, damping, maximize, into, work, out):
    """out: messages of factors in an order, which may be `messages`, so that each sees the ones before it.

    `edge` is `net.edge` for that order. FINE, NOTHING or LOST, and the largest change of a message undamped.
    """
    behind, worst = np.zeros(net.start[net.start.shape[0] - 1]), 0.0
    for v in range(net.start.shape[0] - 1):
        later_products(net, v, edge, messages, into)
    for n in range(order.shape[0]):
        f = order[n]
        for e in range(net.scope[f], net.scope[f + 1]):
            first, last = net.offset[e], net.offset[e + 1]
            move = net.start[net.node[e]] - first
            for i in range(first, last):
                into[i] += behind[i + move]
            code = shift(into, first, last, net.lost)
            if code != FINE:
                return code, worst
        for e in range(net.scope[f], net.scope[f + 1]):
            code, change = update(net, f, e, messages, damping, maximize, into, work, out)
            if code != FINE:
                return code, worst
            worst = max(worst, change)
            move = net.start[net.node[e]] - net.offset[e]
            for i in range(net.offset[e], net.offset[e + 1]):
                behind[i + move] += messages[i]
    return FINE, worst


@njit(**OPTIONS)
def prioritize(tree, f, value):
    """Set the value of leaf f in a tree of largest values."""
    at = tree.shape[0] // 2 + f
    tree[at] = value
    while at > 1:
        at //= 2
        tree[at] = max(tree[2 * at], tree[2 * at + 1])


@njit(**OPTIONS)
def residual(net, f, messages, damping, maximize, into, work, fresh, tree):
    """fresh: the next messages of factor f, whose largest change is its priority. FINE, NOTHING or LOST."""
    worst = 0.0
    for e in range(net.scope[f], net.scope[f + 1]):
        code, change = update(net, f, e, messages, damping, maximize, into, work, fresh)
        if code != FINE:
            return code
        worst = max(worst, change)
    prioritize(tree, f, worst)
    return FINE


@njit(**OPTIONS)
def all_residuals(net, messages, damping, maximize, into, work, fresh, tree):
    """`residual` of all factors."""
    code = all_to_factors(net, messages, into, work)
    f = 0
    while code == FINE and f < net.scope.shape[0] - 1:
        code = residual(net, f, messages, damping, maximize, into, work, fresh, tree)
        f += 1
    return code


@njit(**OPTIONS)
def iterate_by_residual(net, messages, damping, maximize, into, work, fresh, tree):
    """As many factors as there are, each time the one whose messages would change most; FINE, NOTHING or LOST.

    `into` and `fresh` are those of the messages, before and after. Second, the largest change that is left; inf where
    the sweep ends early, as variables of many factors have it look at more than AHEAD times the factors that there are.
    """
    leaves, seen = tree.shape[0] // 2, 0
    for _ in range(net.scope.shape[0] - 1):
        if tree[1] <= 0.0:
            return FINE, tree[1]
        if seen > AHEAD * (net.scope.shape[0] - 1):
            return FINE, np.inf
        at = 1
        while at < leaves:
            at = 2 * at if tree[2 * at] == tree[1] else 2 * at + 1
        f = at - leaves
        for i in range(net.offset[net.scope[f]], net.offset[net.scope[f + 1]]):
            messages[i] = fresh[i]
        prioritize(tree, f, 0.0)
        for e in range(net.scope[f], net.scope[f + 1]):
            code = to_factors(net, net.node[e], messages, into, work)
            if code != FINE:
                return code, np.inf
        for e in range(net.scope[f], net.scope[f + 1]):
            v = net.node[e]
            for k in range(net.incident[v], net.incident[v + 1]):
                other = net.factor[net.edge[k]]
                if other != f or damping > 0.0:  # the messages of a damped factor change again
                    code = residual(net, other, messages, damping, maximize, into, work, fresh, tree)
                    seen += 1
                    if code != FINE:
                        return code, np.inf
    return FINE, tree[1]


# -- beliefs and free energy ------------------------------------------------------------------------------------------


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
    total, code = of_nodes, all_to_factors(net, messages, into, work)
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
