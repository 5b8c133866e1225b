"""Symmetries of coupled chains: permutations of chains, and of actions with them, that leave the problem as it is.

The sum over all paths has them too, so an answer without one of them is one of several that are as good, between which
rounding has chosen. They are found along a chain of stabilizers (Sims, *Computational methods in the study of
permutation groups*, 1970), each by trying images of one chain after the other.
"""

import numpy as np


def symmetries(chains):
    """Permutations (of chains (n,), of actions (A,)) of which all symmetries of `CoupledChains` are products."""
    alike = _pairs(chains)
    n, found = len(alike), []
    for base in range(n):
        for image in range(base + 1, n):
            start = (*range(base), image)
            if _fits(alike, start, base):
                permutation = _complete(chains, alike, start)
                if permutation is not None:
                    found.append(permutation)
    return found


def asymmetry(chains, actions, levels):
    """Largest difference of probabilities of actions (T, A) and levels (T + 1, n, m + 1) to those of a symmetry."""
    worst = 0.0
    for of_chains, of_actions in symmetries(chains):
        worst = max(worst, np.abs(actions[:, of_actions] - actions).max())
        worst = max(worst, np.abs(levels[:, of_chains] - levels).max())
    return float(worst)


def _pairs(chains):
    """Numbers (n, n) that are equal where pairs of chains cannot be told apart, and of a chain with itself, chains."""
    n, kinds = len(chains.start), {}
    _, priors = np.unique(chains.log_prior, return_inverse=True)
    ends = chains.start if chains.goal is None else chains.start * (chains.top + 1) + chains.goal
    alike = np.empty((n, n), np.int64)
    for i in range(n):
        for j in range(n):
            codes = np.sort(9 * priors + 3 * (chains.shifts[:, i] + 1) + chains.shifts[:, j] + 1)
            kind = (codes.tobytes(), int(ends[i]), int(ends[j]), i == j)
            alike[i, j] = kinds.setdefault(kind, len(kinds))
    return alike


def _fits(alike, images, last):
    """Whether the image of a chain is to those of the ones before it as the chain is to these."""
    before = list(images[: last + 1])
    forth, back = alike[last, : last + 1], alike[: last + 1, last]
    return bool((alike[images[last], before] == forth).all() and (alike[before, images[last]] == back).all())


def _complete(chains, alike, start):
    """A symmetry with the first images given, or None."""
    waiting = [start]
    while waiting:
        images = waiting.pop()
        if len(images) == len(alike):
            of_actions = _of_actions(chains, images)
            if of_actions is not None:
                return np.array(images), of_actions
            continue
        for image in sorted(set(range(len(alike))).difference(images), reverse=True):
            if _fits(alike, (*images, image), len(images)):
                waiting.append((*images, image))
    return None


def _of_actions(chains, images):
    """The permutation of actions that goes with one of chains, or None."""
    moved = chains.shifts[:, list(images)]
    order, other = (np.lexsort((*rows.T, chains.log_prior)) for rows in (chains.shifts, moved))
    same = np.array_equal(chains.shifts[order], moved[other])
    if not same or not np.array_equal(chains.log_prior[order], chains.log_prior[other]):
        return None
    permutation = np.empty(len(order), np.int64)
    permutation[order] = other
    return permutation
