"""The command `central`: the recursion on tables, checked against what is known about it."""

import math
from typing import Annotated

import typer

from ppi_robotics.cli.arguments import Json, Out, check_range, option, real, weights_of, whole
from ppi_robotics.cli.central_descents import mm, ppi
from ppi_robotics.cli.central_tables import Actions, Seed, Stages, States, about, tables
from ppi_robotics.cli.output import progress, show_json, show_rows
from ppi_robotics.cli.work import Files, write_figure

central = typer.Typer(
    add_completion=False, help="The recursion on random tables, for any weights of policy and transitions."
)

Weight = Annotated[float, option("--weight", "L", "Weight of policy and transitions alike, above 0.", real)]
LambdaPolicy = Annotated[
    float | None, option("--lambda-policy", "LP", "0 to inf; all named problems if left out.", real)
]
LambdaTransition = Annotated[float | None, option("--lambda-transition", "LS", "Any sign, 0 by default.", real)]
Shares = Annotated[str, typer.Option("--shares", metavar="W,...", help="Shares of the terminal costs, 0 or more.")]
Samples = Annotated[int, typer.Option("--samples", "--N", metavar="N", help="Number of trajectories.", parser=whole)]
Repeats = Annotated[int, option("--repeats", "K", "Number of estimates, of noise seeds 0 to K - 1.", whole)]
State = Annotated[int, option("--state", "X", "State to start from.", whole)]

MODES = {
    "SOC": (math.inf, 0.0),
    "RSOC seeking": (math.inf, 2.0),
    "RSOC averse": (math.inf, -2.0),
    "SP-SOC": (2.0, 0.0),
    "SP-RSOC seeking": (2.0, 1.0),
    "SP-RSOC averse": (2.0, -1.0),
    "synchronized": (2.0, 2.0),
}


@central.command("solve")
def solve_tables(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    lambda_policy: LambdaPolicy = None,
    lambda_transition: LambdaTransition = None,
    out: Out = None,
    as_json: Json = False,
):
    """Values of the seven named problems, or of one choice of weights; with --out also draw plane.png."""
    from ppi_robotics.discrete import mean_and_variance, solve

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    modes, files = MODES, Files(out)
    if lambda_policy is not None or lambda_transition is not None:
        lP = math.inf if lambda_policy is None else lambda_policy
        modes = {"chosen": (lP, lambda_transition or 0.0)}
    found = []
    for name, weights in modes.items():
        solution = solve(mdp, *weights, log_rho)
        mean, variance = mean_and_variance(mdp, solution.log_policy)
        found.append(
            {"name": name, "lambda_policy": weights[0], "lambda_transition": weights[1]}
            | {"value": solution.value[0].tolist(), "mean": mean[0].tolist(), "variance": variance[0].tolist()}
        )
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            write_figure(plotting.tables.plane(mdp, log_rho)[0].figure, "plane.png", files)
    if as_json:
        return show_json(facts | {"modes": found, "files": files.written})
    rows = [["problem", "lambda P", "lambda S", *(f"V({x})" for x in range(states))]]
    for one in found:
        weights = [f"{one[key]:g}" for key in ("lambda_policy", "lambda_transition")]
        rows.append([one["name"], *weights, *(f"{value:.10f}" for value in one["value"])])
    show_rows(about(facts), rows, files)
    return 0


@central.command()
def compose(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    shares: Shares = "0.2,0.5,0.3",
    as_json: Json = False,
):
    """Policies for several terminal costs mixed into one, against the direct solution, and where that fails."""
    from dataclasses import replace

    import numpy as np

    from ppi_robotics.discrete import compose_tables, soft_minimum, solve, solve_linear

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    w = weights_of("--shares", shares)
    terminals = np.random.default_rng(seed + 1).uniform(0.0, 3.0, (len(w), states))
    several = replace(mdp, terminal=soft_minimum(terminals, w, weight))
    direct = solve(several, weight, weight, log_rho)
    mixed = compose_tables(solve_linear(mdp, weight, log_rho, terminals=terminals), w)
    parts = [solve(replace(mdp, terminal=one), weight, weight / 2, log_rho).value for one in terminals]
    other = solve(several, weight, weight / 2, log_rho).value
    facts |= {
        "weight": weight,
        "shares": w,
        "value_error": float(np.abs(mixed.value - direct.value).max()),
        "policy_error": float(np.abs(mixed.policy - direct.policy).max()),
        "control": {
            "lambda_policy": weight,
            "lambda_transition": weight / 2,
            "value_error": float(np.abs(soft_minimum(parts, w, weight) - other).max()),
        },
    }
    if as_json:
        return show_json(facts)
    rows = [
        ["mixture against direct solution", "largest difference"],
        [f"values, weights ({weight:g}, {weight:g})", f"{facts['value_error']:.2g}"],
        [f"policies, weights ({weight:g}, {weight:g})", f"{facts['policy_error']:.2g}"],
        [f"values, weights ({weight:g}, {weight / 2:g}), not linear", f"{facts['control']['value_error']:.2g}"],
    ]
    show_rows(f"{about(facts)}, {len(w)} terminal costs, seed {seed + 1}", rows, Files(None))
    return 0


