"""Pickled and deep copies, in this process and in others, before and after use; threads that end with their owners."""

import concurrent.futures
import copy
import gc
import multiprocessing
import pickle
import threading
import time
import warnings
from functools import partial

import bodies
import mujoco
import numpy as np
import pytest

import ppi_robotics as ppi
from plants import Acrobot, CartPole, DoubleCartPole, GridWorld, Pendulum, StagHunt
from ppi_robotics import discrete
from ppi_robotics.parallel import in_threads

T = 12
HOW = {"pickle": lambda value: pickle.loads(pickle.dumps(value)), "deepcopy": copy.deepcopy, "copy": copy.copy}
ARM = bodies.mjcf(bodies.SWING.format("damping='0.123456789012345'"), "<motor name='torque' joint='swing'/>")


def swing_up(plant=None):
    plant = plant or Pendulum()
    return ppi.Problem(plant, plant.swing_up_cost(), plant.hanging, T)


def reach():
    cost = ppi.TaskCost([ppi.SitePosition("bob", (0.1, 0.0, -0.4)), ppi.Effort(0.1)])
    return ppi.Problem(ppi.MujocoPlant(ARM, noise=[0.0, 0.01]), cost, [0.0, 0.0], T)


PROBLEMS = {"symbolic": swing_up, "mujoco": reach}


def numbers(problem):
    """What a problem leads to: rollouts of a solution, and its cost."""
    solution = ppi.solve(problem, ppi.ILQG(max_iterations=5), starts=1)
    rolled = ppi.rollout(problem, solution.policy, 3, seed=1)
    return solution.cost, rolled.x, rolled.u, rolled.cost


def assert_same(found, expected):
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_array_equal(a, b)


def read_only(value):
    """Names of the arrays of an object that cannot be written to."""
    arrays = ((name, part) for name, part in vars(value).items() if isinstance(part, np.ndarray))
    return sorted(name for name, part in arrays if not part.flags.writeable)


# -- problems ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", PROBLEMS)
def test_copies_of_problems_give_the_same_bits_before_and_after_use(kind, how):
    problem = PROBLEMS[kind]()
    fresh = HOW[how](problem)
    expected = numbers(problem)
    for other in (fresh, HOW[how](problem), HOW[how](HOW[how](problem))):
        assert other.plant.name == problem.plant.name
        assert read_only(other.plant) == read_only(problem.plant)
        assert_same(numbers(other), expected)


@pytest.mark.parametrize("plant", [Acrobot, CartPole, DoubleCartPole, Pendulum], ids=lambda plant: plant.__name__)
def test_costs_of_plants_can_be_pickled(plant):
    problem = swing_up(plant())
    again = HOW["pickle"](problem.plant.swing_up_cost()).bind(problem.plant)
    assert again.functions == problem.cost.functions
    np.testing.assert_array_equal(again.stage_constants, problem.cost.stage_constants)


def test_costs_of_local_functions_are_pickled_compiled():
    plant = Pendulum()
    local = ppi.Problem(plant, ppi.LeastSquares(lambda x, u: ppi.vertcat(x[0], x[1], u[0])), plant.hanging, T)
    other = HOW["pickle"](local)
    x, u = np.array([[0.1, 0.2], [0.3, -0.4]]), np.array([[0.5], [0.6]])
    np.testing.assert_array_equal(other.cost.stage(x, u), local.cost.stage(x, u))
    assert other.cost.bind(plant) is other.cost
    with pytest.raises(ppi.ProblemError, match="left behind"):
        other.cost.bind(CartPole())


def test_plants_stay_unchangeable():
    for plant in (Pendulum(), ppi.MujocoPlant(ARM)):
        for how in HOW.values():
            with pytest.raises(ppi.PlantError, match="cannot be changed"):
                how(plant).dt = 1.0


def model_bytes(plant):
    buffer = np.empty(mujoco.mj_sizeModel(plant.model), np.uint8)
    mujoco.mj_saveModel(plant.model, None, buffer)
    return buffer.tobytes()


def sources(folder):
    """One model from everything that a plant can be made of; the numbers have more digits than MuJoCo writes."""
    (folder / "arm.xml").write_text(ARM)
    return {
        "text": ARM,
        "file": folder / "arm.xml",
        "spec": mujoco.MjSpec.from_string(bodies.PENDULUM),
        "model": mujoco.MjModel.from_xml_string(ARM),
    }


@pytest.mark.parametrize("source", ["text", "file", "spec", "model"])
def test_copies_of_mujoco_plants_have_the_same_model(tmp_path, source):
    plant = ppi.MujocoPlant(sources(tmp_path)[source])
    x, u = np.array([[0.3, -0.2]]), np.array([[0.7]])
    expected = plant.step(x, u)
    other = HOW["pickle"](plant)
    assert model_bytes(other) == model_bytes(plant)
    np.testing.assert_array_equal(other.step(x, u), expected)
    wanted = {"tip": {"type": mujoco.mjtSensor.mjSENS_JOINTPOS, "objtype": mujoco.mjtObj.mjOBJ_JOINT}}
    wanted["tip"]["objname"] = "swing"
    if source == "model":
        with pytest.raises(ppi.PlantError, match="given as an MjModel"):
            other.with_sensors(wanted)
        return
    for again in (other.with_sensors(wanted), HOW["pickle"](plant.with_sensors(wanted))):
        assert model_bytes(again) == model_bytes(plant.with_sensors(wanted))
        more = {"rate": wanted["tip"] | {"type": mujoco.mjtSensor.mjSENS_JOINTVEL}}
        assert list(again.with_sensors(more).sensor_names) == ["tip", "rate"]


