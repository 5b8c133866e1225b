"""Agents that choose among classes, and places that reward two of them: sums over capped counts, messages, and walks.

    Z  =  sum over classes c_1 ... c_M  of  prod_i w_i(c_i)  prod_j exp(gain_j [at least two agents have class j])

Class 0 is no place, class j + 1 the place j of S. What matters of the agents before one is how many have each class,
0, 1 or at least 2: one of 3^S numbers, in the order of base 3. All weights and messages are logarithms.

Walks over cells take every allowed move with the same probability; `moves` (N, A) has the cells that can be reached in
one move, -1 for a move that is not allowed.
"""

import math

import numpy as np

from ppi_robotics.kernels.outside import INLINED, OPTIONS, njit


@njit(**OPTIONS)
def add(a, b):
    """log(e^a + e^b)."""
    if a < b:
        a, b = b, a
    return a if b == -np.inf else a + math.log1p(math.exp(b - a))


@njit(**INLINED)
def after(c, power):
    """Counts c once another agent has the class of a place with a power of 3."""
    return c + power if (c // power) % 3 < 2 else c


@njit(**OPTIONS)
def ends(gains, costs, value, mean):
    """Log weight and cost of all counts, from those of the places."""
    for c in range(value.shape[0]):
        power, value[c], mean[c] = 1, 0.0, 0.0
        for j in range(gains.shape[0]):
            if (c // power) % 3 == 2:
                value[c] += gains[j]
                mean[c] += costs[j]
            power *= 3


@njit(**OPTIONS)
def backward(weights, own, own_variance, value, mean, variance):
    """value[i, c]: log of the sum over agents from i, by the counts c of those before; value[M] is given.

    mean and variance (3^S,): of the cost, given for no agents and then updated in place; own (M, S + 1) is the cost of
    every class itself, and own_variance (M,) the variance of that of class 0.
    """
    M, S = weights.shape[0], weights.shape[1] - 1
    powers = 3 ** np.arange(S)
    terms, places = np.empty(S + 1), np.empty(S + 1, np.int64)
    for i in range(M - 1, -1, -1):
        for c in range(value.shape[1]):  # later counts still have the numbers of the agents after i
            top = -np.inf
            for k in range(S + 1):
                terms[k] = -np.inf
                if weights[i, k] > -np.inf:
                    places[k] = c if k == 0 else after(c, powers[k - 1])
                    terms[k] = weights[i, k] + value[i + 1, places[k]]
                    top = max(top, terms[k])
            if top == -np.inf:
                value[i, c] = -np.inf
                continue
            total, first, second = 0.0, 0.0, 0.0
            for k in range(S + 1):
                if terms[k] > -np.inf:
                    terms[k] = math.exp(terms[k] - top)
                    total += terms[k]
                    first += terms[k] * (own[i, k] + mean[places[k]])
            first /= total
            for k in range(S + 1):
                if terms[k] > -np.inf:
                    off = own[i, k] + mean[places[k]] - first
                    second += terms[k] * (variance[places[k]] + off * off + (own_variance[i] if k == 0 else 0.0))
            value[i, c], mean[c], variance[c] = top + math.log(total), first, second / total


@njit(**OPTIONS)
def forward(weights, value, counts, classes):
    """classes (M, S + 1): probabilities of classes; counts (3^S,): log weights of the counts of all agents.

    value (M + 1, 3^S) is that of `backward`.
    """
    M, S, log_partition = weights.shape[0], weights.shape[1] - 1, value[0, 0]
    powers = 3 ** np.arange(S)
    terms = np.empty(2 * S + 1)
    counts[:], classes[:] = -np.inf, 0.0
    counts[0] = 0.0
    for i in range(M):
        for c in range(counts.shape[0]):
            if counts[c] == -np.inf:
                continue
            for k in range(S + 1):
                if weights[i, k] > -np.inf:
                    d = c if k == 0 else after(c, powers[k - 1])
                    classes[i, k] += math.exp(counts[c] + weights[i, k] + value[i + 1, d] - log_partition)
        for c in range(counts.shape[0] - 1, -1, -1):  # earlier counts still have the numbers of the agents before i
            n, top = 1, counts[c] + weights[i, 0]
            terms[0] = top
            for j in range(S):
                digit = (c // powers[j]) % 3
                if weights[i, j + 1] == -np.inf or digit == 0:
                    continue
                terms[n] = counts[c - powers[j]] + weights[i, j + 1]
                top, n = max(top, terms[n]), n + 1
                if digit == 2:
                    terms[n] = counts[c] + weights[i, j + 1]
                    top, n = max(top, terms[n]), n + 1
            counts[c] = top
            if top > -np.inf:
                total = 0.0
                for k in range(n):
                    total += math.exp(terms[k] - top)
                counts[c] += math.log(total)


@njit(**OPTIONS)
def met(counts, value, out):
    """out (S,): probabilities that at least two agents have the class of a place; value (3^S,) that of `ends`."""
    out[:] = 0.0
    top = (counts + value).max()
    total = 0.0
    for c in range(counts.shape[0]):
        share, power = math.exp(counts[c] + value[c] - top), 1
        total += share
        for j in range(out.shape[0]):
            if (c // power) % 3 == 2:
                out[j] += share
            power *= 3
    out /= total


@njit(**OPTIONS)
def least(reachable, own, cost):
    """cost (3^S,): least cost by counts so far, given for no agents; afterwards of all, in place."""
    M, S = reachable.shape[0], reachable.shape[1] - 1
    powers = 3 ** np.arange(S)
    for i in range(M - 1, -1, -1):
        for c in range(cost.shape[0]):
            best = np.inf
            for k in range(S + 1):
                if reachable[i, k]:
                    best = min(best, own[i, k] + cost[c if k == 0 else after(c, powers[k - 1])])
            cost[c] = best


@njit(**OPTIONS)
def to_place(weights, ratios, j, out):
    """out (2, M): log probabilities that agents are not and are at place j, by the messages of the other places.

    ratios (S, M): log of the message of a place to an agent, being there relative to not being there.
    """
    for i in range(weights.shape[0]):
        other = weights[i, 0]
        for k in range(weights.shape[1] - 1):
            if k != j and weights[i, k + 1] > -np.inf:
                other = add(other, weights[i, k + 1] + ratios[k, i])
        total = add(other, weights[i, j + 1])
        out[0, i], out[1, i] = other - total, weights[i, j + 1] - total


@njit(**OPTIONS)
def from_place(agents, gain, rest, out):
    """out (M,): messages of a place to agents, from theirs (2, M) to it.

    rest (M + 1, 3): room for the log of the sum over the later agents, by the count of the earlier ones.

    Returns:
      log of the place's sum, and of its part with two agents or more there.
    """
    M = agents.shape[1]
    rest[M] = (0.0, 0.0, gain)
    for i in range(M - 1, -1, -1):
        for c in range(3):
            rest[i, c] = add(agents[0, i] + rest[i + 1, c], agents[1, i] + rest[i + 1, min(c + 1, 2)])
    none, one, two = 0.0, -np.inf, -np.inf
    for i in range(M):
        away = add(add(none + rest[i + 1, 0], one + rest[i + 1, 1]), two + rest[i + 1, 2])
        there = add(none + rest[i + 1, 1], add(one, two) + rest[i + 1, 2])
        out[i] = there - away
        two = add(two, one + agents[1, i])
        one = add(one + agents[0, i], none + agents[1, i])
        none += agents[0, i]
    return rest[0, 0], two + gain


@njit(**INLINED)
def belief_of(weights, ratios, i, out):
    """out (S + 1,): log probabilities of the classes of an agent by messages, up to the constant that is returned."""
    out[0] = total = weights[i, 0]
    for k in range(1, out.shape[0]):
        out[k] = weights[i, k] + ratios[k - 1, i] if weights[i, k] > -np.inf else -np.inf
        total = add(total, out[k]) if weights[i, k] > -np.inf else total
    return total


@njit(**OPTIONS)
def classes_of(weights, ratios, out):
    """out (M, S + 1): probabilities of classes by messages."""
    for i in range(weights.shape[0]):
        total = belief_of(weights, ratios, i, out[i])
        for k in range(weights.shape[1]):
            out[i, k] = math.exp(out[i, k] - total)


@njit(**OPTIONS)
def free_energy(weights, gains, ratios, out, rest):
    """Bethe free energy of messages; out (S,) the beliefs of the places that two agents or more are there."""
    M, S, energy = weights.shape[0], gains.shape[0], 0.0
    agents, again, classes = np.empty((2, M)), np.empty(M), np.empty(S + 1)
    for i in range(M):
        energy -= belief_of(weights, ratios, i, classes)
    for j in range(S):
        to_place(weights, ratios, j, agents)
        total, met = from_place(agents, gains[j], rest, again)
        energy -= total
        for i in range(M):
            energy += add(agents[0, i], agents[1, i] + ratios[j, i])
        out[j] = math.exp(met - total)
    return energy


@njit(**OPTIONS)
def propagate(weights, gains, ratios, damping, tolerance, most, trace):
    """Sweeps over the places: messages of all agents to a place, then those of the place; ratios (S, M) in place.

    Returns:
      Number of sweeps, the largest change of a message in the last one without damping, the largest difference then
      between the probabilities of agents and of places.
    """
    M, S = weights.shape[0], gains.shape[0]
    agents, fresh, rest, caught = np.empty((2, M)), np.empty(M), np.empty((M + 1, 3)), np.empty(S)
    for sweep in range(1, most + 1):
        change = 0.0
        for j in range(S):
            to_place(weights, ratios, j, agents)
            from_place(agents, gains[j], rest, fresh)
            for i in range(M):
                change = max(change, abs(fresh[i] - ratios[j, i]))
                ratios[j, i] = (1.0 - damping) * fresh[i] + damping * ratios[j, i]
        trace[sweep - 1] = free_energy(weights, gains, ratios, caught, rest)
        if change <= tolerance:
            break
    apart, classes = 0.0, np.empty((M, S + 1))
    classes_of(weights, ratios, classes)
    for j in range(S):
        to_place(weights, ratios, j, agents)
        from_place(agents, gains[j], rest, fresh)
        for i in range(M):
            there = agents[1, i] + fresh[i]
            apart = max(apart, abs(classes[i, j + 1] - math.exp(there - add(agents[0, i], there))))
    return sweep, change, apart


# -- walks -------------------------------------------------------------------------------------------------------------


@njit(**OPTIONS)
def walk_forward(moves, start, stages, out):
    """out (M, N): probabilities of the cells where walkers that start at cells (M,) are after stages (M,)."""
    N, A = moves.shape
    ahead = np.empty(N)
    for i in range(start.shape[0]):
        here = out[i]
        here[:] = 0.0
        here[start[i]] = 1.0
        for _ in range(stages[i]):
            ahead[:] = 0.0
            for x in range(N):
                if here[x] == 0.0:
                    continue
                count = 0
                for a in range(A):
                    count += moves[x, a] >= 0
                share = here[x] / count
                for a in range(A):
                    if moves[x, a] >= 0:
                        ahead[moves[x, a]] += share
            here[:] = ahead


@njit(**OPTIONS)
def walk_backward(moves, tilt, stages, out):
    """out (M, N): expected values of tilt (M, N) after some stages, by the cell where a walker is before them."""
    N, A = moves.shape
    share = np.empty(N)
    before = np.empty(N)
    for x in range(N):
        count = 0
        for a in range(A):
            count += moves[x, a] >= 0
        share[x] = 1.0 / count
    for i in range(tilt.shape[0]):
        here = out[i]
        here[:] = tilt[i]
        for _ in range(stages):
            for x in range(N):
                total = 0.0
                for a in range(A):
                    if moves[x, a] >= 0:
                        total += here[moves[x, a]]
                before[x] = share[x] * total
            here[:] = before
