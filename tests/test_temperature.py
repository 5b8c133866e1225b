"""Rules from costs to weights: what each promises to attain, and what must not matter to any of them."""

import math

import numpy as np
import pytest
from oracles import close

from ppi_robotics.entropic import entropic
from ppi_robotics.errors import ProblemError
from ppi_robotics.sampling.weights import BOUNDS, LBPS, REPS, Elite, Fixed, TargetESS

RULES = {
    "fixed": Fixed(0.7),
    "ess": TargetESS(12),
    "ess share": TargetESS(0.3),
    "lbps": LBPS(),
    "lbps cautious": LBPS(0.05),
    "reps": REPS(0.5),
    "elite": Elite(7),
    "elite share": Elite(0.2),
}
TEMPERED = {name: rule for name, rule in RULES.items() if "elite" not in name}
ADAPTIVE = {name: rule for name, rule in TEMPERED.items() if name != "fixed"}
N = 60
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
every_tempered = pytest.mark.parametrize("rule", TEMPERED.values(), ids=TEMPERED)
every_adaptive = pytest.mark.parametrize("rule", ADAPTIVE.values(), ids=ADAPTIVE)


def sample(seed, ratios=False):
    """Costs with a heavy upper tail, and log-ratios."""
    rng = np.random.default_rng(seed)
    return 3.0 + 2.0 * rng.gamma(1.5, size=N), 0.5 * rng.normal(size=N) if ratios else np.zeros(N)


def effective(weights):
    return weights.sum() ** 2 / (weights**2).sum()


def boltzmann(costs, weight, log_ratio=0.0):
    raw = np.exp(-weight * (costs - costs.min()) + log_ratio)
    return raw / raw.sum()


# -- every rule --------------------------------------------------------------------------------------------------------


@every_rule
@pytest.mark.parametrize("ratios", [False, True])
def test_weights_are_normalized_and_agree_with_their_other_forms(rule, ratios):
    result = rule.weights(*sample(0, ratios))
    assert result.weights.sum() == pytest.approx(1.0, abs=1e-14)
    assert result.ess == pytest.approx(effective(result.weights), rel=1e-14)
    assert result.valid == N
    assert not result.log_weights.flags.writeable


@every_tempered
@pytest.mark.parametrize("ratios", [False, True])
def test_weights_and_free_energy_belong_to_the_inverse_temperature(rule, ratios):
    costs, log_ratio = sample(1, ratios)
    result = rule.weights(costs, log_ratio)
    close(result.weights, boltzmann(costs, result.lambda_policy, log_ratio), 1e-14)
    mass = np.exp(-result.lambda_policy * costs + log_ratio).mean()
    assert result.free_energy == pytest.approx(-math.log(mass) / result.lambda_policy, rel=1e-12)


@every_rule
@pytest.mark.parametrize("bad", [math.inf, math.nan, -math.inf])
def test_a_bad_sample_changes_nothing_but_itself(rule, bad):
    costs, log_ratio = sample(2, ratios=True)
    whole = rule.weights(costs, log_ratio)
    result = rule.weights(np.r_[bad, costs], np.r_[5.0, log_ratio])
    assert result.weights[0] == 0.0
    close(result.weights[1:], whole.weights, 0.0)
    assert result.valid == N
    assert result.ess == pytest.approx(whole.ess, rel=1e-14)
    if not isinstance(rule, Elite):
        assert result.lambda_policy == whole.lambda_policy
        shift = math.log((N + 1) / N) / whole.lambda_policy  # the mean is over all samples
        assert result.free_energy == pytest.approx(whole.free_energy + shift, rel=1e-12)


@every_rule
def test_nothing_is_left_of_bad_samples_alone(rule):
    result = rule.weights([math.nan, math.inf, -math.inf], np.zeros(3))
    close(result.weights, np.zeros(3), 0.0)
    assert (result.valid, result.ess) == (0, 0.0)
    if isinstance(rule, Elite):
        assert math.isnan(result.free_energy)
    else:
        assert result.free_energy == math.inf


@every_rule
@pytest.mark.parametrize("count", [1, 5])
def test_equal_costs_get_equal_weights(rule, count):
    result = rule.weights(np.full(count, 1e3), np.zeros(count))
    if isinstance(rule, Elite):
        assert result.ess == pytest.approx(min(rule.samples, count) if rule.samples >= 1 else 1)
        return
    close(result.weights, np.full(count, 1.0 / count), 1e-15)
    assert 0.0 < result.lambda_policy < math.inf
    assert result.free_energy == pytest.approx(1e3)


