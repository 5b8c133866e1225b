"""Small MuJoCo models, and policies that no solver made."""

import numpy as np

import ppi_robotics as ppi

ARM = """<mujoco model="arm"><option timestep="0.002"/>
  <worldbody><body name="upper" pos="0 0 1"><joint name="shoulder" axis="0 1 0" damping="0.1"/>
    <geom type="capsule" fromto="0 0 0 0.4 0 0" size="0.04"/>
    <body name="fore" pos="0.4 0 0"><joint name="elbow" axis="0 1 0" damping="0.1"/>
      <geom type="capsule" fromto="0 0 0 0.35 0 0" size="0.03"/></body></body></worldbody>
  <actuator><motor name="lift" joint="shoulder" ctrlrange="-5 5"/><motor name="bend" joint="elbow" ctrlrange="-2 2"/>
  </actuator></mujoco>"""
DRONE = """<mujoco model="drone"><option timestep="0.005"/>
  <worldbody><geom type="plane" size="0 0 1"/><body name="frame" pos="0 0 1"><freejoint/>
    <geom type="box" size="0.2 0.2 0.05" mass="1"/><site name="middle"/></body></worldbody>
  <actuator><motor site="middle" gear="0 0 1 0 0 0" ctrlrange="0 20"/>
    <motor site="middle" gear="0 0 0 1 0 0" ctrlrange="-1 1"/></actuator></mujoco>"""
BALL = """<mujoco model="ball"><worldbody><body name="ball" pos="0 0 1"><freejoint/>
    <geom name="ball" type="sphere" size="0.1" rgba="1 0 0 1" mass="1"/></body></worldbody></mujoco>"""


def arm(**options):
    """Two links in a plane, 10 physics steps a stage."""
    return ppi.MujocoPlant(ARM, **{"substeps": 10} | options)


def drone():
    """A floating box, whose state has a quaternion, 4 physics steps a stage."""
    return ppi.MujocoPlant(DRONE, substeps=4)


def random_policy(plant, horizon, seed=0, scale=1.0, x_ref=None):
    """A policy of random references and gains."""
    rng = np.random.default_rng(seed)
    return ppi.LinearGaussianPolicy(
        rng.standard_normal((horizon, plant.nx)) if x_ref is None else np.tile(x_ref, (horizon, 1)),
        rng.standard_normal((horizon, plant.nu)),
        scale * rng.standard_normal((horizon, plant.nu, plant.ndx)),
        np.tile(np.eye(plant.nu), (horizon, 1, 1)),
        plant.dt,
        plant.name,
        plant.state_names,
        plant.control_names,
        plant.quaternions,
    )
