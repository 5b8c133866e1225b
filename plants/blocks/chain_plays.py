"""Plays of coupled chains that infer anew on the stages that are left."""

import time

import numpy as np

from plants.blocks.chain_inference import METHODS, chain_beliefs
from plants.blocks.coupled_chains import CoupledChains
from ppi_robotics.checks import check_choice, check_function, check_instance, check_seed, check_sequence, check_threads
from ppi_robotics.discrete.beliefs import Inference
from ppi_robotics.discrete.kl_control import play
from ppi_robotics.parallel import in_threads
from ppi_robotics.solution import Status


def receding(chains, method="cvm", first=None, **options):
    """What `play` acts on: beliefs on the stages that are left, from the messages of the stage before.

    Args:
      chains: `CoupledChains`; the state of the play are their levels.
      method: of `chain_beliefs`.
      first: options of `chain_beliefs` that differ at the first stage, where there are no messages to start from.
      options: of `chain_beliefs`.

    Returns:
      Function of levels (n,), the stage and the last messages, that returns the probabilities (A,) of the next action,
      0 for actions that the levels forbid, the `ChainBeliefs`, and messages.
    """

    check_instance(chains, "chains", CoupledChains)
    check_choice(method, "method", METHODS)

    def infer(levels, t, messages):
        left = chains.stages - t
        chosen = options | (first or {}) if messages is None else options | {"start": messages.last(left)}
        found = chain_beliefs(chains.after(levels, left), method, **chosen)
        moved = levels + chains.shifts
        possible = ((moved >= 0) & (moved <= chains.top)).all(axis=1)
        # beliefs about parts of actions may hold for possible what chains elsewhere forbid
        p = np.where(possible, found.actions[0], 0.0)
        return (p if p.any() else possible.astype(float)), found, found.messages

    return infer


def play_chains(problems, method="cvm", seed=0, threads=None, reachable=None, **options):
    """Play every one of some chains to its end, the most probable action at a time.

    Args:
      problems: `CoupledChains`.
      method, options: as `receding`.
      seed: number i of the plays breaks ties by seed and i, at any number of threads.
      threads: as many as processors by default.
      reachable: function of a problem, levels and the number of stages left; a play ends in a contradiction, without
        an inference that might take long to find it, where that is false.

    Returns:
      Iterator of `Play` and the processor time that it took, in the order of the problems.

    Raises:
      ProblemError: as `chain_beliefs`.
    """

    problems = check_sequence(problems, "problems", "CoupledChains")
    for i, chains in enumerate(problems):
        check_instance(chains, f"problems[{i}]", CoupledChains)
    check_choice(method, "method", METHODS)
    seed = check_seed(seed)
    check_threads(threads)
    check_function(reachable, "reachable", "a problem, levels and the stages left")

    def one(number):
        chains, began = problems[number], time.thread_time()
        ties = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        infer = receding(chains, method, **options)

        def see(levels, t, messages):
            if reachable is None or reachable(chains, levels, chains.stages - t):
                return infer(levels, t, messages)
            return None, Inference(log_partition=-np.inf, exact=True, status=Status.CONTRADICTION), None

        found = play(
            see,
            lambda levels, action: levels + chains.shifts[action],
            chains.start,
            chains.stages,
            seed=ties,
        )
        return found, time.thread_time() - began

    return in_threads(one, range(len(problems)), threads)
