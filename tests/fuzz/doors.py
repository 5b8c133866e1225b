"""Public calls of the continuous side, each with arguments that it accepts; tiny, as every one runs many times."""

import functools
import tempfile
from pathlib import Path

import matplotlib
import numpy as np

import plants
import ppi_robotics as ppi
from ppi_robotics import animation, gym, plotting, rendering, tasks
from tests.fuzz.door import Door

matplotlib.use("Agg")
T = 4


class Mass(ppi.SymbolicPlant):
    state_names, control_names = ("position", "velocity"), ("force",)
    dt, integrator = 0.1, "euler"
    noise = (0.0, 1e-3)

    def derivative(self, x, u):
        return ppi.vertcat(x[1], u[0])


ARM = """<mujoco><option timestep=".01"/><worldbody><body><joint name="j" axis="0 1 0" damping=".1"/>
<geom size=".05" pos="0 0 -.3"/><site name="tip" pos="0 0 -.3"/></body></worldbody>
<actuator><motor name="m" joint="j" ctrlrange="-1 1"/></actuator>
<sensor><jointpos name="angle" joint="j"/></sensor><keyframe><key name="up" qpos="3"/></keyframe></mujoco>"""
POINT = ppi.Quadratic([1.0, 0.1], [0.1], [3.0, 1.0], [1.0, 0.0])


@functools.cache
def made(name):
    """Objects that several calls share."""
    return MADE[name]()


def policy_file():
    path = Path(tempfile.mkdtemp()) / "policy.npz"
    made("policy").save(path)
    return path


def mixture():
    problems = [ppi.Problem(Mass(), ppi.Quadratic([0.0, 0.0], [0.1], [3.0, 1.0], [g, 0.0]), [0, 0], T) for g in (-1, 1)]
    method = ppi.PPI(0.5)
    return ppi.compose([ppi.solve(p, method) for p in problems], [0.5, 0.5])


def loop(data):
    return np.zeros(1)


MADE = {
    "mass": Mass,
    "problem": lambda: ppi.Problem(made("mass"), POINT, [0.0, 0.0], T),
    "solution": lambda: ppi.solve(made("problem"), ppi.ILQG(), starts=1),
    "policy": lambda: made("solution").policy,
    "sampled": lambda: ppi.solve(made("problem"), ppi.MPPI(samples=16, max_iterations=2), starts=1),
    "evaluation": lambda: ppi.evaluate(made("problem"), made("policy"), 8),
    "arm": lambda: ppi.MujocoPlant(ARM, success=lambda x: x[:, 0] > 0),
    "arm problem": lambda: ppi.Problem(made("arm"), ppi.TaskCost([ppi.Effort(1.0)]), [0.0, 0.0], T),
    "arm policy": lambda: ppi.LinearGaussianPolicy(
        np.zeros((T, 2)), np.zeros((T, 1)), np.zeros((T, 1, 2)), np.zeros((T, 1, 1)), made("arm").dt
    ),
    "mixture": mixture,
    "horizon": lambda: ppi.RecedingHorizon(made("problem"), ppi.ILQG(max_iterations=3)),
    "environment": lambda: gym.Environment(made("problem")),
    "rollouts": lambda: ppi.rollout(made("problem"), made("policy"), 3),
}


def plant_of(**attributes):
    return type("Other", (Mass,), attributes)()


def task_cost(term):
    return lambda **options: ppi.Problem(made("arm"), ppi.TaskCost([term(**options), ppi.Effort(0.1)]), [0, 0], 2)


def with_sides(method):
    return {"problem": made("problem"), "method": method, "starts": 1}


