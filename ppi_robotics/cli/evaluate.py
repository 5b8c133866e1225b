"""The command `evaluate`: the cost of a policy under noise."""

from ppi_robotics.cli.arguments import Json, NoiseLevel, Out, PlantName, PolicyFile, Samples, Seed, load_policies
from ppi_robotics.cli.output import evaluate_facts, evaluate_rows, gaps, heading, setting, show_json, show_table
from ppi_robotics.cli.work import draw_figures, run_evaluate, session, stop_if


def evaluate(
    plant: PlantName,
    policy: PolicyFile,
    samples: Samples = 1000,
    noise: NoiseLevel = None,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Estimate the cost of a policy under noise; with --out also draw trajectory.png and cost.png."""
    problem, loaded = load_policies(plant, noise, [policy], samples, seed)
    ((name, loaded),) = loaded.items()
    results = {}
    with session(problem, out) as files:
        results[name] = run_evaluate(problem, loaded, name, samples, seed)
        stop_if(results[name].interrupted)
        if out is not None:
            draw_figures(problem, loaded, name, results, files)
    if not results:
        return files.end(1)
    if as_json:
        facts = {"policy": str(policy)} | setting(problem, None, seed)
        show_json(facts | evaluate_facts(results[name]) | files.facts())
    else:
        title, rows = heading(problem, seed, results[name].samples), {name: evaluate_rows(results[name])}
        show_table(title, rows, files, gaps({"": results[name]}))
    return files.end(0)
