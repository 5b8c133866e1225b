"""What the kernels are made of: translated CasADi operations, elementary functions, random streams, lanes."""

import math

import casadi as ca
import numpy as np
import pytest
from numba import njit
from scipy import stats

from ppi_robotics.errors import PlantError
from ppi_robotics.kernels import scalar
from ppi_robotics.kernels.compiler import build
from ppi_robotics.kernels.lanes import add_product, load, normals
from ppi_robotics.kernels.translate import BINARY, UNARY, lane_function

LANES = 16
X, Y = ca.SX.sym("x"), ca.SX.sym("y")
OPERATIONS = {
    "add": X + Y,
    "subtract": X - Y,
    "multiply": X * Y,
    "divide": X / Y,
    "power": ca.fabs(X) ** Y,
    "constant power": ca.fabs(X) ** 2.7,
    "negative constant power": X**-3,
    "square": X**2,
    "twice": 2 * X,
    "inverse": 1 / X,
    "negative": -X,
    "smaller": ca.fmin(X, Y),
    "larger": ca.fmax(X, Y),
    "less": X < Y,
    "at most": X <= Y,
    "equal": ca.floor(X) == ca.floor(Y),
    "not equal": ca.floor(X) != ca.floor(Y),
    "and": ca.logic_and(X > 0, Y > 0),
    "or": ca.logic_or(X > 0, Y > 0),
    "not": ca.logic_not(X > 0),
    "if else": ca.if_else(X > Y, ca.sin(X), Y**3),
    "nested if else": ca.if_else(X > 0, ca.if_else(Y > 0, X * Y, -1.5), ca.exp(Y)),
    "remainder of a division": ca.fmod(X, Y),
    "nearest remainder": ca.remainder(X, Y),
    "copied sign": ca.copysign(X, Y),
    "angle": ca.atan2(X, Y),
    "hypotenuse": ca.hypot(X, Y),
    "sine": ca.sin(X),
    "cosine": ca.cos(X),
    "tangent": ca.tan(X),
    "square root": ca.sqrt(ca.fabs(X)),
    "absolute": ca.fabs(X),
    "exponential": ca.exp(X),
    "logarithm": ca.log(ca.fabs(X)),
    "arc sine": ca.asin(X / 4),
    "arc cosine": ca.acos(X / 4),
    "arc tangent": ca.atan(X),
    "hyperbolic sine": ca.sinh(X),
    "hyperbolic cosine": ca.cosh(X),
    "hyperbolic tangent": ca.tanh(X),
    "inverse hyperbolic sine": ca.asinh(X),
    "inverse hyperbolic cosine": ca.acosh(1 + X * X),
    "inverse hyperbolic tangent": ca.atanh(X / 4),
    "floor": ca.floor(X),
    "ceiling": ca.ceil(X),
    "error function": ca.erf(X),
    "log of one plus": ca.log1p(ca.fabs(X)),
    "exponential minus one": ca.expm1(X),
    "sign": ca.sign(X),
    "sign of zero": ca.sign(0 * X),
    "constants": 3.25 * X - 1e-7 * Y + math.pi,
    "constant alone": ca.SX(4.2),
    "zero": ca.SX(0),
    "softmax": ca.logsumexp(ca.vertcat(X, Y, 1.0)),
    "norm": ca.norm_2(ca.vertcat(X, Y, 0.3)),
}


def points(n):
    rng = np.random.default_rng(0)
    return rng.uniform(-3.5, 3.5, size=(2, n))


def translated(name, outputs):
    """A compiled function of x, y (1, LANES) into one array per output, and its constants."""
    constants = []
    text = lane_function(name, {"x": X, "y": Y}, outputs, constants)
    return getattr(build(name, LANES, {}, (text,), ()), name), np.array(constants or [0.0])


def test_translated_operations_equal_casadi():
    expression = ca.vertcat(*OPERATIONS.values())
    kernel, constants = translated("every_operation", {"v": expression})
    x, y = points(LANES)
    v = np.empty((len(OPERATIONS), LANES))
    kernel(x[None], y[None], constants, v)
    expected = np.array(ca.Function("f", [X, Y], [expression]).map(LANES)(x, y))
    for row, name in enumerate(OPERATIONS):
        np.testing.assert_allclose(v[row], expected[row], rtol=1e-13, atol=1e-13, err_msg=name)


