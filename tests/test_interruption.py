"""Ctrl-C: the first is answered with what there is, wherever it comes, and the second is raised."""

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import ppi_robotics as ppi
from plants import BlocksWorld, CartPole, GridWorld, StagHunt
from plants.blocks import CompositionControl, chain_beliefs, play_chains, receding, study, sweeps
from plants.blocks.sweeps import ChainSweeps
from plants.stag_hunt import Rendezvous, report as stag, sweep_temperatures
from ppi_robotics import discrete, guesses, interruption, rollouts, solver
from ppi_robotics.__main__ import main
from ppi_robotics.discrete import (
    FactorGraph,
    Table,
    belief_propagation,
    double_loop,
    junction_tree,
    junction_trees,
    learn,
    learning,
    loopy_belief_propagation,
    majorize,
    on_graph,
    play,
    policy_improvement,
    policy_iteration,
    psi_iteration,
    random_problem,
    single_loop,
    soft_policy_iteration,
)
from ppi_robotics.discrete.elimination import clique_tree
from ppi_robotics.interruption import Handler, Held

STAGES = {  # of a start: what is called there
    "guess": (solver, "cold_guess"),
    "iteration": (solver.Run, "_report"),
    "last sweep": (solver.Run, "_finish"),
    "last rollout": (solver, "nominal_rollout"),
}


