"""Counts of blocks at n locations of a ring as packed keys: representatives up to symmetry, and messages over them.

Location i takes the bits from i * bits of a key; its representative is the largest key among its turns and mirror
images. `group` holds the turns by r locations that count, and the turns of mirror images that count.

Messages span more powers of two than a float has. Wide numbers keep the 44 leading bits of a float's mantissa and leave
19 bits for the exponent, so that one load fetches a number; 0 is zero.
"""

import math

import numpy as np

from ppi_robotics.kernels.outside import INLINED, OPTIONS, njit

MANTISSA = 44  # bits
ONE, FLOAT_ONE = 1 << MANTISSA, 1023 << 52  # the leading bit; the bits of 1.0
CUT = 52 - MANTISSA  # bits of a float's mantissa that are rounded away
BIAS = 1 << 18  # of exponents
GUARD = 10  # bits below the mantissa that sums keep; a sum of 3 n terms has to stay below 2^63
MIX = 0x1E3779B97F4A7C15  # multiplier that spreads keys over a table


# -- keys --------------------------------------------------------------------------------------------------------------


@njit(**INLINED)
def turned(key, fields, n, bits):
    """A key turned by some locations."""
    whole = n * bits
    return ((key << (fields * bits)) & ((1 << whole) - 1)) | (key >> (whole - fields * bits))


@njit(**INLINED)
def mirrored(key, n, bits):
    """A key with its locations in reverse order."""
    result, mask = 0, (1 << bits) - 1
    for _ in range(n):
        result = result << bits | key & mask
        key >>= bits
    return result


@njit(**INLINED)
def representative(key, n, bits, group):
    """The largest key among the images of a key."""
    turns, mirror_turns = group
    best = key
    for i in range(turns.shape[0]):
        best = max(best, turned(key, turns[i], n, bits))
    if mirror_turns.shape[0]:
        image = mirrored(key, n, bits)
        for i in range(mirror_turns.shape[0]):
            best = max(best, turned(image, mirror_turns[i], n, bits))
    return best


@njit(**INLINED)
def represents(key, n, bits, group):
    """Whether a key is the largest of its images."""
    turns, mirror_turns = group
    for i in range(turns.shape[0]):
        if turned(key, turns[i], n, bits) > key:
            return False
    if mirror_turns.shape[0]:
        image = mirrored(key, n, bits)
        for i in range(mirror_turns.shape[0]):
            if turned(image, mirror_turns[i], n, bits) > key:
                return False
    return True


@njit(**OPTIONS)
def enumerate_keys(n, m, bits, group, keys):
    """Fill in the representatives of all ways to lay m blocks at n locations, in ascending order; returns how many."""
    x = np.zeros(n + 1, dtype=np.int64)
    x[0], key, count, first = m, m, 0, 0
    while True:
        if represents(key, n, bits, group):
            if count < keys.shape[0]:
                keys[count] = key
            count += 1
        while x[first] == 0:
            first += 1
        if first == n - 1:
            return count
        # the lowest pile gives one block to the next location, and the rest of it goes to location 0
        height = x[first]
        x[first] = 0
        x[0] = height - 1
        x[first + 1] += 1
        key += (height - 1) - (height << (first * bits)) + (1 << ((first + 1) * bits))
        first = 0


@njit(**OPTIONS)
def fill_table(keys, table):
    """Enter the places of keys in a table of open addresses; its length is a power of two, -1 is empty."""
    mask = table.shape[0] - 1
    for i in range(keys.shape[0]):
        slot = ((keys[i] * MIX) >> 24) & mask
        while table[slot] >= 0:
            slot = (slot + 1) & mask
        table[slot] = i


@njit(**INLINED)
def find(key, keys, table):
    """Place of a key; the number of keys if there is none."""
    mask = table.shape[0] - 1
    slot = ((key * MIX) >> 24) & mask
    while table[slot] >= 0:
        if keys[table[slot]] == key:
            return table[slot]
        slot = (slot + 1) & mask
    return np.int32(keys.shape[0])


@njit(**OPTIONS)
def fill_moves(first, last, source, n, bits, group, keys, table, moves):
    """Fill in places after moves of a block: column 2 k from k to k - 1, 2 k + 1 to k + 1; of keys source[first:last].

    Places are unsigned, which saves a look at the sign with every use. From empty locations moves lead to the number of
    keys.
    """
    mask = (1 << bits) - 1
    for i in range(first, last):
        key = source[i]
        for k in range(n):
            if key >> (k * bits) & mask == 0:
                moves[i, 2 * k] = moves[i, 2 * k + 1] = keys.shape[0]
                continue
            rest = key - (1 << (k * bits))
            for side in range(2):
                there = (k + 2 * side - 1 + n) % n
                moves[i, 2 * k + side] = find(representative(rest + (1 << (there * bits)), n, bits, group), keys, table)