def test_every_operation_of_the_translator_is_tested():
    functions = [ca.Function("f", [X, Y], [e]) for e in OPERATIONS.values()]
    seen = {f.instruction_id(k) for f in functions for k in range(f.n_instructions())}
    assert (set(BINARY) | set(UNARY)) - seen <= {ca.OP_ASSIGN}


EXTREMES = [math.nan, math.inf, 0.0, 5e-324, 1e-310, 2.3e-308, 1e-8, 1 / 3, 0.5, 1.0, 2.0, 2.5, 3.0, 22 / 7, 8.0, 710.0]
EXTREMES += [99_999_999.7, 1e17, 2.0**52 + 1, 2.0**53, 2.0**63, 1e300, 1.7976931348623157e308]


def test_translated_operations_equal_casadi_at_extreme_numbers():
    bare = {
        "power": X**Y,
        "constant power": X**2.7,
        "root": ca.sqrt(X),
        "logarithm": ca.log(X),
        "log of one plus": ca.log1p(X),
        "arc sine": ca.asin(X),
        "arc cosine": ca.acos(X),
        "inverse hyperbolic cosine": ca.acosh(X),
        "inverse hyperbolic tangent": ca.atanh(X),
        "if": ca.if_else(X, Y, 2.5),
        "and": ca.logic_and(X, Y),
        "or": ca.logic_or(X, Y),
        "not": ca.logic_not(X),
        "equal": X == Y,
        "not equal": X != Y,
    }
    # roundings of a sum or of another base of logarithms are not what is compared here
    operations = {n: e for n, e in OPERATIONS.items() if n not in ("constants", "softmax", "norm")} | bare
    expression = ca.vertcat(*operations.values())
    kernel, constants = translated("every_operation_bare", {"v": expression})
    values = np.array(EXTREMES + [-v for v in EXTREMES])
    x, y = (v.ravel() for v in np.meshgrid(values, values))
    lanes = -(-len(x) // LANES) * LANES
    x, y = np.resize(x, lanes), np.resize(y, lanes)
    v = np.empty((len(operations), lanes))
    for k in range(0, lanes, LANES):
        block = np.empty((len(operations), LANES))
        kernel(x[None, k : k + LANES].copy(), y[None, k : k + LANES].copy(), constants, block)
        v[:, k : k + LANES] = block
    expected = np.array(ca.Function("f", [X, Y], [expression]).map(lanes)(x, y))
    far = np.abs(x) > scalar.LARGEST_ANGLE
    for row, name in enumerate(operations):
        if name in ("sine", "cosine", "tangent"):
            expected[row, far] = math.nan
        if name == "if else":
            expected[row, far & (x > y)] = math.nan
        # 1e-320: subnormal numbers have few digits
        np.testing.assert_allclose(v[row], expected[row], rtol=1e-13, atol=1e-320, err_msg=name)


def test_matrices_are_laid_out_by_rows():
    kernel, constants = translated(
        "two_matrices", {"first": ca.blockcat([[X, Y, 1], [X * Y, 0, X + Y]]), "second": ca.horzcat(Y, X)}
    )
    (x, y), first, second = points(LANES), np.empty((6, LANES)), np.empty((2, LANES))
    kernel(x[None], y[None], constants, first, second)
    np.testing.assert_array_equal(first, [x, y, np.ones(LANES), x * y, np.zeros(LANES), x + y])
    np.testing.assert_array_equal(second, [y, x])


def test_other_numbers_give_the_same_text():
    texts, lists = [], []
    for mass in (1.3, 7.9):
        lists.append([])
        texts.append(lane_function("f", {"x": X}, {"v": ca.sin(X) / mass + mass}, lists[-1]))
    assert texts[0] == texts[1]
    assert lists == [[1.3], [7.9]] or lists == [[1.3, 1.3], [7.9, 7.9]]


def test_unknown_operations_are_refused():
    with pytest.raises(PlantError, match="cannot be compiled"):
        lane_function("f", {"x": X}, {"v": ca.erfinv(X)}, [])


# -- elementary functions ----------------------------------------------------------------------------------------------


@njit
def sines_and_cosines(x):
    s, c = np.empty_like(x), np.empty_like(x)
    for i in range(len(x)):
        s[i], c[i] = scalar.sin(x[i]), scalar.cos(x[i])
    return s, c


@njit
def logarithms(x):
    y = np.empty_like(x)
    for i in range(len(x)):
        y[i] = scalar.log_unit(x[i])
    return y


def angles():
    """Random angles of every size, and the floats next to multiples of a quarter turn, where reduction is hardest."""
    rng = np.random.default_rng(1)
    scattered = np.concatenate(
        [scale * rng.uniform(-1, 1, 100_000) for scale in (1e-8, 1e-3, 1.0, 10.0, 1e3, 1e5, 1e8)]
    )
    turns = np.concatenate([np.arange(-63_661, 63_662), 63_661_977 - np.arange(50_000), rng.integers(0, 6e7, 50_000)])
    quarters = turns * (np.pi / 2)
    near = np.concatenate(
        [quarters, np.nextafter(quarters, np.inf), np.nextafter(quarters, -np.inf), quarters + np.pi / 4]
    )
    return np.concatenate([scattered, near[np.abs(near) <= 1e8], [0.0, -0.0, 1e8, -1e8]])


def test_sine_and_cosine_are_accurate_to_1e_14():
    x = angles()
    s, c = sines_and_cosines(x)
    wide = x.astype(np.longdouble)
    assert np.abs(s - np.sin(wide)).max() < 1e-14
    assert np.abs(c - np.cos(wide)).max() < 1e-14


def test_sine_and_cosine_hold_their_symmetries():
    x = np.abs(angles())
    (s, c), (s_minus, c_minus) = sines_and_cosines(x), sines_and_cosines(-x)
    np.testing.assert_array_equal(s_minus, -s)
    np.testing.assert_array_equal(c_minus, c)
    assert np.abs(s**2 + c**2 - 1).max() < 1e-14


def test_sine_of_what_is_not_finite_or_too_large_is_not_a_number():
    for values in sines_and_cosines(np.array([np.nan, np.inf, -np.inf, np.nextafter(1e8, 2e8), -1e9, 1e300])):
        assert np.isnan(values).all()


def test_logarithm_is_accurate_over_the_range_of_the_uniforms():
    rng = np.random.default_rng(2)
    x = np.concatenate([[1.0, 2.0**-52, 1 - 2.0**-52], rng.uniform(0, 1, 100_000), 2.0 ** rng.uniform(-52, 0, 100_000)])
    exact = np.log(x.astype(np.longdouble))
    assert np.abs((logarithms(x) - exact) / np.where(exact == 0, 1, exact)).max() < 1e-15


# -- random numbers ----------------------------------------------------------------------------------------------------

MASK = 2**64 - 1
KNOWN_ANSWERS = [  # key, counter, result: Random123's published vectors for threefry2x64 with 20 rounds
    ((0, 0), (0, 0), (0xC2B6E3A8C2C69865, 0x6F81ED42F350084D)),
    ((MASK, MASK), (MASK, MASK), (0xE02CB7C4D95D277A, 0xD06633D0893B8B68)),
    (
        (0xA4093822299F31D0, 0x082EFA98EC4E6C89),
        (0x243F6A8885A308D3, 0x13198A2E03707344),
        (0x263C7D30BB0F0AF1, 0x56BE8361D3311526),
    ),
]


def threefry(key, counter):
    """Threefry-2x64-20 in integers: four rounds, then the next two words of the key schedule, five times."""
    schedule = (*key, 0x1BD11BDAA9FC1A22 ^ key[0] ^ key[1])
    x = [(counter[0] + key[0]) & MASK, (counter[1] + key[1]) & MASK]
    for turn, bits in enumerate((16, 42, 12, 31, 16, 32, 24, 21) * 2 + (16, 42, 12, 31)):
        x[0] = (x[0] + x[1]) & MASK
        x[1] = (x[1] << bits & MASK | x[1] >> 64 - bits) ^ x[0]
        if turn % 4 == 3:
            n = turn // 4 + 1
            x = [(x[0] + schedule[n % 3]) & MASK, (x[1] + schedule[(n + 1) % 3] + n) & MASK]
    return tuple(x)


@njit
def compiled_threefry(k0, k1, x0, x1):
    return scalar.threefry(k0, k1, x0, x1)


@pytest.mark.parametrize(("key", "counter", "answer"), KNOWN_ANSWERS)
def test_threefry_gives_the_published_answers(key, counter, answer):
    assert threefry(key, counter) == answer
    assert tuple(int(word) for word in compiled_threefry(*map(np.uint64, key + counter))) == answer


def test_threefry_equals_integer_arithmetic():
    rng = np.random.default_rng(3)
    for words in rng.integers(0, MASK, size=(200, 4), dtype=np.uint64, endpoint=True):
        integers = [int(word) for word in words]
        assert tuple(int(word) for word in compiled_threefry(*words)) == threefry(
            tuple(integers[:2]), tuple(integers[2:])
        )


def draw(seed=0, stream=0, sample=0, stage=0, rows=2, lanes=LANES):
    z = np.empty((rows, lanes))
    normals(np.uint64(seed), np.uint64(stream), sample, stage, z)
    return z


def test_normals_follow_box_and_muller():
    for seed, stream, sample, stage in ((0, 0, 0, 0), (MASK, 2, 10**12, 149)):
        a, b = threefry((seed, stream), (sample, stage))
        radius = math.sqrt(-2 * math.log(1 - (a >> 12) * 2.0**-52))
        angle = 2 * math.pi * (b >> 12) * 2.0**-52
        z = draw(seed, stream, sample, stage, lanes=1)[:, 0]
        np.testing.assert_allclose(z, [radius * math.cos(angle), radius * math.sin(angle)], rtol=0, atol=1e-14)


def test_normals_have_the_moments_and_the_distribution_of_a_normal():
    z = draw(rows=4, lanes=250_000).ravel()
    n = z.size
    assert abs(z.mean()) < 4 / math.sqrt(n)
    assert abs(z.var() - 1) < 4 * math.sqrt(2 / n)
    assert abs(stats.skew(z)) < 4 * math.sqrt(6 / n)
    assert abs(stats.kurtosis(z)) < 4 * math.sqrt(24 / n)
    assert stats.kstest(z[:200_000], "norm").pvalue > 1e-3


@pytest.mark.parametrize("seeds", [(0, 0), (0, 1), (5, 6), (MASK, 0)])
def test_normals_are_independent_across_rows_samples_stages_streams_and_seeds(seeds):
    n, first = 200_000, seeds[0]
    z = draw(first, lanes=n)
    others = [
        draw(first, stage=1, lanes=n),
        draw(first, stream=1, lanes=n),
        draw(first, stream=2, lanes=n),
        draw(first, sample=1, lanes=n),
    ]
    others += [draw(first, sample=n, lanes=n), z[::-1]] + [draw(seeds[1], lanes=n)] * (seeds[0] != seeds[1])
    for other in others:
        for f in (lambda v: v, np.abs, np.square):
            correlation = np.corrcoef(f(z).ravel(), f(other).ravel())[0, 1]
            assert abs(correlation) < 4.5 / math.sqrt(2 * n)  # 4.5 standard errors, some 60 comparisons


def test_a_sample_meets_the_same_noise_in_any_block():
    for rows in (1, 2, 3, 5):
        whole = draw(3, 1, 1000, 7, rows, 64)
        for lane in (0, 1, 31, 63):
            np.testing.assert_array_equal(whole[:, lane], draw(3, 1, 1000 + lane, 7, rows, 1)[:, 0])
        np.testing.assert_array_equal(whole[:, 16:48], draw(3, 1, 1016, 7, rows, 32))


def test_no_two_stages_samples_or_rows_share_a_number():
    z = np.concatenate([draw(stage=t, rows=3, lanes=1000).ravel() for t in range(50)])
    assert len(np.unique(z)) == z.size
    assert np.isfinite(z).all()


# -- lanes -------------------------------------------------------------------------------------------------------------


def test_load_turns_rows_into_lanes_and_repeats_the_last():
    rows, lanes = np.arange(15.0).reshape(5, 3), np.empty((3, 4))
    load(rows, 2, lanes)
    np.testing.assert_array_equal(lanes, rows[[2, 3, 4, 4]].T)


def test_add_product_is_a_matrix_product():
    rng = np.random.default_rng(4)
    M, z, y = rng.normal(size=(3, 2)), rng.normal(size=(2, LANES)), rng.normal(size=(3, LANES))
    M[1, 0] = 0.0
    expected = y + M @ z
    add_product(M, z, y)
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-15)