# -- results -----------------------------------------------------------------------------------------------------------


def results():
    """One of everything that the package returns, by name."""
    problem = swing_up()
    solution = ppi.solve(problem, ppi.ILQG(), starts=1)
    solution.belief  # noqa: B018  (found on request)
    mdp = discrete.FiniteMDP(np.full((3, 2, 3), 1 / 3), np.ones((3, 2)), discount=0.9)
    graph = discrete.FactorGraph((2, 3), (discrete.Table((0, 1), np.zeros((2, 3))),))
    table = discrete.iterate(mdp)
    hunt = StagHunt(3, [0], [1], [2])
    return {
        "problem": problem,
        "solution": solution,
        "policy": solution.policy,
        "method": ppi.PPI(0.1, expansion=ppi.SigmaPoints()),
        "sampled": ppi.solve(problem, ppi.MPPI(samples=32, max_iterations=2), starts=1),
        "rollouts": ppi.rollout(problem, solution.policy, 3),
        "evaluation": ppi.evaluate(problem, solution.policy, 50),
        "comparison": ppi.compare(problem, {"a": solution.policy, "b": solution.policy}, 50),
        "mdp": mdp,
        "table": table,
        "graph": graph,
        "beliefs": discrete.belief_propagation(graph),
        "tree": discrete.junction_tree(graph),
        "world": GridWorld("..*"),
        "hunt": hunt,
        "hunt's beliefs": hunt.infer(),
    }


@pytest.fixture(scope="module")
def made():
    return results()


@pytest.mark.parametrize("how", ["pickle", "deepcopy"])
def test_everything_can_be_copied(made, how):
    for name, value in made.items():
        other = HOW[how](value)
        assert type(other) is type(value), name
        if type(value).__module__.startswith("ppi_robotics"):
            assert set(read_only(other)) == set(read_only(value)) & set(vars(other)), name


def test_copies_of_solutions_say_the_same(made):
    for name in ("solution", "sampled"):
        value, other = made[name], HOW["pickle"](made[name])
        assert other.explain() == value.explain()
        assert_same((other.x, other.u, other.policy.K), (value.x, value.u, value.policy.K))
        assert other.method == value.method
    problem = HOW["pickle"](made["problem"])
    again = ppi.evaluate(problem, HOW["pickle"](made["policy"]), 50)
    np.testing.assert_array_equal(again.cost, made["evaluation"].cost)


def test_copies_of_controllers_go_on_from_the_same_plan():
    problem = swing_up()
    controller = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=2))
    x = problem.initial.mean
    controller.command(x)
    others = [how(controller) for how in (HOW["pickle"], HOW["deepcopy"])]
    expected = [controller.command(x) for _ in range(2)]
    for other in others:
        assert_same([other.command(x) for _ in range(2)], expected)
        assert other.report().replans == controller.report().replans


# -- processes ---------------------------------------------------------------------------------------------------------


def executors():
    """Pools of processes by fork and by spawn, and joblib's."""
    for method in multiprocessing.get_all_start_methods():
        if method in ("fork", "spawn"):
            context = multiprocessing.get_context(method)
            yield method, partial(concurrent.futures.ProcessPoolExecutor, 1, mp_context=context)
    loky = pytest.importorskip("joblib.externals.loky")
    yield "loky", partial(loky.ProcessPoolExecutor, 1)


def test_pools_of_processes_compute_the_same_bits():
    problems = [make() for make in PROBLEMS.values()]
    expected = [numbers(problem) for problem in problems]
    for _, executor in executors():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # Python's own, of forks beside threads
            with executor() as pool:
                for found, known in zip(pool.map(numbers, problems), expected, strict=True):
                    assert_same(found, known)


# -- threads -----------------------------------------------------------------------------------------------------------


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("ppi_robotics worker")]


def test_threads_of_different_numbers_are_the_same():
    before = len(workers())
    for threads in range(1, 13):
        assert list(in_threads(lambda i: i + 1, range(40), threads)) == list(range(1, 41))
    deadline = time.monotonic() + 30.0
    while len(workers()) > max(12, before) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(workers()) <= max(12, before)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_no_more_run_side_by_side_than_were_asked_for(threads):
    lock, running, most = threading.Lock(), [], []

    def work(i):
        with lock:
            running.append(i)
            most.append(len(running))
        time.sleep(0.001)
        with lock:
            running.remove(i)

    list(in_threads(work, range(40), threads))
    assert max(most) <= threads


def test_a_long_round_leaves_turns_to_another():
    """Both have the only thread in turn, item by item."""
    order, started = [], threading.Event()

    def slow(i):
        started.set()
        time.sleep(0.005)
        order.append("slow")

    one = threading.Thread(target=lambda: list(in_threads(slow, range(60), 12)))
    one.start()
    started.wait()
    list(in_threads(lambda i: order.append("quick"), range(12), 12))
    between = order.index("quick")
    one.join()
    assert order.count("slow") == 60
    assert between < 60


def planning():
    return [thread for thread in threading.enumerate() if thread.name == "receding horizon"]


def test_the_thread_of_a_controller_that_is_dropped_ends():
    problem = swing_up()
    before = len(planning())
    for _ in range(3):
        controller = ppi.RecedingHorizon(problem, ppi.ILQG(max_iterations=1), threaded=True)
        controller.command(problem.initial.mean)
        copied = HOW["pickle"](controller)
        copied.command(problem.initial.mean)
        assert len(planning()) == before + 2
        del controller, copied
        gc.collect()
        deadline = time.monotonic() + 30.0
        while len(planning()) > before and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(planning()) == before
