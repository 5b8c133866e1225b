"""The arguments of the command line, and the plants, problems, methods and policies that they name."""

import difflib
import importlib.util
from pathlib import Path
from typing import Annotated

import typer

import ppi_robotics as ppi
from ppi_robotics.checks import check_count, check_seed, shown
from ppi_robotics.errors import ProblemError

SAMPLING = ("mppi", "cem", "predictive_sampling")
METHODS = ("ppi", "ilqg", "leqg", "aico", "psi", *SAMPLING)
ETA = {"ppi": 0.1, "psi": 1.0}  # defaults [1/cost]
THETA = 0.05  # default of leqg [1/cost]
ROUNDS = 400  # of methods that sample; most end earlier
EFFECTIVE = 20  # samples of mppi that are to count
KNOTS = 25  # of splines through sampled controls
EXPANSIONS = ("taylor", "cubature", "unscented", "gauss_hermite")
MOST_STAGES = MOST_INSTANCES = 1_000_000
MOST = 1_000_000_000  # of what is counted
SIMILAR = 0.6  # share of a name that must match for a guess


def whole(text):
    """A whole number from the command line."""
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is given, expected a whole number") from None


def real(text):
    """A number from the command line."""
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is given, expected a number") from None


def option(flag, metavar, text, parser):
    """An option that takes a number."""
    return typer.Option(flag, metavar=metavar, help=text, parser=parser)


def listed(names):
    """Names in a sentence."""
    return f"{', '.join(names[:-1])} or {names[-1]}"


PlantName = Annotated[str, typer.Argument(metavar="PLANT", help="A plant; `ppi-robotics plants` lists them.")]
MethodName = Annotated[str, typer.Option("--method", metavar="NAME", help=f"{listed(METHODS)}.")]
Eta = Annotated[
    float | None,
    option("--eta", "E", f"Weight of the cost for ppi, {ETA['ppi']:g} by default, or psi, {ETA['psi']:g}.", real),
]
Theta = Annotated[float | None, option("--theta", "TH", f"Risk aversion for leqg; {THETA} by default.", real)]
Etas = Annotated[str | None, typer.Option("--eta", metavar="E1,E2,...", help="Weights of the cost for ppi.")]
Thetas = Annotated[str | None, typer.Option("--theta", metavar="TH1,TH2,...", help="Risk aversions for leqg.")]
Expansions = Annotated[
    str, typer.Option("--expansion", metavar="NAME,...", help=f"Local models of ppi: {', '.join(EXPANSIONS)}.")
]
Horizon = Annotated[int | None, option("--horizon", "T", "Stages, not seconds; the plant's by default.", whole)]
NoiseLevel = Annotated[float | None, option("--noise", "S", "The plant's sigma; the plant's own by default.", real)]
Starts = Annotated[int | None, option("--starts", "K", "Number of initial guesses, of which the best is kept.", whole)]
Samples = Annotated[int, option("--samples", "N", "Number of noisy rollouts, at least 2.", whole)]
Seed = Annotated[int, option("--seed", "N", "Seed of initial guesses and noise.", whole)]
Out = Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Folder for the files.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
PolicyFile = Annotated[Path, typer.Argument(metavar="POLICY.npz", help="A file written by solve or swingup.")]
PolicyFiles = Annotated[list[Path], typer.Argument(metavar="A.npz B.npz ...", help="Two policies or more.")]


def check_plants():
    """Raise `ProblemError` where another module of that name hides the package of ready-made plants."""
    own, spec = Path(ppi.__file__).parents[1] / "plants" / "__init__.py", importlib.util.find_spec("plants")
    if spec is not None and spec.origin != str(own) and own.is_file():
        raise ProblemError(
            f"'{spec.origin or 'plants'}' hides the package plants that comes with ppi_robotics; rename it, or run "
            "elsewhere"
        )


def catalog():
    """Plant classes by name."""
    from plants import BY_NAME

    return BY_NAME


def bodies():
    """The module of ready-made MuJoCo bodies and their tasks."""
    from plants import mujoco_bodies

    return mujoco_bodies


def tasks_of(body):
    """Ready-made tasks of a body by name."""
    return {task: facts for (owner, task), facts in bodies().TASKS.items() if owner == body}


