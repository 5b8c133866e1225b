"""Public names: type checkers and editors read them here, and `__init__.py`, which loads each on first use."""

from . import gym as gym
from .composition.mixture import (
    MixtureEstimate as MixtureEstimate,
    MixturePolicy as MixturePolicy,
    SampledMixture as SampledMixture,
    compose as compose,
)
from .composition.path_integrals import PathIntegral as PathIntegral, path_integral as path_integral
from .errors import (
    Diverged as Diverged,
    PlantError as PlantError,
    PPIError as PPIError,
    ProblemError as ProblemError,
    RiskBreakdown as RiskBreakdown,
    SimulationError as SimulationError,
    SolveError as SolveError,
)
from .evaluation import Comparison as Comparison, compare as compare, evaluate as evaluate
from .functions.cost import FunctionCost as FunctionCost
from .functions.plant import FunctionPlant as FunctionPlant
from .gaussian import Gaussian as Gaussian
from .linearize import SigmaPoints as SigmaPoints
from .methods import (
    AICO as AICO,
    ILQG as ILQG,
    LEQG as LEQG,
    PPI as PPI,
    KLControl as KLControl,
    PsiIteration as PsiIteration,
)
from .mpc.receding_horizon import RecedingHorizon as RecedingHorizon
from .mujoco import tasks as tasks
from .mujoco.loop import Controller as Controller, Run as Run, run as run
from .mujoco.plant import MujocoPlant as MujocoPlant
from .mujoco.terms import (
    CenterOfMass as CenterOfMass,
    ContactForce as ContactForce,
    Effort as Effort,
    JointPosition as JointPosition,
    JointVelocity as JointVelocity,
    Residual as Residual,
    SensorValue as SensorValue,
    SiteOrientation as SiteOrientation,
    SitePosition as SitePosition,
    StateDeviation as StateDeviation,
    TaskCost as TaskCost,
)
from .noise import Noise as Noise
from .policy import LinearGaussianPolicy as LinearGaussianPolicy
from .problem import Cost as Cost, Method as Method, Plant as Plant, Problem as Problem
from .risk import (
    RiskPoint as RiskPoint,
    RiskProfile as RiskProfile,
    risk_profile as risk_profile,
    risk_sweep as risk_sweep,
    sweep as sweep,
)
from .rollouts import Rollouts as Rollouts, rollout as rollout
from .sampling.mppi import CEM as CEM, MPPI as MPPI, PredictiveSampling as PredictiveSampling, fan as fan
from .sampling.noise_shapes import AR1 as AR1, Colored as Colored, Kernel as Kernel, Splines as Splines, White as White
from .sampling.weights import LBPS as LBPS, REPS as REPS, Elite as Elite, Fixed as Fixed, TargetESS as TargetESS
from .solution import Iteration as Iteration, Solution as Solution, Status as Status, WeightedSamples as WeightedSamples
from .solver import solve as solve
from .statistics import Evaluation as Evaluation
from .symbolic.costs import LeastSquares as LeastSquares, Quadratic as Quadratic, SymbolicCost as SymbolicCost
from .symbolic.plant import SymbolicPlant as SymbolicPlant
from .symbolic.symbols import (
    atan2 as atan2,
    cos as cos,
    dot as dot,
    exp as exp,
    fabs as fabs,
    if_else as if_else,
    log as log,
    sin as sin,
    sqrt as sqrt,
    sumsqr as sumsqr,
    tan as tan,
    tanh as tanh,
    vertcat as vertcat,
)
from .values import critical_theta as critical_theta

__version__: str