@every_tempered
def test_a_constant_on_all_costs_changes_nothing_but_the_free_energy(rule):
    costs, log_ratio = sample(3, ratios=True)
    a, b = rule.weights(costs, log_ratio), rule.weights(costs + 1e4, log_ratio)
    close(b.weights, a.weights, 1e-7)  # the refined minimum of LBPS is flat to rounding
    assert b.free_energy == pytest.approx(a.free_energy + 1e4, rel=1e-9)


@every_adaptive
@pytest.mark.parametrize("scale", [1e-12, 64.0, 1e150])
def test_scaled_costs_scale_the_temperature(rule, scale):
    costs, log_ratio = sample(4, ratios=True)
    a, b = rule.weights(costs, log_ratio), rule.weights(scale * costs, log_ratio)
    close(b.weights, a.weights, 1e-7)
    assert b.lambda_policy * scale == pytest.approx(a.lambda_policy, rel=1e-6)


@every_rule
def test_the_order_of_samples_does_not_matter(rule):
    costs, log_ratio = sample(5, ratios=True)
    order = np.random.default_rng(5).permutation(N)
    close(rule.weights(costs[order], log_ratio[order]).weights, rule.weights(costs, log_ratio).weights[order], 1e-7)


@every_rule
@pytest.mark.parametrize("worst", [1e12, 1e300])
def test_costs_of_any_size_raise_no_warning(rule, worst):
    costs, log_ratio = sample(6)
    costs[[3, 7]] = worst, 5e-324
    result = rule.weights(costs, log_ratio)
    assert result.valid == N
    assert result.weights.sum() == pytest.approx(1.0)


# -- each rule ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_the_effective_sample_size_falls_as_the_inverse_temperature_grows(seed):
    costs, log_ratio = sample(seed)
    sizes = [Fixed(temperature).weights(costs, log_ratio).ess for temperature in np.geomspace(1e4, 1e-6, 80)]
    assert (np.diff(sizes) < 1e-12).all()
    assert sizes[0] == pytest.approx(N, rel=1e-6)
    assert sizes[-1] == pytest.approx(1.0, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratios", [False, True])
@pytest.mark.parametrize(("samples", "expected"), [(3, 3), (10, 10), (0.5, 30), (np.int64(20), 20)])
def test_target_ess_attains_its_effective_sample_size(seed, ratios, samples, expected):
    result = TargetESS(samples).weights(*sample(seed, ratios))
    assert result.ess == pytest.approx(expected, rel=1e-9)
    assert result.lambda_policy > 0.0


def test_target_ess_is_clipped_where_samples_tie_or_are_too_few():
    costs = np.r_[np.zeros(5), np.ones(20)]
    tied = TargetESS(3).weights(costs, np.zeros(25))
    assert tied.ess == pytest.approx(5.0)
    assert tied.lambda_policy == BOUNDS[1]
    few = TargetESS(26).weights(costs, np.zeros(25))
    assert few.ess == pytest.approx(25.0)
    assert few.lambda_policy == BOUNDS[0]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratios", [False, True])
@pytest.mark.parametrize("epsilon", [1e-3, 0.5, 2.0])
def test_reps_attains_its_divergence_at_the_minimum_of_its_dual(seed, ratios, epsilon):
    costs, log_ratio = sample(seed, ratios)
    result = REPS(epsilon).weights(costs, log_ratio)
    base = np.exp(log_ratio) / np.exp(log_ratio).sum()
    w = result.weights
    assert w @ np.log(w / base) == pytest.approx(epsilon, rel=1e-9)

    def dual(weight):
        return epsilon / weight + math.log(base @ np.exp(-weight * (costs - costs.min()))) / weight

    least = dual(result.lambda_policy)
    assert all(dual(factor * result.lambda_policy) > least for factor in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0))


def test_reps_is_clipped_above_the_largest_divergence():
    costs, log_ratio = sample(0)
    result = REPS(2.0 * math.log(N)).weights(costs, log_ratio)
    assert result.lambda_policy == pytest.approx(BOUNDS[1] / (np.quantile(costs, 0.9) - costs.min()))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("ratios", [False, True])
