"""Public calls on tables, graphs, chains and walkers, each with arguments that it accepts."""

import functools

import numpy as np

import plants.blocks as b
import plants.stag_hunt as s
import ppi_robotics.discrete as d
from plants import BlocksWorld, GridWorld, StagHunt
from tests.fuzz.door import Door

FLAT = np.full((3, 2, 3), 1 / 3)
POLICY = np.log(np.full((3, 2), 0.5))


@functools.cache
def made(name):
    """Objects that several calls share."""
    return MADE[name]()


MADE = {
    "mdp": lambda: d.FiniteMDP(FLAT, np.ones((3, 2)), discount=0.9),
    "stages": lambda: d.FiniteMDP(FLAT, np.ones((3, 2))),
    "lmdp": lambda: d.LMDP(np.full((3, 3), 1 / 3), np.array([1.0, 2.0, 0.0]), [False, False, True]),
    "walk": lambda: d.LMDP(np.full((3, 3), 1 / 3), np.array([1.0, 2.0, 0.5])),
    "graph": lambda: d.FactorGraph((2, 3), (d.Table((0, 1), np.arange(6.0).reshape(2, 3)),), ("a", "b")),
    "beliefs": lambda: d.belief_propagation(made("graph")),
    "chains": lambda: BlocksWorld([2, 1, 1], 3, strength=1.0).chains(),
    "messages": lambda: b.chain_beliefs(made("chains")).messages,
    "world": lambda: BlocksWorld([2, 1, 1], 3, strength=1.0),
    "exact": lambda: made("world").exact(),
    "hunt": lambda: StagHunt(3, [0, 1], [4], [5], stages=2),
    "grid": lambda: GridWorld("..*\n..."),
    "learned": lambda: d.learn(made("mdp"), transitions=100, every=50),
    "transitions": lambda: d.sample_transitions(made("mdp"), 200),
    "linear": lambda: d.solve_linear(made("stages"), 1.0, horizon=2),
    "psi": lambda: d.baseline_psi(np.zeros((1, 2)), np.zeros(1), np.eye(1)),
    "points": lambda: np.random.default_rng(0).normal(size=(40, 5)),
}


