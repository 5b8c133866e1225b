"""One update of MPPI against pytorch-mppi and judo, each in an environment of its own, and against bare MuJoCo.

1. The cart-pole written out in torch (`peer_pytorch_mppi`): the same dynamics, cost, noise, temperature and horizon.
2. Judo's cart-pole (`peer_judo`): its model, cost, samples, steps, knots and noise.
3. The same model with more samples, against the bare open loops of `mujoco.batch.Batch.rollout`.

A peer's script prints the costs of five control sequences, which are checked against ours before anything is timed. It
is then run with each of its options; the fastest of them and ours take turns, a process of the peer and a stretch of
ours, and the ratio is the median of the ratios within a turn.
"""

import functools
import json
import os
import shutil
import statistics
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.report import check, missing, report
from benchmarks.timing import Timing, side_by_side

SIZES, HORIZON, SIGMA, TEMPERATURE = (1000, 10_000), 100, 5.0, 10.0  # of the cart-pole; sigma in N
FASTER, LIMIT = 5.0, 30.0  # than pytorch-mppi, and most milliseconds of the largest size
BARE_SAMPLES, BARE_STEPS, BARE_SHARE = 512, 100, 0.85  # least throughput as a share of that of open loops
TURNS, ROUNDS = 5, 30
AGREEMENT = 1e-6  # of costs; the peers' environments have other versions of MuJoCo and of mathematical libraries
HOW = (
    "run `python3 -m venv ENV && ENV/bin/python -m pip install {}` and set {}=ENV/bin/python (see benchmarks/README.md)"
)


def ours(problem, samples, sigma, temperature, knots=None):
    """A function without arguments that makes one update of MPPI: draws, rollouts, weights and the mean.

    Args:
      problem: `Problem` without noise.
      samples: number of control sequences.
      sigma: standard deviation of the control noise; of every knot, (knots,), where there are knots.
      temperature: of the weights, in units of the cost.
      knots: number of times, evenly from the start to the horizon's end, whose controls are held until the next one;
        every stage by default.
    """
    import ppi_robotics as ppi
    from ppi_robotics.sampling.rounds import SamplingSteps

    smoothing = ppi.White() if knots is None else ppi.Splines(knots, degree=0)
    method = ppi.MPPI(samples, temperature, np.min(sigma), smoothing, feedback="none")
    T, phase = problem.horizon, SamplingSteps(method)
    iterate = phase.begin(problem, np.tile(problem.initial.mean, (T + 1, 1)), np.zeros((T, problem.plant.nu)))
    scale = np.broadcast_to(np.reshape(sigma, (-1, 1)), iterate.proposal.scale.shape)
    proposal = replace(iterate.proposal, scale=np.ascontiguousarray(scale))
    last = replace(iterate, proposal=proposal)

    def update():
        nonlocal last
        last, _ = phase.advance(problem, last, 1)

    return update


def ask(variable, package, module, *arguments):
    """What the script of a peer prints, run by the interpreter that an environment variable names."""
    interpreter = os.environ.get(variable)
    if not interpreter or not shutil.which(interpreter):
        given = f"names no program: {interpreter}" if interpreter else "is not set"
        raise ImportError(f"{variable} {given}; {HOW.format(package, variable)}")
    command = [os.path.abspath(shutil.which(interpreter)), "-m", f"benchmarks.{module}", *map(str, arguments)]
    root = Path(__file__).resolve().parent.parent
    answer = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root)
    if answer.returncode:
        reason = (answer.stderr.strip().splitlines() or ["no message"])[-1]
        raise SystemExit(f"{' '.join(command[1:])} failed: {reason}")
    return json.loads(answer.stdout.splitlines()[-1])


def fastest(ask_with, variants):
    """The options of a peer with the least median, and what it printed."""
    answers = [(variant, ask_with(*variant)) for variant in variants]
    return min(answers, key=lambda answer: answer[1]["median_ms"])


def take_turns(function, run_peer):
    """`Timing` of ours and of a peer, a process of the peer and a stretch of ours after one another."""
    function()
    taken = {"ours": [], "peer": []}
    for _ in range(TURNS):
        taken["peer"].append(run_peer()["median_ms"] / 1e3)
        taken["ours"].append(statistics.median(seconds(function) for _ in range(ROUNDS)))
    return Timing({name: np.array(values) for name, values in taken.items()})


def seconds(function):
    """Of one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def agree(what, problem, answer, apart=0.0):
    """End the process unless the peer's five control sequences cost the same here; `apart` is added to the peer's."""
    costs = [open_loop_cost(problem, np.array(controls)) for controls in answer["controls"]]
    return check(f"the cost of {what}", np.array(costs), np.array(answer["costs"]) + apart, AGREEMENT)


def open_loop_cost(problem, controls):
    """Cost of one control sequence (T, nu)."""
    import ppi_robotics as ppi

    plant, (T, nu) = problem.plant, controls.shape
    gains, cov = np.zeros((T, nu, plant.ndx)), np.zeros((T, nu, nu))
    policy = ppi.LinearGaussianPolicy(
        np.tile(problem.initial.mean, (T, 1)), controls, gains, cov, plant.dt, quaternions=plant.quaternions
    )
    return float(ppi.rollout(problem, policy).cost[0])


def first_cost(problem):
    """Stage cost of the first state without control, which the peers leave out: they charge every step's next state."""
    x = problem.initial.mean
    return float(problem.cost.stage(x[None], np.zeros((1, problem.plant.nu)))[0])