@njit(**OPTIONS)
def find_all(source, n, bits, group, keys, table, places):
    """Fill in the places of the representatives of keys."""
    for i in range(source.shape[0]):
        places[i] = find(representative(source[i], n, bits, group), keys, table)


# -- messages ----------------------------------------------------------------------------------------------------------


@njit(**INLINED)
def widened(value, exponent):
    """The wide number value * 2^exponent of a positive float."""
    return ((np.float64(value).view(np.int64) + (1 << (CUT - 1))) >> CUT) + ((exponent + BIAS - 1023) << MANTISSA)


@njit(**INLINED)
def leading(wide):
    """The mantissa of a wide number, from 1 to 2."""
    return np.int64((wide & (ONE - 1)) << CUT | FLOAT_ONE).view(np.float64)


@njit(**INLINED)
def aligned(wide, top):
    """A wide number as a multiple of 2^(top - MANTISSA - GUARD), rounded down."""
    return (((wide & (ONE - 1)) | ONE) << GUARD) >> min(top - (wide >> MANTISSA), 63)


@njit(**OPTIONS)
def widen_exponentials(logs, out):
    """Wide numbers exp(log)."""
    for i in range(logs.shape[0]):
        power = logs[i] / math.log(2.0)
        whole = math.floor(power)
        out[i] = widened(2.0 ** (power - whole), int(whole))


@njit(**OPTIONS)
def backward(first, last, moves, chance, weights, ahead, message, out):
    """message = sum over actions of q ahead(next state), and out = weight * message, of states first to last - 1.

    All are wide numbers, ahead with a zero in the end, for forbidden moves. chance[i] is the probability of an action
    where i moves are forbidden; without weights out is the message. Returns the least and the largest exponent.
    """
    nowhere, n, low, high = ahead.shape[0] - 1, moves.shape[1] // 2, 1 << 19, 0
    near = np.empty(2 * n, dtype=np.int64)
    for i in range(first, last):
        top, forbidden = ahead[i], 0
        for j in range(2 * n):
            near[j] = ahead[moves[i, j]]
            top = max(top, near[j])
            forbidden += moves[i, j] == nowhere
        if top == 0:
            message[i] = out[i] = 0
            continue
        top >>= MANTISSA
        total = n * aligned(ahead[i], top)  # whatever k is, nothing moves with l = 0
        for j in range(2 * n):
            total += aligned(near[j], top)
        own = widened(total * chance[forbidden], top - BIAS - MANTISSA - GUARD)
        message[i] = own
        low, high = min(low, own >> MANTISSA), max(high, own >> MANTISSA)
        if weights.shape[0]:
            exponent = (own >> MANTISSA) + (weights[i] >> MANTISSA) - 2 * BIAS
            own = widened(leading(own) * leading(weights[i]), exponent)
        out[i] = own
    return low, high


@njit(**OPTIONS)
def shorten(first, last, wide, base, dropped, out):
    """Numbers without the last bits, exponents from base on; rounded, and zero stays zero."""
    for i in range(first, last):
        short = (wide[i] - (base << MANTISSA) + ((1 << dropped) >> 1)) >> dropped
        out[i] = short if wide[i] > 0 else 0


@njit(**OPTIONS)
def forward(moves, chance, log_message, log_ahead, p, after, actions):
    """Carry probabilities p of states one stage on to `after`, and add up those of moves (2 n + 1), the last no move.

    log_message of the states at this stage, log_ahead of those at the next, with -inf in the end.
    """
    nowhere, n = log_ahead.shape[0] - 1, moves.shape[1] // 2
    after[:] = 0.0
    for i in range(p.shape[0]):
        if p[i] == 0.0:
            continue
        forbidden = 0
        for j in range(2 * n):
            forbidden += moves[i, j] == nowhere
        share = p[i] * chance[forbidden]
        stays = n * share * math.exp(log_ahead[i] - log_message[i])
        after[i] += stays
        actions[2 * n] += stays
        for j in range(2 * n):
            if moves[i, j] != nowhere:
                goes = share * math.exp(log_ahead[moves[i, j]] - log_message[i])
                after[moves[i, j]] += goes
                actions[j] += goes
