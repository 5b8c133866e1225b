"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import gym as gym
from .composition import MixtureEstimate, MixturePolicy, SampledMixture, compose
from .costs import LeastSquares, Quadratic, SymbolicCost
from .errors import Diverged, PlantError, PPIError, ProblemError, RiskBreakdown, SimulationError, SolveError
from .evaluation import Comparison, compare, evaluate
from .function_cost import FunctionCost
from .function_plant import FunctionPlant
from .gaussian import Gaussian
from .linearize import SigmaPoints
from .methods import AICO, ILQG, LEQG, PPI, KLControl, PsiIteration
from .mpc import RecedingHorizon
from .mujoco import tasks as tasks
from .mujoco.loop import Controller, Run, run
from .mujoco.plant import MujocoPlant
from .mujoco.terms import (
    CenterOfMass,
    ContactForce,
    Effort,
    JointPosition,
    JointVelocity,
    Residual,
    SensorValue,
    SiteOrientation,
    SitePosition,
    StateDeviation,
    TaskCost,
)
from .noise import Noise
from .path_integrals import PathIntegral, path_integral
from .policy import LinearGaussianPolicy
from .problem import Cost, Method, Plant, Problem
from .risk import RiskPoint, RiskProfile, risk_profile, risk_sweep, sweep
from .rollouts import Rollouts, rollout
from .sampling.mppi import CEM, MPPI, PredictiveSampling, fan
from .sampling.noise_shapes import AR1, Colored, Kernel, Splines, White
from .sampling.weights import LBPS, REPS, Elite, Fixed, TargetESS
from .solution import Iteration, Solution, Status, WeightedSamples
from .solver import solve
from .statistics import Evaluation
from .symbolic import SymbolicPlant
from .symbols import atan2, cos, dot, exp, fabs, if_else, log, sin, sqrt, sumsqr, tan, tanh, vertcat
from .values import critical_theta

__version__: str

__all__ = [
    "AICO", "AR1", "CEM", "CenterOfMass", "Colored", "Comparison", "ContactForce", "Controller", "Cost", "Diverged",
    "Effort", "Elite", "Evaluation", "Fixed", "FunctionCost", "FunctionPlant", "Gaussian", "ILQG", "Iteration",
    "JointPosition", "JointVelocity", "KLControl", "Kernel", "LBPS", "LEQG", "LeastSquares", "LinearGaussianPolicy",
    "MPPI", "Method", "MixtureEstimate", "MixturePolicy", "MujocoPlant", "Noise", "PPI", "PPIError", "PathIntegral",
    "Plant", "PlantError", "PredictiveSampling", "Problem", "ProblemError", "PsiIteration", "Quadratic", "REPS",
    "RecedingHorizon", "Residual", "RiskBreakdown", "RiskPoint", "RiskProfile", "Rollouts", "Run", "SampledMixture",
    "SensorValue", "SigmaPoints", "SimulationError", "SiteOrientation", "SitePosition", "Solution", "SolveError",
    "Splines", "StateDeviation", "Status", "SymbolicCost", "SymbolicPlant", "TargetESS", "TaskCost",
    "WeightedSamples", "White", "__version__", "atan2", "compare", "compose", "cos", "critical_theta", "dot",
    "evaluate", "exp", "fabs", "fan", "if_else", "log", "path_integral", "risk_profile", "risk_sweep", "rollout",
    "run", "sin", "solve", "sqrt", "sumsqr", "sweep", "tan", "tanh", "vertcat",
]  # fmt: skip
