"""What the sub-commands of `central` share: the random tables, and their options."""

from typing import Annotated

from ppi_robotics.checks import check_seed
from ppi_robotics.cli.arguments import check_range, option, whole
from ppi_robotics.errors import ProblemError

States = Annotated[int, option("--states", "S", "Number of states.", whole)]
Actions = Annotated[int, option("--actions", "A", "Number of actions.", whole)]
Stages = Annotated[int, option("--stages", "T", "Number of stages.", whole)]
Seed = Annotated[int, option("--seed", "N", "Seed of the random tables.", whole)]


def tables(states, actions, stages, seed):
    """The random problem, its baseline, and what it is, for JSON."""
    for flag, value in (("--states", states), ("--actions", actions), ("--stages", stages)):
        check_range(flag, value, 1, 10_000)
    check_seed(seed, "--seed")
    if states**2 * actions * stages > 10**8:
        raise ProblemError(
            f"{states} states, {actions} actions and {stages} stages have {states**2 * actions * stages} "
            "transitions; give tables of at most 1e8"
        )
    from ppi_robotics.discrete import random_problem

    facts = {"states": states, "actions": actions, "stages": stages, "seed": seed}
    return *random_problem(seed, states, actions, stages), facts


def about(facts):
    """Heading of a table."""
    return "{states} states, {actions} actions, {stages} stages, seed {seed}".format(**facts)
