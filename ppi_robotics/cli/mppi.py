"""The command `mppi`, and what its options may be."""

from pathlib import Path
from typing import Annotated

import typer

import ppi_robotics as ppi
from ppi_robotics.cli.arguments import (
    Horizon,
    Json,
    NoiseLevel,
    Out,
    PlantName,
    Samples,
    Seed,
    Starts,
    check_counts,
    make_plant,
    make_problem,
    option,
    sampling_method,
    weights_of,
    whole,
)
from ppi_robotics.cli.output import progress
from ppi_robotics.cli.swingup import swing_up
from ppi_robotics.cli.work import write_figure
from ppi_robotics.errors import ProblemError

# what the text of an option may be: a name and, behind a colon, numbers; and the record that it makes
RULES = {
    "ess": ("SHARE_OR_COUNT", lambda n: ppi.TargetESS(n)),
    "reps": ("NATS", lambda n: ppi.REPS(n)),
    "lbps": ("DELTA", lambda n: ppi.LBPS(n)),
    "elite": ("SHARE_OR_COUNT", lambda n: ppi.Elite(n)),
}
KERNELS = ("squared_exponential", "matern12", "matern32", "matern52")
SMOOTHINGS = {
    "white": (None, lambda: ppi.White()),
    "ar1": ("CORRELATION", lambda b: ppi.AR1(b)),
    "colored": ("EXPONENT", lambda exponent: ppi.Colored(exponent)),
    "splines": ("KNOTS", lambda knots: ppi.Splines(knots)),
    **{name: ("SECONDS", lambda length, name=name: ppi.Kernel(name, length)) for name in KERNELS},
    "periodic": ("SECONDS,PERIOD", lambda length, period: ppi.Kernel("periodic", length, period)),
}


def forms(choices):
    """What there is to choose from, in a sentence."""
    return ", ".join(name if numbers is None else f"{name}:{numbers}" for name, (numbers, _) in choices.items())


Sequences = Annotated[int | None, option("--sequences", "N", "Sampled control sequences a round.", whole)]
Temperature = Annotated[
    str | None,
    typer.Option("--temperature", metavar="RULE", help=f"Of the weights: a number [cost], or one of {forms(RULES)}."),
]
Spread = Annotated[
    str | None,
    typer.Option("--spread", metavar="S1,S2,...", help="Standard deviation of the sampled controls, one or one each."),
]
Smoothing = Annotated[
    str | None,
    typer.Option(
        "--smoothing", metavar="KIND", help=f"How samples of different stages hang together: {forms(SMOOTHINGS)}."
    ),
]
NoiseDraws = Annotated[
    int | None, option("--noise-draws", "M", "Rollouts a sequence, each with noise of its own; none by default.", whole)
]
Feedback = Annotated[
    str | None, typer.Option("--feedback", metavar="NAME", help="Where gains come from: sweep, samples or none.")
]
Iterations = Annotated[int | None, option("--iterations", "K", "Rounds at most.", whole)]


def mppi(
    plant: PlantName,
    sequences: Sequences = None,
    temperature: Temperature = None,
    spread: Spread = None,
    smoothing: Smoothing = None,
    noise_draws: NoiseDraws = None,
    feedback: Feedback = None,
    iterations: Iterations = None,
    horizon: Horizon = None,
    noise: NoiseLevel = None,
    starts: Starts = None,
    samples: Samples = 1000,
    seed: Seed = 0,
    out: Out = None,
    as_json: Json = False,
):
    """Solve a swing-up by model-predictive path integrals, and evaluate and draw it beside iLQG."""
    given = {
        "samples": sequences,
        "temperature": None if temperature is None else temperature_of(temperature),
        "spread": None if spread is None else tuple(weights_of("--spread", spread)),
        "smoothing": None if smoothing is None else chosen("--smoothing", smoothing, SMOOTHINGS),
        "noise_draws": noise_draws,
        "feedback": feedback,
        "max_iterations": iterations,
    }
    problem = make_problem(make_plant(plant, noise), horizon)
    given = {name: value for name, value in given.items() if value is not None}
    method = sampling_method("mppi", problem.horizon, **given)
    check_counts(seed, starts, samples)
    method.plan(problem)  # refuses what does not fit the plant

    def draw_more(solution, files):
        draw_samples(problem, solution, seed, files)

    return swing_up(problem, method, seed, starts, samples, out or Path("out", plant), as_json, draw_more)


def temperature_of(text):
    """A temperature or a rule for it."""
    try:
        return float(text)
    except ValueError:
        return chosen("--temperature", text, RULES, "a number, or one of ")


def chosen(flag, text, choices, also="one of "):
    """The record that a text such as `splines:15` stands for."""
    name, _, numbers = text.partition(":")
    wanted, make = choices.get(name, ("", None))
    try:
        values = [number_of(part) for part in numbers.split(",")] if numbers else []
    except ValueError:
        values = None
    if make is None or values is None or len(values) != (0 if wanted is None else wanted.count(",") + 1):
        raise ProblemError(f"{flag} is '{text}'; expected {also}{forms(choices)}")
    return make(*values)


def number_of(text):
    """A whole number where the text is one, which counts samples or knots; else a number, such as a share."""
    try:
        return int(text)
    except ValueError:
        return float(text)


def draw_samples(problem, solution, seed, files):
    """Write samples.png, and fan.png where a sampled rollout stays finite."""
    with progress("drawing the samples"):
        from ppi_robotics import plotting

        write_figure(plotting.sampling.fan(problem, solution, seed=seed)[0].figure, "fan.png", files)
        write_figure(plotting.sampling.samples(solution)[0].figure, "samples.png", files)