def against_pytorch():
    """The cart-pole written out in torch."""
    import ppi_robotics as ppi
    from plants import CartPole
    from ppi_robotics.parallel import processors

    plant = CartPole(sigma=0.0, cart_sigma=0.0)
    problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, HORIZON)
    threads = sorted({1, processors()})
    compilers = (False, True) if shutil.which("c++") else (False,)
    variants = [("--threads", n, *["--compile"] * compiled) for n in threads for compiled in compilers]
    for samples in SIZES:
        given = ("--samples", samples, "--horizon", HORIZON, "--sigma", SIGMA, "--temperature", TEMPERATURE)
        peer = functools.partial(ask, "PYTORCH_MPPI_PYTHON", "pytorch-mppi", "peer_pytorch_mppi", *given)
        best, answer = fastest(peer, variants)
        worst = agree("the cart-pole in torch", problem, answer, first_cost(problem))
        timing = take_turns(ours(problem, samples, SIGMA, TEMPERATURE), functools.partial(peer, *best))
        compare(f"update of MPPI, {samples} x {HORIZON}", timing, answer, FASTER, worst)
    report(f"update of MPPI, {samples} x {HORIZON}", "ms", 1e3 * timing.median("ours"), None, None, None, LIMIT)


def judo_problem(answer):
    """Judo's cart-pole as a problem; the cost is minus judo's reward of every step's next state and control."""
    import ppi_robotics as ppi

    def off(distance, width):
        return ppi.sqrt(distance**2 + width**2) - width

    def state(x):
        tilted, away = off(ppi.cos(x[1]) - 1, 0.01), off(x[0], 0.1)
        return 10 * tilted + 10 * away + 0.05 * (x[2] ** 2 + x[3] ** 2)

    cost = ppi.SymbolicCost(stage=lambda x, u: state(x) + 0.05 * u[0] ** 2, terminal=state)
    plant = ppi.MujocoPlant(answer["xml"])
    if plant.dt != answer["dt"]:
        raise SystemExit(f"judo's steps take {answer['dt']} s, ours {plant.dt} s: no fair comparison")
    return ppi.Problem(plant, cost, answer["start"], answer["horizon"])


def spread(answer):
    """Standard deviations of judo's knots, a ramp over the horizon."""
    number = answer["knots"]
    ramp = answer["noise_ramp"] * np.linspace(1 / number, 1, number) if answer["noise_ramp"] else np.ones(number)
    return answer["sigma"] * ramp


def against_judo():
    """Judo's cart-pole, and the same model against bare MuJoCo."""
    import ppi_robotics as ppi
    from ppi_robotics.parallel import processors

    peer = functools.partial(ask, "JUDO_PYTHON", "judo-rai", "peer_judo")
    best, answer = fastest(peer, [("--threads", processors()), ("--threads", 0)])
    if answer["iterations"] != 1 or answer["spline"] != "zero":
        raise SystemExit(f"judo's spline is {answer['spline']}, its iterations {answer['iterations']}: no comparison")
    problem = judo_problem(answer)
    worst = agree("judo's cart-pole", problem, answer, first_cost(problem))
    options = spread(answer), answer["temperature"], answer["knots"]
    timing = take_turns(ours(problem, answer["samples"], *options), functools.partial(peer, *best))
    compare(f"update of MPPI, judo's cart-pole, {answer['samples']} x {answer['horizon']}", timing, answer, 1.0, worst)
    longer = ppi.Problem(problem.plant, problem.cost.given, answer["start"], BARE_STEPS)
    contenders = {"ours": ours(longer, BARE_SAMPLES, *options), "open": open_loops(problem.plant)}
    timing = side_by_side(contenders, 20.0, rounds=11)
    times = [timing.median(which) / (BARE_SAMPLES * BARE_STEPS) * 1e6 for which in ("ours", "open")]
    what = f"update of MPPI, judo's cart-pole, {BARE_SAMPLES} x {BARE_STEPS}, per step"
    report(what, "us", times[0], "open loops", times[1], timing.ratio("open", "ours"), BARE_SHARE, threads=processors())


def open_loops(plant):
    """A function without arguments that runs the bare open loops."""
    import mujoco
    import mujoco.batch

    from ppi_robotics.parallel import processors

    batch = mujoco.batch.Batch(plant.model, BARE_SAMPLES, processors())
    control = 0.1 * np.random.default_rng(0).normal(size=(BARE_SAMPLES, BARE_STEPS, plant.nu))
    recorded = batch.rollout(BARE_STEPS, control, mujoco.mjtState.mjSTATE_CTRL)

    def opened():
        batch.reset()
        batch.rollout(BARE_STEPS, control, mujoco.mjtState.mjSTATE_CTRL, out=recorded)

    return opened


def compare(what, timing, answer, target, agreement):
    """Print how many times faster ours is than a peer."""
    name = f"{answer['peer']} {answer['version']}"
    times = [1e3 * timing.median(which) for which in ("ours", "peer")]
    details = {key: answer[key] for key in ("samples", "horizon", "threads", "rounds", "compiled") if key in answer}
    report(what, "ms", times[0], name, times[1], timing.ratio("peer", "ours"), target, agreement=agreement, **details)


def main():
    for what, part in {"MPPI against pytorch-mppi": against_pytorch, "MPPI against judo": against_judo}.items():
        try:
            part()
        except ImportError as error:
            missing(what, error)


if __name__ == "__main__":
    main()