@pytest.mark.parametrize("delta", [0.01, 0.5, 0.9, 0.999])
def test_lbps_is_the_least_bound_of_a_fine_grid(seed, ratios, delta):
    costs, log_ratio = sample(seed, ratios)
    c = (costs - costs.min()) / np.ptp(costs)

    def bound(alpha):
        w = boltzmann(c, alpha, log_ratio)
        return w @ c + math.sqrt((1.0 - delta) / delta) / math.sqrt(effective(w))

    least = min(map(bound, np.geomspace(*BOUNDS, 3000)))
    found = bound(LBPS(delta).weights(costs, log_ratio).lambda_policy * np.ptp(costs))
    assert (
        least - 1e-5 <= found <= least + 1e-9
    )  # the grid is within 0.3 percent of the minimum, where the bound is flat


@pytest.mark.parametrize(
    ("levels", "counts", "ratios", "delta"),
    [
        ([0.0, 0.025, 1.0], [196, 1, 19], [-5.45, 4.55, 2.87], 0.0099),  # the least one is that of the largest alpha
        ([0.0, 0.015, 0.016, 0.302, 0.425, 1.0], [5, 1, 2, 1, 957, 5], [-0.7, 3.1, -0.6, 1.3, -1.4, 2.7], 0.0099),
    ],
)
def test_lbps_finds_the_lower_of_two_minima(levels, counts, ratios, delta):
    """Random cases, chosen for two minima that are far apart; uneven ratios make them."""
    costs, log_ratio = np.repeat(levels, counts), np.repeat(ratios, counts)
    penalty = math.sqrt((1.0 - delta) / delta)

    def bound(alpha):
        w = boltzmann(costs, alpha, log_ratio)
        return w @ costs + penalty / math.sqrt(effective(w))

    values = np.array([np.inf, *map(bound, np.geomspace(*BOUNDS, 1000)), np.inf])
    assert ((values[1:-1] < values[:-2]) & (values[1:-1] < values[2:])).sum() == 2
    assert bound(LBPS(delta).weights(costs, log_ratio).lambda_policy) <= values.min() + 1e-9


def test_elites_are_the_best_and_the_first_of_equals():
    costs = [3.0, 1.0, 2.0, 1.0, math.nan, 2.0]
    close(Elite(3).weights(costs, np.zeros(6)).weights, np.array([0, 1, 1, 1, 0, 0]) / 3, 1e-15)
    close(Elite(0.4).weights(costs, np.zeros(6)).weights, np.array([0, 1, 0, 1, 0, 0]) / 2, 1e-15)
    close(Elite(0.01).weights(costs, np.zeros(6)).weights, [0, 1, 0, 0, 0, 0], 1e-15)
    close(Elite(9).weights(costs, np.zeros(6)).weights, np.array([1, 1, 1, 1, 0, 1]) / 5, 1e-15)
    tied = Elite(30).weights(np.tile([1.0, 0.0], 100), np.zeros(200))
    close(np.flatnonzero(tied.weights), np.arange(1, 60, 2), 0.0)
    result = Elite(3).weights(costs, np.zeros(6))
    assert math.isnan(result.lambda_policy)
    assert math.isnan(result.free_energy)
    assert (result.ess, result.valid) == (pytest.approx(3.0), 5)


# -- free energy and entropic means ------------------------------------------------------------------------------------


def test_the_free_energy_of_gaussian_costs_is_their_mean_less_half_their_variance_times_lambda():
    rng = np.random.default_rng(0)
    n, mean, std, weight = 200_000, 4.0, 1.5, 0.4
    free_energy = Fixed(1.0 / weight).weights(mean + std * rng.normal(size=n), np.zeros(n)).free_energy
    # delta method: the relative variance of one exp(-weight C) is exp((weight std)^2) - 1
    error = math.sqrt((math.exp((weight * std) ** 2) - 1.0) / n) / weight
    assert abs(free_energy - (mean - weight * std**2 / 2.0)) < 4.0 * error


def test_the_free_energy_does_not_depend_on_the_proposal():
    """Costs u^2 under p = N(0, 1), from q = N(m, 1): log p/q = m^2 / 2 - m u; sqrt(1 + 2 lambda) = 1 / E_p exp."""
    rng = np.random.default_rng(1)
    n, weight = 100_000, 0.8
    expected = math.log(1.0 + 2.0 * weight) / (2.0 * weight)
    for m in (0.0, -0.5, 0.7):
        u = m + rng.normal(size=n)
        costs, log_ratio = u**2, m**2 / 2.0 - m * u
        mass = np.exp(-weight * costs + log_ratio)
        error = mass.std() / mass.mean() / math.sqrt(n) / weight
        result = Fixed(1.0 / weight).weights(costs, log_ratio)
        assert abs(result.free_energy - expected) < 4.0 * error
        assert abs(result.weights @ u) < 4.0 * math.sqrt(result.weights**2 @ u**2)  # the tilted mean is 0


