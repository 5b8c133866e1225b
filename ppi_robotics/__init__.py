"""Trajectory optimization by probabilistic inference, with feedback policies and their cost distributions.

The public names, each loaded on first use so that importing the package stays fast.
"""

import importlib

_WHERE = {
    "errors": (
        "PPIError",
        "ProblemError",
        "PlantError",
        "SolveError",
        "RiskBreakdown",
        "Diverged",
        "SimulationError",
    ),
    "gaussian": ("Gaussian",),
    "noise": ("Noise",),
    "problem": ("Problem", "Plant", "Cost"),
    "costs": ("Quadratic", "LeastSquares", "SymbolicCost"),
    "symbolic": ("SymbolicPlant",),
    "mujoco.plant": ("MujocoPlant",),
    "mujoco.terms": (
        "TaskCost",
        "SitePosition",
        "SiteOrientation",
        "CenterOfMass",
        "ContactForce",
        "SensorValue",
        "JointPosition",
        "JointVelocity",
        "StateDeviation",
        "Effort",
        "Residual",
    ),
    "policy": ("LinearGaussianPolicy",),
    "methods": ("ILQG", "LEQG", "PPI", "AICO"),
    "soft_methods": ("KLControl", "PsiIteration"),
    "sampling.methods": ("MPPI", "CEM", "PredictiveSampling"),
    "sampling.smoothing": ("White", "AR1", "Colored", "Kernel", "Splines"),
    "sampling.temperature": ("Fixed", "TargetESS", "LBPS", "REPS", "Elite"),
    "solver": ("solve",),
    "solution": ("Solution", "Status", "Iteration", "WeightedSamples"),
    "linearize": ("SigmaPoints",),
    "critical": ("critical_theta",),
    "rollouts": ("rollout", "Rollouts"),
    "mujoco.controller": ("Controller",),
    "mujoco.loop": ("run", "Run"),
    "statistics": ("Evaluation",),
    "evaluation": ("evaluate", "compare", "Comparison"),
    "risk": ("sweep", "risk_profile", "RiskProfile", "RiskPoint"),
    "sampling.fans": ("fan",),
    "path_integrals": ("path_integral", "PathIntegral"),
    "composition": ("compose", "MixturePolicy", "SampledMixture", "MixtureEstimate"),
    "mpc": ("RecedingHorizon",),
}
_CASADI = ("vertcat", "sin", "cos", "tan", "exp", "log", "sqrt", "tanh", "atan2", "fabs", "if_else", "dot", "sumsqr")
# not in __all__, as `import *` is to work without the packages of gym
_MODULES = {"gym": "gym", "tasks": "mujoco.tasks"}
_HOME = {name: module for module, names in _WHERE.items() for name in names}

__version__ = "0.1.0"
__all__ = [*_HOME, *_CASADI, "__version__"]


def __getattr__(name):
    if name in _HOME:
        value = getattr(importlib.import_module(f"ppi_robotics.{_HOME[name]}"), name)
    elif name in _CASADI:
        value = getattr(importlib.import_module("casadi"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"ppi_robotics.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'ppi_robotics' has no attribute '{name}'; see dir(ppi_robotics)")
    globals()[name] = value
    return value


def __dir__():
    return sorted([*__all__, *_MODULES])
