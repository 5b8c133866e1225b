"""Messages between the nodes and the factors of a graph, in the log domain.

Nodes are variables, or inner regions; factors are factors, or outer regions, each a list of the configurations that
have weight. An edge joins a factor to a node of its scope; its message has a number for every state of the node.
Messages are shifted so that the largest number is 0; -inf is a hard zero, which no arithmetic here turns into nan.

What a node tells a factor is the product of its other messages. It is taken from both ends of the node's edges, the
fresh messages before the factor's turn and the old ones after it: no message is divided out, of which zeros and
rounding would be left, and a node of d edges costs d. With `maximize`, sums over configurations are largest terms.
"""

import math
from collections import namedtuple

import numpy as np

from ppi_robotics.kernels.jit import njit

FINE, NOTHING, LOST = 0, 1, 2  # of messages: usable; zeros alone, which is proof; numbers that have grown without bound
AHEAD = 50
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
def arrange(net, order, out):
    """out: `net.edge` for factors in another order, the edges of every node by the turns of their factors."""
    filled = net.incident.copy()
    for n in range(order.shape[0]):
        for e in range(net.scope[order[n]], net.scope[order[n] + 1]):
            out[filled[net.node[e]]] = e
            filled[net.node[e]] += 1


@njit(**INLINED)
def look_ahead(net, v, edge, messages, into):
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
def gather(net, v, messages, into, behind):
    """into: what node v tells each of its factors, the product of its other messages; behind: room for a message."""
    look_ahead(net, v, net.edge, messages, into)
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
def gather_all(net, messages, into, work):
    """`gather` of all nodes."""
    for v in range(net.start.shape[0] - 1):
        code = gather(net, v, messages, into, work)
        if code != FINE:
            return code
    return FINE


@njit(**INLINED)
def emit(net, f, e, maximize, into, work, out):
    """out: what factor f tells the node of edge e, its sum over all else; FINE, NOTHING or LOST."""
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
    sums = end - begin - low  # where those of the states begin in the room
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
def renew(net, f, e, messages, damping, maximize, into, work, out):
    """out: damped message of factor f to the node of edge e; FINE, NOTHING or LOST, and its change undamped."""
    low, high = net.offset[e], net.offset[e + 1]
    kept, change = work.shape[0] - high, 0.0  # where the old ones are kept in the room
    for i in range(low, high):
        work[kept + i] = messages[i]
    code = emit(net, f, e, maximize, into, work, out)
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
def sweep(net, order, edge, messages, damping, maximize, into, work, out):
    """out: messages of factors in an order, which may be `messages`, so that each sees the ones before it.

    `edge` is `net.edge` for that order. FINE, NOTHING or LOST, and the largest change of a message undamped.
    """
    behind, worst = np.zeros(net.start[net.start.shape[0] - 1]), 0.0
    for v in range(net.start.shape[0] - 1):
        look_ahead(net, v, edge, messages, into)
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
            code, change = renew(net, f, e, messages, damping, maximize, into, work, out)
            if code != FINE:
                return code, worst
            worst = max(worst, change)
            move = net.start[net.node[e]] - net.offset[e]
            for i in range(net.offset[e], net.offset[e + 1]):
                behind[i + move] += messages[i]
    return FINE, worst


@njit(**OPTIONS)
def rank(tree, f, value):
    """Set the value of leaf f in a tree of largest values."""
    at = tree.shape[0] // 2 + f
    tree[at] = value
    while at > 1:
        at //= 2
        tree[at] = max(tree[2 * at], tree[2 * at + 1])


@njit(**OPTIONS)
def foresee(net, f, messages, damping, maximize, into, work, fresh, tree):
    """fresh: the messages that factor f would send; ranks it by their largest change. FINE, NOTHING or LOST."""
    worst = 0.0
    for e in range(net.scope[f], net.scope[f + 1]):
        code, change = renew(net, f, e, messages, damping, maximize, into, work, fresh)
        if code != FINE:
            return code
        worst = max(worst, change)
    rank(tree, f, worst)
    return FINE


@njit(**OPTIONS)
def foresee_all(net, messages, damping, maximize, into, work, fresh, tree):
    """`foresee` all factors."""
    code = gather_all(net, messages, into, work)
    f = 0
    while code == FINE and f < net.scope.shape[0] - 1:
        code = foresee(net, f, messages, damping, maximize, into, work, fresh, tree)
        f += 1
    return code


@njit(**OPTIONS)
def sweep_by_residual(net, messages, damping, maximize, into, work, fresh, tree):
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
        rank(tree, f, 0.0)
        for e in range(net.scope[f], net.scope[f + 1]):
            code = gather(net, net.node[e], messages, into, work)
            if code != FINE:
                return code, np.inf
        for e in range(net.scope[f], net.scope[f + 1]):
            v = net.node[e]
            for k in range(net.incident[v], net.incident[v + 1]):
                other = net.factor[net.edge[k]]
                if other != f or damping > 0.0:  # a damped factor has more to say
                    code = foresee(net, other, messages, damping, maximize, into, work, fresh, tree)
                    seen += 1
                    if code != FINE:
                        return code, np.inf
    return FINE, tree[1]