def doors():
    """All calls by name."""
    problem, policy, solution = made("problem"), made("policy"), made("solution")
    x_ref, u_ref, K, cov = policy.x_ref, policy.u_ref, policy.K, policy.cov
    sample = {"samples": 4, "seed": 0}
    gaussian = {"mean": np.zeros(2), "cov": np.eye(2)}
    sampling = {"samples": 8, "max_iterations": 2, "temperature": 1.0, "spread": None, "baseline": "moving"}
    sampling |= {"noise_draws": 0, "lambda_transition": 0.0, "draws": "normal"}
    sampling |= {"feedback": "sweep", "covariance": "time", "anneal": 0.0, "proposal": None}
    sampling |= {"renewal": 10, "tolerance": 0.1, "smoothing": ppi.White()}
    model, data = made("arm").model, None
    states = np.zeros((3, 2))
    law = ppi.Controller(made("arm policy"), made("arm"))
    result, mixed = made("evaluation"), made("mixture")
    rows = {"x": np.zeros((2, 2)), "u": np.zeros((2, 1))}

    def sampled(kind, **options):
        return ppi.solve(problem, kind(**options), starts=1)

    def running(**options):
        with ppi.RecedingHorizon(**options) as mpc:
            return mpc.command(np.zeros(2))

    def running_on(x):
        with ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=2)) as mpc:
            return mpc.command(x)

    def prepared(x):
        with ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=2)) as mpc:
            mpc.prepare(x)

    def retargeted(problem):
        with ppi.RecedingHorizon(made("problem"), ppi.ILQG(max_iterations=2)) as mpc:
            mpc.retarget(problem)

    def run(**options):
        import mujoco

        return ppi.run(**({"model": model, "data": mujoco.MjData(model)} | options))

    return {
        "Gaussian": Door(ppi.Gaussian, gaussian | {"quaternions": ()}),
        "Noise": Door(ppi.Noise, {"process": np.ones(2), "control": [0.1], "state": [0.1, 0.1], "sensor": None}),
        "Problem": Door(
            ppi.Problem,
            {"plant": made("mass"), "cost": POINT, "initial": np.zeros(2), "horizon": T, "success": None},
            solved=False,
        ),
        "Quadratic": Door(
            lambda **o: ppi.Problem(made("mass"), ppi.Quadratic(**o), [0, 0], T),
            {"state": [1.0, 1.0], "control": [1.0], "terminal": [1.0, 1.0], "goal": [0.0, 0.0]},
        ),
        "LeastSquares": Door(
            lambda **o: ppi.Problem(made("mass"), ppi.LeastSquares(**o), [0, 0], T),
            {"stage": lambda x, u: ppi.vertcat(x, u), "terminal": None, "hessian": "gauss_newton"},
        ),
        "SymbolicCost": Door(
            lambda **o: ppi.Problem(made("mass"), ppi.SymbolicCost(**o), [0, 0], T),
            {"stage": lambda x, u: ppi.sumsqr(x) + ppi.sumsqr(u), "terminal": None, "hessian": "project"},
        ),
        "SymbolicPlant": Door(
            plant_of,
            {
                "state_names": ("p", "v"),
                "control_names": ("f",),
                "dt": 0.1,
                "integrator": "rk4",
                "units": ("m", "m/s", "N"),
                "control_limits": None,
                "state_limits": None,
                "noise": (0.0, 0.1),
                "name": "other",
                "success": None,
                "derivative": lambda self, x, u: ppi.vertcat(x[1], u[0]),
                "quaternions": (),
            },
        ),
        "plant.success": Door(
            lambda success: ppi.evaluate(
                ppi.Problem(plant_of(name="Mass", success=success), POINT, [0, 0], T), policy, 2
            ),
            {"success": None},
        ),
        "problem.success": Door(
            lambda success: ppi.evaluate(ppi.Problem(made("mass"), POINT, [0, 0], T, success), policy, 2),
            {"success": None},
        ),
        "plant.step": Door(made("mass").step, rows),
        "plant.linearize": Door(made("mass").linearize, rows),
        "plant.expand": Door(made("mass").expand, rows | {"adjoint": np.zeros((2, 2))}),
        "plant.difference": Door(made("mass").difference, {"x": np.zeros((2, 2)), "y": np.zeros((2, 2))}),
        "plant.retract": Door(made("mass").retract, {"x": np.zeros((2, 2)), "dx": np.zeros((2, 2))}),
        "starting_at": Door(problem.starting_at, {"x": np.zeros(2), "success": None}),
        "LinearGaussianPolicy": Door(
            ppi.LinearGaussianPolicy,
            {
                "x_ref": x_ref,
                "u_ref": u_ref,
                "K": K,
                "cov": cov,
                "dt": 0.1,
                "plant": "Mass",
                "state_names": ("a", "b"),
                "control_names": ("c",),
                "quaternions": (),
            },
        ),
        "policy.mean": Door(policy.mean, {"t": 0, "x": np.zeros(2)}),
        "policy.sample": Door(policy.sample, {"t": 0, "x": np.zeros(2), "rng": np.random.default_rng(0)}),
        "policy.interpolate": Door(policy.interpolate, {"time": 0.1}),
        "policy.transfer": Door(policy.transfer, {"plant": made("mass")}),
        "policy.check": Door(policy.check, {"problem": problem}),
        "policy.save": Door(policy.save, {"path": Path(tempfile.mkdtemp()) / "saved.npz"}),
        "policy.load": Door(ppi.LinearGaussianPolicy.load, {"path": policy_file()}),
        "ILQG": Door(
            ppi.ILQG,
            {
                "hessian": "auto",
                "limits": "auto",
                "max_iterations": 3,
                "tolerance": 1e-9,
                "damping": 1.0,
                "fresh_gains": True,
            },
        ),
        "LEQG": Door(ppi.LEQG, {"theta": 0.1, "max_iterations": 3, "tolerance": 1e-5}),
        "PPI": Door(
            ppi.PPI,
            {
                "eta": 0.1,
                "baseline": "flat",
                "expansion": "taylor",
                "about": "belief",
                "temperature": "fixed",
                "max_iterations": 3,
                "tolerance": 1e-5,
            },
        ),
        "AICO": Door(ppi.AICO, {"max_iterations": 3, "tolerance": 1e-5}),
        "KLControl": Door(
            ppi.KLControl,
            {
                "lambda_policy": 1.0,
                "lambda_transition": 0.0,
                "baseline": "posterior",
                "spread": None,
                "max_iterations": 3,
                "tolerance": 1e-6,
            },
        ),
        "PsiIteration": Door(
            ppi.PsiIteration,
            {"eta": 1.0, "baseline": "posterior", "spread": None, "max_iterations": 3, "tolerance": 1e-6},
        ),
        "MPPI": Door(functools.partial(sampled, ppi.MPPI), sampling, long=("max_iterations", "noise_draws")),
        "CEM": Door(
            functools.partial(sampled, ppi.CEM),
            sampling | {"temperature": ppi.Elite(0.5)},
            long=("max_iterations", "noise_draws"),
        ),
        "PredictiveSampling": Door(
            functools.partial(sampled, ppi.PredictiveSampling),
            sampling | {"temperature": ppi.Elite(1), "covariance": "fixed"},
            long=("max_iterations", "noise_draws"),
        ),
        "AR1": Door(ppi.AR1, {"correlation": 0.5}),
        "Colored": Door(ppi.Colored, {"exponent": 2.0}),
        "Kernel": Door(ppi.Kernel, {"name": "matern32", "length": 0.3, "period": None}),
        "Kernel.factor": Door(ppi.Kernel("matern32", 0.3).factor, {"T": 5, "dt": 0.1}),
        "AR1.factor": Door(ppi.AR1(0.5).factor, {"T": 5, "dt": 0.1}),
        "Colored.factor": Door(ppi.Colored(1.0).factor, {"T": 5, "dt": 0.1}),
        "White.factor": Door(ppi.White().factor, {"T": 5, "dt": 0.1}),
        "Splines": Door(ppi.Splines, {"knots": 5, "degree": 3}),
        "Splines.factor": Door(ppi.Splines(4).factor, {"T": 9, "dt": 0.1}),
        "Kernel.shifted": Door(
            ppi.Kernel("matern32", 0.3).shifted,
            {"cov": np.eye(4), "stages": 1, "dt": 0.1, "anneal": 0.0},
        ),
        "Fixed": Door(ppi.Fixed, {"temperature": 1.0}),
        "TargetESS": Door(ppi.TargetESS, {"samples": 5}),
        "LBPS": Door(ppi.LBPS, {"delta": 0.5}),
        "REPS": Door(ppi.REPS, {"epsilon": 0.5}),
        "Elite": Door(ppi.Elite, {"samples": 5}),
        "TargetESS.weights": Door(ppi.TargetESS(2).weights, {"costs": [1.0, 2.0, 3.0], "log_ratio": np.zeros(3)}),
        "Elite.weights": Door(ppi.Elite(2).weights, {"costs": [1.0, 2.0, 3.0], "log_ratio": np.zeros(3)}),
        "Fixed.weights": Door(ppi.Fixed(1.0).weights, {"costs": [1.0, 2.0, 3.0], "log_ratio": np.zeros(3)}),
        "LBPS.weights": Door(ppi.LBPS().weights, {"costs": [1.0, 2.0, 3.0], "log_ratio": np.zeros(3)}),
        "REPS.weights": Door(ppi.REPS(0.3).weights, {"costs": [1.0, 2.0, 3.0], "log_ratio": np.zeros(3)}),
        "solve": Door(
            ppi.solve,
            with_sides(ppi.ILQG(max_iterations=4)) | {"seed": 0, "policy": None, "trajectory": None, "callback": None},
            long=("starts",),
        ),
        "solve PPI": Door(
            ppi.solve,
            with_sides(ppi.PPI(0.1, max_iterations=4)) | {"policy": policy, "trajectory": None},
            long=("starts",),
        ),
        "solve trajectory": Door(
            lambda x, u: ppi.solve(problem, ppi.ILQG(max_iterations=2), trajectory=(x, u)),
            {"x": np.zeros((T + 1, 2)), "u": np.zeros((T, 1))},
        ),
        "SigmaPoints": Door(
            ppi.SigmaPoints, {"rule": "unscented", "order": 3, "alpha": 1.0, "beta": 0.0, "kappa": 1.0}
        ),
        "SigmaPoints.points": Door(ppi.SigmaPoints().points, {"n": 3}),
        "critical_theta": Door(ppi.critical_theta, {"solution": solution}),
        "rollout": Door(
            ppi.rollout,
            sample
            | {"problem": problem, "policy": policy, "first": 0, "stochastic": False, "threads": None, "samples": 2},
        ),
        "Controller": Door(ppi.Controller, {"policy": made("arm policy"), "plant": made("arm"), "interpolate": True}),
        "Controller.reset": Door(law.reset, {"time": None}),
        "run": Door(
            run,
            {
                "controller": loop,
                "seconds": 0.05,
                "viewer": False,
                "video": None,
                "realtime": None,
                "progress": None,
                "push": None,
            },
            long=("seconds",),
            without=(("viewer", "True"), ("viewer", "numpy True"), ("seconds", "1e300")),
        ),
        "run model": Door(
            lambda model, data: ppi.run(loop, model, data, 0.02), {"model": model, "data": data}, plain=False
        ),
        "Evaluation": Door(
            ppi.Evaluation,
            {
                "cost": [1.0, 2.0, 3.0],
                "success": None,
                "seed": 0,
                "first": 0,
                "stochastic": False,
                "interrupted": False,
                "seconds": 0.0,
                "problem": None,
                "policy": None,
            },
        ),
        "success_interval": Door(result.success_interval, {"level": 0.95}, plain=False),
        "quantile": Door(result.quantile, {"q": 0.5}),
        "quantile_interval": Door(result.quantile_interval, {"q": 0.5, "level": 0.5}),
        "cvar": Door(result.cvar, {"level": 0.5}),
        "cvar_standard_error": Door(result.cvar_standard_error, {"level": 0.5}),
        "entropic": Door(result.entropic, {"eta": 0.1}),
        "entropic_standard_error": Door(result.entropic_standard_error, {"eta": 0.1}),
        "replay": Door(result.replay, {"i": 0}),
        "joined": Door(result.joined, {"later": ppi.evaluate(problem, policy, 4, first=8)}),
        "evaluate": Door(
            ppi.evaluate,
            sample
            | {
                "problem": problem,
                "policy": policy,
                "stochastic": False,
                "threads": 1,
                "progress": None,
                "first": 0,
            },
        ),
        "compare": Door(
            ppi.compare,
            sample | {"problem": problem, "policies": {"a": policy}, "stochastic": False, "progress": None},
        ),
        "sweep": Door(
            ppi.risk_sweep,
            {
                "problem": problem,
                "method": ppi.PPI(0.1, max_iterations=3),
                "eta": [0.1],
                "seed": 0,
                "starts": 1,
                "callback": None,
            },
            long=("starts",),
        ),
        "sweep theta": Door(
            ppi.risk_sweep,
            {"problem": problem, "method": ppi.LEQG(0.1, max_iterations=3), "theta": [0.1], "starts": 1},
            long=("starts",),
        ),
        "fan": Door(ppi.fan, sample | {"problem": problem, "solution": made("sampled")}),
        "risk_profile": Door(
            ppi.risk_profile,
            sample
            | {
                "problem": problem,
                "ilqg": solution,
                "eta": {0.1: solution},
                "theta": None,
                "threads": None,
                "progress": None,
            },
        ),
        "path_integral": Door(
            ppi.path_integral,
            sample | {"problem": problem, "baseline": policy, "weight": 0.1, "x": None, "t": 0, "threads": None},
        ),
        "compose": Door(
            ppi.compose,
            {"components": mixed.policies, "weights": [0.5, 0.5], "weight": None, "baseline": None, "samples": None},
            plain=False,
        ),
        "compose problems": Door(
            ppi.compose,
            {
                "components": [problem, problem],
                "weights": [0.5, 0.5],
                "weight": 0.1,
                "baseline": policy,
                "samples": 8,
                "seed": 0,
                "threads": None,
            },
            plain=False,
        ),
        "mixture.mean": Door(mixed.mean, {"t": 0, "x": np.zeros(2)}),
        "mixture.value": Door(mixed.value, {"t": 0, "x": np.zeros(2)}),
        "mixture.responsibilities": Door(mixed.responsibilities, {"t": 0, "x": np.zeros(2)}),
        "mixture.sample": Door(mixed.sample, {"t": 0, "x": np.zeros(2), "rng": np.random.default_rng(0)}),
        "mixture.rollout": Door(mixed.rollout, {"problem": problem, "samples": 2, "seed": 0}),
        "RecedingHorizon": Door(
            running,
            {
                "problem": problem,
                "method": ppi.ILQG(max_iterations=2),
                "replan_every": 1,
                "budget_ms": None,
                "seed": 0,
                "threaded": False,
                "policy": None,
            },
        ),
        "command": Door(running_on, {"x": np.zeros(2)}),
        "prepare": Door(prepared, {"x": None}),
        "retarget": Door(retargeted, {"problem": problem}),
        "MujocoPlant": Door(
            ppi.MujocoPlant,
            {
                "source": ARM,
                "substeps": None,
                "dt": None,
                "noise": None,
                "control_limits": None,
                "state_limits": None,
                "name": None,
                "success": None,
                "executor": "auto",
                "differences": "centered",
                "assets": None,
            },
        ),
        "MujocoPlant.from_xml": Door(ppi.MujocoPlant.from_xml, {"source": ARM}),
        "with_sensors": Door(
            made("arm").with_sensors, {"sensors": {"s": {"type": 9, "objtype": 3, "objname": "j"}}}, plain=False
        ),
        "arm.step": Door(made("arm").step, rows),
        "arm.linearize": Door(made("arm").linearize, rows),
        "arm.differentiate": Door(made("arm").differentiate, rows),
        "arm.check_derivatives": Door(made("arm").check_derivatives, rows | {"tolerance": 1e-5}),
        "arm.sense": Door(made("arm").sense, rows),
        "arm.measure": Door(made("arm").measure, rows | {"seed": 0, "first": 0, "stage": 0}),
        "arm.difference": Door(made("arm").difference, {"x": np.zeros((2, 2)), "y": np.zeros((2, 2))}),
        "arm.retract": Door(made("arm").retract, {"x": np.zeros((2, 2)), "dx": np.zeros((2, 2))}),
        "arm.state": Door(made("arm").state, {"keyframe": None}),
        "arm.read": Door(made("arm").read, {"data": None}, plain=False),
        "arm.write": Door(made("arm").write, {"data": None, "x": np.zeros(2)}, plain=False),
        "TaskCost": Door(
            lambda **o: ppi.Problem(made("arm"), ppi.TaskCost(**o), [0, 0], 2),
            {"stage": (ppi.Effort(1.0),), "terminal": (ppi.Effort(1.0),)},
            plain=False,
        ),
        "SitePosition": Door(task_cost(ppi.SitePosition), {"site": "tip", "goal": (0, 0, 0), "weight": 1.0}),
        "SiteOrientation": Door(task_cost(ppi.SiteOrientation), {"site": "tip", "goal": (1, 0, 0, 0), "weight": 1.0}),
        "CenterOfMass": Door(task_cost(ppi.CenterOfMass), {"body": "world", "goal": (0, 0, 0), "weight": 1.0}),
        "ContactForce": Door(task_cost(ppi.ContactForce), {"site": "tip", "goal": 0.0, "weight": 1.0}, plain=False),
        "SensorValue": Door(task_cost(ppi.SensorValue), {"sensor": "angle", "goal": 0.0, "weight": 1.0}),
        "JointPosition": Door(task_cost(ppi.JointPosition), {"joint": "j", "goal": 0.0, "weight": 1.0}),
        "JointVelocity": Door(task_cost(ppi.JointVelocity), {"joint": "j", "goal": 0.0, "weight": 1.0}),
        "StateDeviation": Door(task_cost(ppi.StateDeviation), {"goal": None, "weight": 1.0}),
        "Effort": Door(task_cost(ppi.Effort), {"weight": 1.0}),
        "Residual": Door(task_cost(ppi.Residual), {"function": lambda x, u, y: x, "sensors": (), "weight": 1.0}),
        "balance": Door(tasks.balance, {"plant": made("arm"), "state": None, "spread": 0.01}),
        "reach": Door(tasks.reach, {"plant": made("arm"), "site": "tip", "goal": (0, 0, 0), "initial": None}),
        "swing_up": Door(tasks.swing_up, {"plant": made("arm"), "goal": np.zeros(2), "initial": None}),
        "gym.Environment": Door(
            gym.Environment, {"problem": problem, "render_mode": None, "observation": None, "camera": None}
        ),
        "Environment.reset": Door(made("environment").reset, {"seed": 0, "options": None}),
        "Environment.step": Door(lambda action: stepped(action), {"action": np.zeros(1)}),
        "gym.evaluate": Door(
            gym.evaluate,
            {"env": None, "policy": made("arm policy"), "plant": made("arm"), "episodes": 1, "seed": 0},
            plain=False,
        ),
        "plant_of": Door(gym.plant_of, {"env": None}, plain=False),
        "mdp_of": Door(gym.mdp_of, {"env": None, "discount": 1.0}, plain=False),
        "plotting.cost_distribution": Door(
            closing_figures(plotting.cost_distribution), {"evaluations": {"a": result}, "ax": None, "level": 0.95}
        ),
        "plotting.trajectory": Door(
            closing_figures(plotting.trajectory),
            {
                "plant": made("mass"),
                "rollouts": made("rollouts"),
                "nominal": None,
                "name": "PPI",
                "axes": None,
            },
        ),
        "plotting.color": Door(plotting.color, {"name": "PPI", "index": 0}),
        "animation.render": Door(
            closing_figures(animation.render),
            {"plant": plants.Pendulum(), "x": np.zeros((2, 2)), "u": np.zeros((1, 1)), "title": ""},
        ),
        "animation.save": Door(
            closing_figures(animation.save),
            {
                "path": Path(tempfile.mkdtemp()) / "film.gif",
                "plant": plants.Pendulum(),
                "x": np.zeros((2, 2)),
                "u": np.zeros((1, 1)),
                "title": "",
            },
        ),
        "rendering.check_path": Door(
            rendering.check_path, {"path": Path(tempfile.mkdtemp()) / "film.gif", "fps": 30.0}
        ),
        "rendering.Film": Door(
            rendering.Film,
            {"model": model, "states": states, "time": None, "fps": 30.0, "width": 64, "height": 48, "camera": None},
            plain=False,
        ),
    }


def evaluated(plant):
    return ppi.evaluate(ppi.Problem(plant, POINT, [0, 0], T), made("policy"), 2)


def closing_figures(function):
    def call(**options):
        from matplotlib import pyplot

        try:
            return function(**options)
        finally:
            pyplot.close("all")

    return call


def stepped(action):
    made("environment").reset(seed=0)
    return made("environment").step(action)