@pytest.mark.parametrize("weight", [-2.0, -0.3, 1e-3, 0.5, 3.0])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_the_entropic_mean_equals_its_definition(weight, axis):
    costs = np.random.default_rng(0).normal(size=(4, 9))
    close(entropic(costs, weight, axis), -np.log(np.exp(-weight * costs).mean(axis)) / weight, 1e-12)


def test_the_entropic_mean_runs_from_the_largest_cost_over_the_mean_to_the_least():
    costs = np.random.default_rng(1).normal(size=50)
    assert entropic(costs, 0.0) == costs.mean()
    small = 1e-9
    for weight in (small, -small):  # the next term of the expansion is below 1e-18
        assert entropic(costs, weight) == pytest.approx(costs.mean() - weight * costs.var() / 2.0, abs=1e-15)
    assert entropic(costs, 1e7) == pytest.approx(costs.min(), abs=1e-6)  # log(50) / 1e7
    assert entropic(costs, -1e7) == pytest.approx(costs.max(), abs=1e-6)
    values = [entropic(costs, weight) for weight in np.linspace(-30, 30, 61)]
    assert (np.diff(values) < 0.0).all()


def test_the_entropic_mean_is_shifted_by_constants_and_does_not_overflow():
    costs = np.random.default_rng(2).normal(size=20)
    for weight in (-50.0, -1.0, 1.0, 50.0):
        assert entropic(costs + 1e6, weight) == pytest.approx(entropic(costs, weight) + 1e6, abs=1e-8)
    assert entropic([1e300, 0.0], 1e10) == pytest.approx(math.log(2.0) / 1e10)
    assert entropic([1e300, 0.0], -1e10) == pytest.approx(1e300)


@pytest.mark.parametrize("bad", [math.inf, math.nan, -math.inf])
def test_failed_samples_are_infinite_costs_to_the_entropic_mean(bad):
    costs = np.array([[1.0, 2.0, bad], [bad, bad, bad], [0.0, 0.0, 0.0]])
    close(entropic(costs, 0.5, 1)[[0, 2]], [-2.0 * math.log((math.exp(-0.5) + math.exp(-1.0)) / 3.0), 0.0], 1e-14)
    for weight in (0.5, 0.0, -0.5):
        result = entropic(costs, weight, 1)
        assert result[1] == math.inf
        assert result[2] == 0.0
        assert weight > 0.0 or result[0] == math.inf


# -- bad input ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Fixed(0.0), "temperature is 0.0;"),
        (lambda: Fixed(-1.0), "temperature is -1.0;"),
        (lambda: Fixed(5e-324), "expected a positive number"),
        (lambda: Fixed(math.inf), "temperature is .*; expected a positive finite"),
        (lambda: Fixed("hot"), "temperature is 'hot'"),
        (lambda: TargetESS(0), "samples is 0;"),
        (lambda: TargetESS(1.0), "samples is 1.0;"),
        (lambda: TargetESS(True), "samples is True;"),
        (lambda: Elite(-0.1), "samples is -0.1;"),
        (lambda: Elite("all"), "samples is 'all'"),
        (lambda: Elite(math.nan), "a share between 0 and 1"),
        (lambda: LBPS(1.0), "delta is 1.0;"),
        (lambda: LBPS(0.0), "delta is 0.0;"),
        (lambda: REPS(0.0), "epsilon is 0.0;"),
        (lambda: Fixed(1.0).weights(np.zeros((3, 2)), np.zeros(3)), r"costs have shape \(3, 2\)"),
        (lambda: Fixed(1.0).weights([], []), r"costs have shape \(0,\)"),
        (lambda: Elite(2).weights("none", np.zeros(3)), "costs is 'none'"),
        (lambda: LBPS().weights(np.zeros(3), np.zeros(2)), "log_ratio has shape"),
        (lambda: LBPS().weights(np.zeros(3), [0.0, math.nan, 0.0]), "log_ratio has a non-finite"),
        (lambda: entropic([1.0], math.inf), "weight is inf; expected a finite"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message):
    with pytest.raises(ProblemError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_a_few_huge_costs_do_not_flatten_the_weights():
    costs, log_ratio = sample(3)
    costs[:3] = costs.max() * 1e6
    assert TargetESS(10).weights(costs, log_ratio).ess == pytest.approx(10.0, rel=1e-6)
