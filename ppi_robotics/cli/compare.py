"""The command `compare`: policies side by side, on the same noise."""

import ppi_robotics as ppi
from ppi_robotics.cli.arguments import Json, NoiseLevel, Out, PlantName, PolicyFiles, Samples, Seed, load_policies
from ppi_robotics.cli.output import (
    evaluate_facts,
    evaluate_rows,
    gaps,
    heading,
    progress,
    setting,
    show_json,
    show_table,
)
from ppi_robotics.cli.work import count_rollouts, draw_costs, session, stop_if
from ppi_robotics.errors import ProblemError


def compare(
    plant: PlantName,
    policies: PolicyFiles,
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Compare policies on the same noise, the first being the reference; with --out also draw cost.png."""
    if len(policies) < 2:
        raise ProblemError(f"one policy, '{policies[0]}', is given; compare needs two or more, evaluate takes one")
    problem, loaded = load_policies(plant, noise, policies, samples, seed)
    table = None
    with session(problem, out) as files:
        with progress("evaluating") as say:
            table = ppi.compare(problem, loaded, samples, seed, progress=count_rollouts(say, "all policies"))
        stop_if(table.interrupted)
        if out is not None:
            draw_costs(table.evaluations, files)
    if table is None:
        return files.end(1)
    if as_json:
        evaluations = {name: evaluate_facts(result) for name, result in table.evaluations.items()}
        differences = {name: vars(difference) for name, difference in table.differences.items()}
        facts = {"reference": table.reference, "evaluations": evaluations, "differences": differences}
        show_json(setting(problem, None, seed) | facts | files.facts())
        return files.end(0)
    from ppi_robotics.texts import share, with_interval

    columns = {name: evaluate_rows(result) for name, result in table.evaluations.items()}
    for name, difference in table.differences.items():
        columns[name][f"difference to {table.reference}"] = with_interval(difference.mean, difference.interval)
        columns[name]["cheaper in"] = share(difference.wins)
    title = heading(problem, seed, table.evaluations[table.reference].samples)
    show_table(title, columns, files, gaps(table.evaluations))
    return files.end(0)