def make_plant(name, noise=None):
    """The plant of a name, with another noise level if one is given."""
    known = catalog()
    check_choice("plant", name, known)
    if noise is None:
        return known[name]()
    check_noise(noise, "the plant's sigma")
    return known[name](sigma=noise)


def make_problem(plant, horizon):
    """The swing-up of a plant."""
    if horizon is not None and not 1 <= horizon <= MOST_STAGES:
        raise ProblemError(f"--horizon is {shown(horizon)}; expected 1 to {MOST_STAGES} stages of {plant.dt:g} s each")
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, horizon or plant.default_horizon)


def make_method(name, eta, theta, horizon, **sampling):
    """The method of a name, for a horizon, with what differs from the defaults if it samples."""
    check_choice("method", name, METHODS)
    for flag, value, owners in (("--eta", eta, tuple(ETA)), ("--theta", theta, ("leqg",))):
        if value is not None and name not in owners:
            names = " and ".join(owners)
            raise ProblemError(
                f"{flag} belongs to method {names}, the method is {name}; leave it out or give --method {owners[0]}"
            )
    if name in ETA:
        return (ppi.PPI if name == "ppi" else ppi.PsiIteration)(ETA[name] if eta is None else eta)
    if name == "leqg":
        return ppi.LEQG(THETA if theta is None else theta)
    if name in SAMPLING:
        return sampling_method(name, horizon, **sampling)
    return ppi.ILQG() if name == "ilqg" else ppi.AICO()


def sampling_method(name, horizon, **options):
    """A method that samples, with the command line's defaults where an option is not given."""
    options = {"max_iterations": ROUNDS} | options
    if "smoothing" not in options:
        options["smoothing"] = ppi.Splines(KNOTS) if horizon >= 2 * KNOTS else ppi.White()
    if name == "mppi":
        return ppi.MPPI(**{"temperature": ppi.TargetESS(EFFECTIVE)} | options)
    return (ppi.CEM if name == "cem" else ppi.PredictiveSampling)(**options)


def weights_of(flag, text):
    """Numbers of a list that is separated by commas."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise ProblemError(f"{flag} is {shown(text)}; expected numbers separated by commas, such as 0,0.1,1") from None


def expansions_of(text):
    """Names of expansions of a list that is separated by commas."""
    names = text.split(",")
    for i, name in enumerate(names):
        check_choice("expansion", name, EXPANSIONS)
        if name in names[:i]:
            raise ProblemError(f"--expansion holds {name} twice; give every expansion once")
    return names


def load_policies(plant, noise, paths, samples, seed):
    """The problem that policies were made for, and the policies by a short name each."""
    check_counts(seed, samples=samples)
    plant = make_plant(plant, noise)
    twice = next((path for i, path in enumerate(paths) if path in paths[:i]), None)
    if twice is not None:
        raise ProblemError(f"policy '{twice}' is given twice; give every file once")
    stems = [path.stem for path in paths]
    names = [path.stem if stems.count(path.stem) == 1 else str(path) for path in paths]
    policies = {name: ppi.LinearGaussianPolicy.load(path) for name, path in zip(names, paths, strict=True)}
    problem = make_problem(plant, policies[names[0]].horizon)
    for policy in policies.values():
        policy.check(problem)
    return problem, policies


def check_choice(what, name, choices):
    """Raise `ProblemError` unless the name is one of the choices."""
    if name not in choices:
        match = difflib.SequenceMatcher(b=name.lower().replace("-", "_"))
        alike = {choice: match.set_seq1(choice) or match.ratio() for choice in choices}
        close = max(alike, key=alike.get)  # of equal ones the first
        guess = f"; did you mean {close}?" if alike[close] >= SIMILAR else ""
        raise ProblemError(f"unknown {what} {shown(name)}; choose from {', '.join(choices)}{guess}")


def check_noise(noise, what):
    """Raise `ProblemError` if a noise level is given and out of range."""
    if noise is not None and not 0 <= noise < 1e100:
        raise ProblemError(f"--noise is {noise:g}; expected a finite number, 0 or more, for {what}")


def check_counts(seed, starts=None, samples=None):
    """Raise `ProblemError` if one of the numbers that commands share is out of range."""
    check_range("--starts", starts, 1)
    check_range("--samples", samples, 2)
    check_seed(seed, "--seed")


def check_range(flag, value, least, most=MOST):
    """Raise `ProblemError` if a whole number is given and out of range."""
    if value is not None:
        check_count(value, flag, least, most)