@pytest.fixture(autouse=True)
def python_handler():
    """Ctrl-C raises KeyboardInterrupt, also in a test process that ignores the signal."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.signal(signal.SIGINT, before) is signal.default_int_handler


@pytest.fixture(scope="module")
def problem():
    plant = CartPole()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 150)


def press_at(monkeypatch, where, call=1):
    """Press Ctrl-C when something is called for the n-th time, before it does its work."""
    owner, name = where
    whole, calls = getattr(owner, name), []

    def pressed(*arguments, **options):
        calls.append(name)
        if len(calls) == call:
            signal.raise_signal(signal.SIGINT)
        return whole(*arguments, **options)

    monkeypatch.setattr(owner, name, pressed)


def press_in_start(monkeypatch, number, stage):
    """Press Ctrl-C when a stage of a start is reached for the first time."""
    whole, begun = solver.Run.__init__, []

    def begin(run, *arguments):
        whole(run, *arguments)
        begun.append(run)
        if len(begun) == number:
            press_at(monkeypatch, STAGES[stage])

    monkeypatch.setattr(solver.Run, "__init__", begin)


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_in_the_first_start_returns_its_policy(problem, monkeypatch, stage):
    press_in_start(monkeypatch, 1, stage)
    solution = ppi.solve(problem, ppi.PPI(0.1), starts=4)
    assert solution.interrupted
    assert np.isfinite(solution.policy.K).all()
    assert np.isfinite(solution.nominal_cost)
    assert len(solution.starts) == 1
    late = stage in ("last sweep", "last rollout")  # the start has converged by then
    assert solution.status is (ppi.Status.CONVERGED if late else ppi.Status.INTERRUPTED)


@pytest.mark.parametrize("stage", STAGES)
def test_ctrl_c_in_a_later_start_returns_the_best_of_those_before(problem, monkeypatch, stage):
    press_in_start(monkeypatch, 3, stage)
    solution = ppi.solve(problem, ppi.PPI(0.1), starts=5)
    monkeypatch.undo()
    assert solution.interrupted
    assert "interrupted" in solution.explain()
    assert len(solution.starts) == 3
    before = ppi.solve(problem, ppi.PPI(0.1), starts=2)
    assert solution.status is before.status is ppi.Status.CONVERGED
    assert solution.nominal_cost <= before.nominal_cost * (1 + 1e-6)


def test_ctrl_c_in_the_swing_of_a_guess_gives_the_guess_up(problem, monkeypatch):
    """Trying swings takes as long as a solve."""
    press_at(monkeypatch, (guesses, "eigenfrequencies"))
    monkeypatch.setattr(guesses, "from_controls", only_without_controls(guesses.from_controls))
    solution = ppi.solve(problem, ppi.ILQG(), starts=3)
    assert solution.status.solved
    assert solution.interrupted
    assert [start.iterations for start in solution.starts][1:] == [0]


def only_without_controls(whole):
    calls = []

    def checked(problem, u):
        calls.append(u)
        assert len(calls) <= 2 or not u.any()  # the first guess compares small controls with holding still
        return whole(problem, u)

    return checked


@pytest.mark.parametrize("where", [(solver, "lowest"), (solver, "to_solution")])
def test_ctrl_c_after_the_last_start_is_told(problem, monkeypatch, where):
    press_at(monkeypatch, where)
    solution = ppi.solve(problem, ppi.PPI(0.1), starts=2)
    assert solution.interrupted
    assert solution.status.solved
    assert len(solution.starts) == 2


def test_a_solve_that_had_no_time_answers_with_the_guess(problem, monkeypatch):
    press_in_start(monkeypatch, 1, "guess")
    solution = ppi.solve(problem, ppi.ILQG())
    assert solution.status is ppi.Status.INTERRUPTED
    assert solution.iterations == 0
    assert [start.status for start in solution.starts] == [ppi.Status.INTERRUPTED]
    assert not solution.policy.K.any()


@pytest.mark.parametrize("stage", STAGES)
def test_a_handler_of_the_callers_own_loses_one_start_at_most(problem, monkeypatch, stage):
    """Nothing is held back then, and the exception may come from anywhere."""

    def own(_number, _frame):
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, own)
    press_in_start(monkeypatch, 2, stage)
    solution = ppi.solve(problem, ppi.PPI(0.1), starts=5)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is own
    assert solution.interrupted
    assert solution.status.solved
    assert len(solution.starts) == 2


def test_a_callback_that_raises_keeps_what_is_found(problem):
    def stop(row):
        if row.index == 3:
            raise KeyboardInterrupt

    solution = ppi.solve(problem, ppi.ILQG(), callback=stop)
    assert solution.interrupted
    assert solution.status is ppi.Status.INTERRUPTED
    assert solution.iterations == 3


def test_the_second_ctrl_c_is_raised(problem):
    def press_twice(row):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        ppi.solve(problem, ppi.ILQG(), callback=press_twice)
    assert ppi.solve(problem, ppi.ILQG(), starts=1).status.solved  # the first press is forgotten


def test_the_handler_is_restored_after_an_error(problem):
    def fail(row):
        raise RuntimeError(str(row.index))

    with pytest.raises(RuntimeError, match="1"):
        ppi.solve(problem, ppi.ILQG(), callback=fail)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(ppi.ProblemError):
        ppi.solve(problem, ppi.ILQG(), starts=0)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_holds_within_what_holds_is_the_same():
    with Held() as outer:
        with Held() as inner:
            signal.raise_signal(signal.SIGINT)
            assert inner.pressed
        assert outer.pressed
        assert isinstance(signal.getsignal(signal.SIGINT), Handler)
        with pytest.raises(KeyboardInterrupt):
            interruption.check()
    interruption.check()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_threads_and_handlers_of_others_are_left_alone(problem):
    found = []

    def elsewhere():
        with Held() as hold:
            found.append((signal.getsignal(signal.SIGINT), hold.pressed))
            interruption.check()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert found == [(signal.default_int_handler, False)]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with Held():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Held():  # a handler that the body has put in stays
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert signal.signal(signal.SIGINT, signal.default_int_handler) is signal.SIG_IGN


# -- samples -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spread(problem):
    policy = ppi.solve(problem, ppi.ILQG(), starts=1).policy
    return ppi.LinearGaussianPolicy(
        policy.x_ref, policy.u_ref, policy.K, np.full_like(policy.cov, 0.01), policy.dt, policy.plant
    )


def test_rollouts_keep_the_finished_samples(problem, spread, monkeypatch):
    """They are those of a smaller number, bit for bit."""
    monkeypatch.setattr(rollouts, "CHUNK", 64)
    whole, calls = rollouts.loop_of, []

    def pressing(*arguments):
        loop = whole(*arguments)

        def run(*parts):
            calls.append(0)
            if len(calls) == 3:
                os.kill(os.getpid(), signal.SIGINT)
            loop.run(*parts)

        return SimpleNamespace(run=run, most=loop.most)

    with monkeypatch.context() as patch:
        patch.setattr(rollouts, "loop_of", pressing)
        part = ppi.rollout(problem, spread, 64 * 200, seed=3, threads=2)
    assert part.interrupted
    assert 64 <= len(part.cost) < 64 * 200
    whole = ppi.rollout(problem, spread, len(part.cost), seed=3)
    assert not whole.interrupted
    for name in ("x", "u", "cost"):
        np.testing.assert_array_equal(getattr(part, name), getattr(whole, name))


def test_path_integrals_keep_the_finished_samples(problem, spread, monkeypatch):
    from ppi_robotics.composition import path_integrals

    monkeypatch.setattr(path_integrals, "ROOM", 1)
    press_at(monkeypatch, (path_integrals, "sums_of"), 3)
    part = ppi.path_integral(problem, spread, 1e-4, samples=64 * 50, threads=1)
    monkeypatch.undo()
    assert part.interrupted
    assert "interrupted" in str(part)
    assert 64 <= part.samples < 64 * 50
    whole = ppi.path_integral(problem, spread, 1e-4, samples=part.samples)
    assert part.value == pytest.approx(whole.value, rel=1e-9)


def test_a_sweep_keeps_the_weights_before(problem):
    starts = []

    def press(row):
        starts.append(row.index == 1)
        if sum(starts) == 2:
            signal.raise_signal(signal.SIGINT)

    solved, cut, missed = ppi.risk_sweep(problem, ppi.PPI(0), eta=[0, 0.1, 0.2], starts=1, callback=press)
    assert solved.status.solved
    assert not solved.interrupted
    assert cut.status is missed.status is ppi.Status.INTERRUPTED
    assert cut.interrupted
    assert missed.interrupted


def test_ctrl_c_reaches_the_loop_around_a_receding_horizon(problem):
    class Pressed(ppi.ILQG):
        def plan(self, problem):
            if self.damping == 0.0:  # of replans
                signal.raise_signal(signal.SIGINT)
            return super().plan(problem)

    method = Pressed(max_iterations=2)
    mpc = ppi.RecedingHorizon(problem, method, policy=ppi.solve(problem, ppi.ILQG(), starts=1).policy)
    mpc.prepare()
    mpc.command(problem.initial.mean)
    with pytest.raises(KeyboardInterrupt):
        mpc.command(problem.initial.mean)


# -- tables and commands -----------------------------------------------------------------------------------------------


def test_trials_and_instances_that_are_finished_are_kept(monkeypatch):
    """They are those of a smaller number, bit for bit."""
    mdp = GridWorld("cup").mdp
    press_at(monkeypatch, (learning, "_log_policy"), 1)
    part = learn(mdp, "psi", transitions=200, every=100, trials=6)
    monkeypatch.undo()
    assert part.interrupted
    whole = learn(mdp, "psi", transitions=200, every=100, trials=6)
    assert not whole.interrupted
    np.testing.assert_array_equal(part.error, whole.error[: len(part.error)])
    hunts = [StagHunt.random(4, 2, seed, 2).problem for seed in range(6)]
    follow = press_after(3)
    part = sweep_temperatures(hunts, [0.5, 1.0], progress=follow)
    assert part.interrupted
    assert part.mean.shape == (3, 2)
    np.testing.assert_array_equal(part.mean, sweep_temperatures(hunts, [0.5, 1.0]).mean[:3])


def press_after(count):
    return lambda done, _: done == count and signal.raise_signal(signal.SIGINT)


def test_iterations_that_are_finished_are_kept(monkeypatch):
    mdp = GridWorld("cup").mdp
    for run in (lambda: psi_iteration(mdp, iterations=30), lambda: policy_iteration(mdp)):
        with monkeypatch.context() as patch:
            press_at(patch, (soft_policy_iteration, "soft_step"), 2)
            part = run()
        whole = run()
        assert part.interrupted
        assert not whole.interrupted
        assert 2 <= len(part.change) < len(whole.change)
        np.testing.assert_array_equal(part.change, whole.change[: len(part.change)])


WORLD, HUNT = BlocksWorld([1, 2, 1, 0], 6, strength=10.0), StagHunt.random(5, 4, 0, 5)
PLAYS = {
    "blocks": lambda follow: WORLD.run(receding(WORLD.chains(), "merged"), progress=follow),
    "blocks exactly": lambda follow: WORLD.run(WORLD.exact().infer, progress=follow),
    "hunt": lambda follow: HUNT.play(progress=follow),
    "hunt by turns": lambda follow: HUNT.play(loop="turns", progress=follow),
}


def check_first(part, whole, stages):
    """A play is that of some first stages of another, bit for bit."""
    assert part.interrupted
    assert not whole.interrupted
    assert len(part.states) == stages + 1 < len(whole.states)
    for name in ("states", "actions", "probabilities"):
        some = getattr(part, name)
        np.testing.assert_array_equal(some, getattr(whole, name)[: len(some)])


@pytest.mark.parametrize("name", PLAYS)
def test_plays_keep_the_stages_that_are_finished(name):
    check_first(PLAYS[name](press_after(2)), PLAYS[name](None), 2)


@pytest.mark.parametrize(("method", "limit"), [("merged", "max_sweeps"), ("double_loop", "max_outer")])
def test_inference_in_chains_keeps_the_beliefs_of_the_last_sweeps(monkeypatch, method, limit):
    """They are those of a run that may not go further."""
    monkeypatch.setattr(sweeps, "WORK", 1)
    press_at(monkeypatch, (ChainSweeps, "_sweep"), 1)
    part = chain_beliefs(WORLD.chains(), method, inner_sweeps=1)
    assert part.status is ppi.Status.INTERRUPTED
    assert part.tried == ((method, ppi.Status.INTERRUPTED),)
    whole = chain_beliefs(WORLD.chains(), method, inner_sweeps=1, **{limit: 1})
    assert whole.status is ppi.Status.MAX_ITERATIONS
    assert part.trace == whole.trace
    np.testing.assert_array_equal(part.actions, whole.actions)
    np.testing.assert_array_equal(part.levels, whole.levels)


def test_an_interrupted_inference_in_chains_ends_the_play(monkeypatch):
    """The stage whose inference is cut short is left out; a second Ctrl-C is raised, and plays of many end with one."""
    monkeypatch.setattr(sweeps, "WORK", 1)
    whole = PLAYS["blocks"](None)
    with monkeypatch.context() as patch:
        press_at(patch, (ChainSweeps, "propagate"), 3)
        check_first(PLAYS["blocks"](None), whole, 2)
    with pytest.raises(KeyboardInterrupt):
        PLAYS["blocks"](lambda *_: [signal.raise_signal(signal.SIGINT) for _ in range(2)])
    press_at(monkeypatch, (ChainSweeps, "propagate"), 2)
    with pytest.raises(KeyboardInterrupt):
        list(play_chains([WORLD.chains()], "merged"))


def test_majorization_keeps_its_last_policy():
    mdp, log_rho = random_problem()
    found = majorize(mdp, 0.5, 0.0, log_rho, callback=press_after(4))
    assert found.status is ppi.Status.INTERRUPTED
    assert found.iterations == 4


@pytest.mark.parametrize(
    ("command", "where", "call"),
    [
        ("stag exact --case 5x5 --lam 1,2,3", (stag, "inference_facts"), 3),
        ("stag run --case 5x5 --lam 1,2,3", (StagHunt, "play"), 3),
        ("stag phase --side 4,5 --hunters 2,2 --instances 2 --moves 2 --lam 0.5,1", (StagHunt, "random"), 3),
        ("stag run --case 5x5 --lam 1,2,3 --loop closed", (Rendezvous, "infer"), 8),
        ("blocks run --x0 1,2,1,0 --T 6 --method merged", (ChainSweeps, "propagate"), 3),
        ("blocks run --x0 1,2,1,0 --T 6 --method exact", (CompositionControl, "probabilities"), 3),
        ("blocks fig5 --n 3 --m 2,3,4 --instances 1 --methods cvm", (study, "goal_rates"), 4),
        ("grid psi --iterations 200", (soft_policy_iteration, "soft_step"), 210),
        ("central mm --iterations 20", (policy_improvement, "evaluate_policy"), 30),
        ("grid learn --map cup --transitions 400 --trials 2 --methods q,psi,dpp", (learning, "_log_policy"), 3),
        ("central solve", (discrete, "mean_and_variance"), 3),
        ("central compose", (discrete, "soft_minimum"), 2),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_commands_show_what_is_finished(capsys, monkeypatch, command, where, call, as_json):
    whole = len(shown(capsys, command, as_json, 0))
    press_at(monkeypatch, where, call)
    assert 0 < len(shown(capsys, command, as_json, 130)) < whole


def test_path_integrals_show_the_estimates_that_are_finished(capsys, monkeypatch):
    command = ["central", "path-integral", "--samples", "100"]
    press_at(monkeypatch, (discrete, "sample_integral"), 4)
    assert main([*command, "--repeats", "9", "--json"]) == 130
    part = json.loads(capsys.readouterr().out)
    assert (part.pop("interrupted"), part["repeats"]) == (True, 3)
    monkeypatch.undo()
    assert main([*command, "--repeats", "3", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert not whole.pop("interrupted")
    assert part == whole


@pytest.mark.parametrize(
    ("command", "name"),
    [("solve", "mean_and_variance"), ("linear", "solve_linear"), ("path-integral", "sample_integral")],
)
def test_commands_that_have_finished_nothing_say_so(capsys, monkeypatch, command, name):
    press_at(monkeypatch, (discrete, name), 1)
    assert main(["central", command]) == 130
    assert capsys.readouterr() == ("", "interrupted; written so far: nothing\n")


@pytest.mark.parametrize("command", ["exact --method merged", "run --method cvm"])
def test_an_inference_that_ends_as_ctrl_c_is_pressed_is_the_last(capsys, monkeypatch, command):
    """Also where it has converged by then."""
    press_at(monkeypatch, (ChainSweeps, "propagate"), 1)
    assert main(["blocks", *command.split(), "--x0", "1,2,1,0", "--T", "6"]) == 130
    assert ("log Z" in capsys.readouterr().out) == command.startswith("exact")  # a plan without moves is none


def shown(capsys, command, as_json, code):
    """Output of a command but for the notice of an interruption."""
    ended = main([*command.split(), *(["--json"] if as_json else [])])
    output, errors = capsys.readouterr()
    assert (ended == 130) == (code == 130)
    assert ("interrupted; written so far: nothing" in errors) == (code == 130)
    if as_json:
        facts = json.loads(output)
        assert facts.pop("interrupted") == (code == 130)
        return json.dumps(facts)
    notice = "interrupted: these are the results until then\n"
    assert (notice in output) == (code == 130)
    return output.replace(notice, "")


# -- graphs ------------------------------------------------------------------------------------------------------------


def loopy_graph():
    """A square of strong, random factors."""
    random = np.random.default_rng(1)
    pairs = [(0, 1), (1, 2), (2, 3), (0, 3)]
    return FactorGraph((3,) * 4, [Table(pair, random.normal(size=(3, 3))) for pair in pairs])


@pytest.mark.parametrize("schedule", ["sequential", "flood", "random", "residual"])
def test_belief_propagation_keeps_the_beliefs_of_the_last_iteration(monkeypatch, schedule):
    """They are those of a run that may not go further."""
    graph = loopy_graph()
    with monkeypatch.context() as patch:
        press_at(patch, (loopy_belief_propagation, "convergence_threshold"), 3)
        part = belief_propagation(graph, schedule, tolerance=0.0)
    assert part.status is ppi.Status.INTERRUPTED
    assert not part.exact
    assert "interrupted" in part.status.value
    assert len(part.trace) == part.sweeps == 3
    whole = belief_propagation(graph, schedule, tolerance=0.0, max_sweeps=3)
    assert whole.status is ppi.Status.MAX_ITERATIONS
    assert part.log_partition == whole.log_partition
    for mine, other in zip((*part.beliefs, *part.joints), (*whole.beliefs, *whole.joints), strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize("loop", [double_loop, single_loop])
def test_cluster_variation_keeps_the_beliefs_of_the_last_loop(loop):
    """A longer run may start from them."""
    graph, limit = loopy_graph(), "max_outer" if loop is double_loop else "max_sweeps"
    part = loop(graph, tolerance=0.0, progress=press_after(4))
    assert part.status is ppi.Status.INTERRUPTED
    assert len(part.trace) == 4
    whole = loop(graph, tolerance=0.0, **{limit: 4})
    assert part.log_partition == whole.log_partition
    for mine, other in zip(part.joints, whole.joints, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert loop(graph, start=part).status is ppi.Status.CONVERGED


@pytest.mark.parametrize(("call", "known"), [(1, False), (2, True)])
def test_a_junction_tree_that_is_interrupted_claims_nothing(monkeypatch, call, known):
    """log Z is known after the way up, the first half of the messages; no probability is before the end."""
    graph = loopy_graph()
    exact = junction_tree(graph)
    cliques = len(clique_tree(graph).cliques)
    assert cliques == 2
    with monkeypatch.context() as patch:
        press_at(patch, (junction_trees, "check"), call)
        part = junction_tree(graph)
    assert part.status is ppi.Status.INTERRUPTED
    assert not part.exact
    assert part.log_partition == exact.log_partition if known else np.isnan(part.log_partition)
    assert all(np.isnan(p).all() for p in (*part.beliefs, *part.joints))
    assert exact.exact
    np.testing.assert_array_equal(junction_tree(graph).beliefs[0], exact.beliefs[0])


def test_an_interrupted_inference_ends_the_control(monkeypatch):
    """Nothing is done on probabilities that nobody knows."""
    graph = loopy_graph()
    infer = on_graph(graph, [[0], [2]], [[1]], method=junction_tree)
    press_at(monkeypatch, (junction_trees, "check"), 2)
    played = play(infer, lambda state, action: state, [0], 1)
    assert played.status is ppi.Status.INTERRUPTED
    assert played.actions == ()


# -- any moment --------------------------------------------------------------------------------------------------------

RANDOM_TIMES = """
import os, random, signal, threading
import ppi_robotics as ppi
from plants import CartPole

signal.signal(signal.SIGINT, signal.default_int_handler)
plant, random = CartPole(), random.Random(0)
problem = ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, 100)
ppi.solve(problem, ppi.PPI(0.1), starts=2)
for _ in range(20):
    timer = threading.Timer(random.uniform(0.01, 0.1), lambda: os.kill(os.getpid(), signal.SIGINT))
    timer.start()
    solution = ppi.solve(problem, ppi.PPI(0.1), starts=100_000)
    timer.join()
    assert solution.interrupted
    print(solution.status.name)
"""


def test_no_moment_of_a_solve_loses_the_best():
    """In a process of its own, as a signal that comes late would end this one."""
    folder = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", RANDOM_TIMES], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.split()) == 20