@central.command("linear")
def linear_equation(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    as_json: Json = False,
):
    """The linear Bellman equation against the recursion."""
    import numpy as np

    from ppi_robotics.discrete import solve, solve_linear

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    one, other = solve_linear(mdp, weight, log_rho), solve(mdp, weight, weight, log_rho)
    facts |= {
        "weight": weight,
        "value": one.value[0].tolist(),
        "value_error": float(np.abs(one.value - other.value).max()),
        "policy_error": float(np.abs(one.policy - other.policy).max()),
    }
    if as_json:
        return show_json(facts)
    rows = [["", *(f"V({x})" for x in range(states)), "difference to the recursion"]]
    rows.append(["linear equation", *(f"{value:.10f}" for value in facts["value"]), f"{facts['value_error']:.2g}"])
    show_rows(f"{about(facts)}, weight {weight:g}", rows, Files(None))
    return 0


central.command()(mm)
central.command()(ppi)


@central.command("path-integral")
def path_integral(
    states: States = 5,
    actions: Actions = 3,
    stages: Stages = 6,
    seed: Seed = 0,
    weight: Weight = 2.0,
    state: State = 0,
    samples: Samples = 100_000,
    repeats: Repeats = 20,
    out: Out = None,
    as_json: Json = False,
):
    """Value and first action from sampled trajectories, against the exact ones; with --out also draw estimate.png."""
    import numpy as np

    from ppi_robotics.discrete import sample_integral, solve
    from ppi_robotics.texts import with_error

    mdp, log_rho, facts = tables(states, actions, stages, seed)
    check_range("--repeats", repeats, 1, 10_000)
    check_range("--samples", samples, 2)
    files, exact = Files(out), solve(mdp, weight, weight, log_rho)
    with progress("sampling"):
        found = [sample_integral(mdp, weight, state, 0, samples, k, log_rho) for k in range(repeats)]
    values, errors, ess = np.array([(one.value, one.standard_error, one.ess) for one in found]).T
    pooled = math.sqrt(float(np.mean(errors**2)) / repeats)
    policy, target = np.mean([one.policy for one in found], axis=0), exact.policy[0, state]
    facts |= {
        "weight": weight,
        "state": state,
        "samples": samples,
        "repeats": repeats,
        "exact": float(exact.value[0, state]),
        "mean": float(values.mean()),
        "mean_standard_error": pooled,
        "standard_error": float(errors.mean()),
        "values": values.tolist(),
        "ess": float(ess.mean()),
        "policy": policy.tolist(),
        "policy_exact": target.tolist(),
    }
    if out is not None:
        with progress("drawing the picture"):
            from ppi_robotics import plotting

            axes = plotting.tables.estimates(mdp, log_rho, weight, state, samples, min(repeats, 20))
            write_figure(axes[0].figure, "estimate.png", files)
    if as_json:
        return show_json(facts | {"files": files.written})
    policies = [", ".join(f"{p:.4f}" for p in one) for one in (policy, target)]
    rows = [
        ["", "estimate", "exact"],
        [f"value, mean of {repeats}", with_error(facts["mean"], pooled), f"{facts['exact']:.6f}"],
        ["standard error of one", f"{facts['standard_error']:.2g}", ""],
        ["first action", *policies],
        ["effective samples of one", f"{facts['ess']:.0f}", ""],
    ]
    show_rows(f"{about(facts)}, weight {weight:g}, {samples} trajectories from state {state}", rows, files)
    return 0