def doors():
    """All calls by name."""
    mdp, stages, graph, chains, hunt = made("mdp"), made("stages"), made("graph"), made("chains"), made("hunt")
    lmdp, walk, world, grid, rendezvous = made("lmdp"), made("walk"), made("world"), made("grid"), made("hunt").problem
    counts, beliefs, learned = rendezvous.counts, made("beliefs"), made("learned")
    soft = {"lambda_policy": 1.0, "lambda_transition": 0.0, "baseline": None}
    points = made("points")
    joint = s.joint_messages(rendezvous)
    return {
        "FiniteMDP": Door(
            d.FiniteMDP,
            {
                "transition": FLAT,
                "cost": np.ones((3, 2)),
                "terminal": np.zeros(3),
                "allowed": np.ones((3, 2), bool),
                "discount": 0.9,
                "absorbing": np.zeros(3, bool),
                "names": ("a", "b", "c"),
            },
        ),
        "solve": Door(d.solve, soft | {"mdp": stages, "horizon": 3}, long=("horizon",)),
        "iterate": Door(d.iterate, soft | {"mdp": mdp, "value": None, "tolerance": 1e-9, "max_sweeps": 50}),
        "evaluate_policy": Door(
            d.evaluate_policy,
            {"mdp": stages, "log_policy": POLICY, "lambda_transition": 0.0, "horizon": 3},
            long=("horizon",),
        ),
        "tilted": Door(d.tilted, {"mdp": mdp, "solution": d.iterate(mdp)}),
        "psi_iteration": Door(
            d.psi_iteration,
            {
                "mdp": mdp,
                "eta": 1.0,
                "iterations": 3,
                "horizon": None,
                "psi": None,
                "truth": None,
                "average": "log_sum_exp",
                "keep": False,
            },
            long=("iterations", "horizon"),
        ),
        "value_iteration": Door(
            d.value_iteration, {"mdp": mdp, "iterations": 3, "truth": None, "keep": False}, long=("iterations",)
        ),
        "policy_iteration": Door(
            d.policy_iteration, {"mdp": mdp, "log_policy": POLICY, "truth": None, "max_iterations": 10}
        ),
        "policy_value": Door(
            d.policy_value, {"mdp": mdp, "log_policy": POLICY, "lambda_transition": 0.0, "value": None}
        ),
        "value_error": Door(d.value_error, {"value": np.ones(3), "truth": np.ones(3)}),
        "learn": Door(
            d.learn,
            {
                "mdp": mdp,
                "method": "psi",
                "behavior": "uniform",
                "eta": 1.0,
                "step": 100.0,
                "transitions": 100,
                "every": 50,
                "trials": 1,
                "seed": 0,
                "truth": None,
                "start": None,
                "patience": 10,
            },
            long=("transitions", "trials"),
        ),
        "ratio": Door(
            d.ratio, {"result": learned, "reference": learned, "level": 0.5, "resamples": 5}, long=("resamples",)
        ),
        "reached": Door(learned.reached, {"level": 0.5}),
        "sample_transitions": Door(d.sample_transitions, {"mdp": mdp, "count": 5, "seed": 0}),
        "Transitions": Door(
            d.Transitions,
            {
                "state": [0, 1],
                "action": [0, 1],
                "after": [1, 0],
                "cost": [1.0, 1.0],
                "allowed": np.ones((2, 2), bool),
                "absorbing": np.zeros(2, bool),
                "discount": 0.9,
            },
        ),
        "least_squares_psi": Door(
            d.least_squares_psi,
            {
                "transitions": made("transitions"),
                "features": np.eye(6).reshape(3, 2, 6),
                "eta": 1.0,
                "iterations": 3,
                "ridge": 1e-9,
            },
            long=("iterations",),
        ),
        "lstd_q": Door(
            d.lstd_q,
            {
                "transitions": made("transitions"),
                "features": np.eye(6).reshape(3, 2, 6),
                "log_policy": POLICY,
                "ridge": 1e-9,
            },
        ),
        "QuadraticPsi": Door(d.QuadraticPsi, {"M": -np.eye(3), "nx": 1}),
        "baseline_psi": Door(d.baseline_psi, {"K": np.zeros((1, 2)), "k": np.zeros(1), "cov": np.eye(1)}),
        "quadratic_psi_step": Door(
            d.quadratic_psi_step,
            {
                "psi": made("psi"),
                "x": points[:, :2],
                "u": points[:, 2:3],
                "cost": points[:, 0] ** 2,
                "after": points[:, 3:],
                "eta": 1.0,
                "discount": 1.0,
                "ahead": None,
                "weights": None,
                "ridge": 0.0,
            },
        ),
        "solve_linear": Door(
            d.solve_linear,
            {"mdp": stages, "weight": 1.0, "baseline": None, "horizon": 3, "terminals": None},
            long=("horizon",),
        ),
        "compose_tables": Door(
            d.compose_tables, {"solutions": [made("linear"), made("linear")], "weights": [0.5, 0.5]}
        ),
        "soft_minimum": Door(d.soft_minimum, {"costs": np.ones((2, 3)), "weights": [0.5, 0.5], "weight": 1.0}),
        "sample_integral": Door(
            d.sample_integral,
            {
                "mdp": stages,
                "weight": 1.0,
                "state": 0,
                "stage": 0,
                "samples": 4,
                "seed": 0,
                "baseline": None,
                "horizon": 3,
                "threads": None,
            },
            long=("horizon", "samples"),
        ),
        "LMDP": Door(d.LMDP, {"passive": np.full((3, 3), 1 / 3), "cost": np.ones(3), "absorbing": None}),
        "solve_finite": Door(d.solve_finite, {"lmdp": lmdp, "horizon": 3, "terminal": np.zeros(3)}, long=("horizon",)),
        "solve_first_exit": Door(d.solve_first_exit, {"lmdp": lmdp}),
        "solve_discounted": Door(d.solve_discounted, {"lmdp": lmdp, "discount": 0.9}),
        "solve_average": Door(d.solve_average, {"lmdp": walk}),
        "embed": Door(d.embed, {"mdp": grid.mdp}, plain=False),
        "Grid": Door(d.Grid, {"axes": (np.arange(3.0), np.arange(4.0)), "periods": (None, 9.0)}),
        "Grid.regular": Door(d.Grid.regular, {"low": [0, 0], "high": [1, 1], "counts": [3, 4], "periods": ()}),
        "Grid.interpolate": Door(d.Grid((np.arange(3.0),)).interpolate, {"values": np.zeros(3), "x": np.zeros((2, 1))}),
        "Table": Door(d.Table, {"variables": (0, 1), "log_values": np.zeros((2, 3))}),
        "Table.of_weights": Door(d.Table.of_weights, {"variables": (0, 1), "weights": np.ones((2, 3))}),
        "IndexMap": Door(d.IndexMap, {"parents": (0,), "child": 1, "index": [0, 1], "log_weight": None}),
        "FactorGraph": Door(d.FactorGraph, {"sizes": (2, 3), "factors": graph.factors, "names": ("a", "b")}),
        "clamp": Door(graph.clamp, {"values": {0: 1}}),
        "log_weight": Door(graph.log_weight, {"states": (0, 1)}),
        "junction_tree": Door(d.junction_tree, {"graph": graph, "largest": 1e6}),
        "most_probable": Door(d.most_probable, {"graph": graph, "largest": 1e6}),
        "tree_size": Door(d.tree_size, {"graph": graph}),
        "belief_propagation": Door(
            d.belief_propagation,
            {
                "graph": graph,
                "schedule": "random",
                "damping": 0.0,
                "tolerance": 1e-9,
                "max_sweeps": 10,
                "seed": 0,
                "start": None,
            },
            long=("max_sweeps",),
        ),
        "RegionGraph": Door(d.RegionGraph, {"graph": graph, "outer": ((0, 1),)}),
        "minimal_regions": Door(d.minimal_regions, {"graph": graph}),
        "double_loop": Door(
            d.double_loop,
            {
                "regions": graph,
                "tolerance": 1e-6,
                "max_outer": 10,
                "inner_sweeps": 5,
                "inner_tolerance": None,
                "start": None,
                "progress": None,
            },
            long=("max_outer", "inner_sweeps"),
        ),
        "single_loop": Door(
            d.single_loop,
            {"regions": graph, "tolerance": 1e-6, "max_sweeps": 10, "start": None, "progress": None},
            long=("max_sweeps",),
        ),
        "joint": Door(lambda variable: beliefs.joint(variable), {"variable": 0}),
        "pick": Door(d.pick, {"probabilities": [0.5, 0.5], "random": np.random.default_rng(0), "choice": "map"}),
        "on_graph": Door(
            d.on_graph,
            {"graph": graph, "states": [[0], [1]], "actions": [[0]], "method": d.junction_tree, "warm": False},
        ),
        "play": Door(
            d.play,
            {
                "infer": made("exact").infer,
                "step": world.step,
                "start": world.start,
                "horizon": 3,
                "choice": "map",
                "seed": 0,
                "progress": None,
            },
            without=(("infer", "function"), ("infer", "lambda"), ("infer", "type"), ("infer", "module")),
            long=("horizon",),
            plain=False,
        ),
        "solve_compositions": Door(
            b.solve_compositions,
            {
                "start": [2, 1],
                "stages": 3,
                "cost": np.zeros(4),
                "goal": [1, 2],
                "charged": "every",
                "forbidden": "lost",
                "memory": 1e9,
                "progress": None,
            },
            long=("stages",),
        ),
        "size_of": Door(b.size_of, {"locations": 3, "blocks": 3, "stages": 3, "goal": None}),
        "log_value": Door(made("exact").log_value, {"heights": [2, 1, 1], "t": 0}),
        "probabilities": Door(made("exact").probabilities, {"heights": [2, 1, 1], "t": 0}),
        "control.sample": Door(made("exact").sample, {"count": 2, "seed": 0}),
        "CoupledChains": Door(
            b.CoupledChains,
            {
                "start": chains.start,
                "shifts": chains.shifts,
                "log_prior": chains.log_prior,
                "log_weights": chains.log_weights,
                "goal": None,
                "parts": (3, 3),
            },
        ),
        "chains.after": Door(chains.after, {"start": chains.start, "stages": 2}),
        "ChainMessages": Door(
            lambda **o: b.chain_beliefs(chains, start=b.ChainMessages(**o), max_sweeps=20, max_outer=5),
            {"to_chains": made("messages").to_chains, "log_actions": made("messages").log_actions, "to_parts": None},
        ),
        "chain_beliefs": Door(
            b.chain_beliefs,
            {
                "chains": chains,
                "method": "cvm",
                "damping": 0.0,
                "tolerance": 1e-6,
                "max_sweeps": 20,
                "inner_sweeps": None,
                "max_outer": 5,
                "bound": None,
                "start": None,
            },
            long=("max_sweeps", "inner_sweeps", "max_outer"),
        ),
        "receding": Door(b.receding, {"chains": chains, "method": "cvm", "first": None}),
        "play_chains": Door(
            lambda **o: list(b.play_chains(**o)),
            {"problems": [chains], "method": "cvm", "seed": 0, "threads": None, "reachable": None},
        ),
        "CappedCounts": Door(
            s.CappedCounts,
            {
                "weights": counts.weights,
                "gains": counts.gains,
                "own": counts.own,
                "spread": counts.spread,
                "shared": counts.shared,
            },
        ),
        "propagate": Door(
            counts.propagate,
            {"damping": 0.0, "tolerance": 1e-9, "max_sweeps": 20, "start": None},
            long=("max_sweeps",),
        ),
        "Rendezvous": Door(
            s.Rendezvous,
            {
                "moves": rendezvous.moves,
                "start": rendezvous.start,
                "stages": 2,
                "alone": rendezvous.alone,
                "places": rendezvous.places,
                "shared": rendezvous.shared,
                "temperature": 1.0,
                "moved": None,
            },
        ),
        "Rendezvous.infer": Door(rendezvous.infer, {"method": "exact"}),
        "Rendezvous.after": Door(rendezvous.after, {"start": rendezvous.start, "stages": 2, "moved": None}),
        "Rendezvous.cost": Door(rendezvous.cost, {"cells": [0, 1]}),
        "actions": Door(rendezvous.infer().actions, {"t": 0, "cells": None}),
        "sweep_temperatures": Door(
            s.sweep_temperatures, {"problems": [rendezvous], "temperatures": [1.0, 2.0], "progress": None}
        ),
        "joint_messages": Door(s.joint_messages, {"problem": rendezvous}),
        "joint.step": Door(joint.step, {"t": 0, "cells": [0, 1]}),
        "joint.most_likely": Door(joint.most_likely, {"seed": 0}),
        "mean_and_variance": Door(
            d.mean_and_variance, {"mdp": stages, "log_policy": POLICY, "horizon": 3}, long=("horizon",)
        ),
        "random_problem": Door(
            d.random_problem,
            {"seed": 0, "states": 2, "actions": 2, "stages": 2},
            long=("states", "actions", "stages"),
        ),
        "majorize": Door(
            d.majorize,
            soft | {"mdp": stages, "horizon": 2, "tolerance": 1e-9, "max_iterations": 3, "callback": None},
            long=("horizon", "max_iterations"),
        ),
        "entropic_cost": Door(
            d.entropic_cost,
            {"mdp": stages, "log_policy": POLICY, "weight": 1.0, "horizon": 2},
            long=("horizon",),
        ),
        "weight_of_bound": Door(
            d.weight_of_bound,
            {"mdp": stages, "bound": 0.1, "baseline": None, "start": None, "horizon": 2, "tolerance": 1e-6},
            long=("horizon",),
        ),
        "GridWorld": Door(GridWorld, {"map_text": "..*", "slip": "stay", "success": 0.8, "cost": 1.0, "discount": 1.0}),
        "GridWorld.state": Door(grid.state, {"row": 0, "column": 0}),
        "GridWorld.picture": Door(grid.picture, {"values": np.zeros(6)}),
        "BlocksWorld": Door(
            BlocksWorld,
            {
                "start": [2, 1],
                "stages": 3,
                "goal": [1, 2],
                "strength": 1.0,
                "norm": "blocks",
                "charged": "every",
                "forbidden": "lost",
            },
        ),
        "BlocksWorld.step": Door(world.step, {"heights": [2, 1, 1], "action": 0}),
        "BlocksWorld.allowed": Door(world.allowed, {"heights": [2, 1, 1]}),
        "BlocksWorld.exact": Door(world.exact, {"memory": 1e9, "progress": None}),
        "BlocksWorld.graph": Door(world.graph, {"merged": False}),
        "path_cost": Door(world.path_cost, {"states": [[2, 1, 1]] * 4}),
        "entropy_cost": Door(world.entropy_cost, {"heights": [2, 1, 1]}),
        "StagHunt": Door(
            StagHunt,
            {
                "side": 3,
                "hunters": [0, 1],
                "hares": [4],
                "stags": [5],
                "stages": 2,
                "hare": -2.0,
                "stag": -10.0,
                "temperature": 1.0,
            },
        ),
        "StagHunt.random": Door(StagHunt.random, {"side": 5, "hunters": 2, "seed": 0, "stages": 2}),
        "StagHunt.at": Door(hunt.at, {"temperature": 1.0}),
        "StagHunt.caught": Door(hunt.caught, {"cells": [0, 1]}),
        "StagHunt.play": Door(
            hunt.play, {"method": "exact", "loop": "closed", "choice": "map", "seed": 0, "progress": None}
        ),
    }
