"""Somebody's own MuJoCo loop: a policy that was planned at 50 Hz swings up a pole at 500 Hz, and is pushed meanwhile.

Run `python demos/mujoco_loop.py [FOLDER] [MODEL.xml]`; the video goes to out/mujoco_loop by default.
"""

import sys
from pathlib import Path

import mujoco
import numpy as np

import ppi_robotics as ppi
from ppi_robotics import rendering

CART_POLE = """<mujoco model="cart-pole"><option timestep="0.002"/>
  <worldbody>
    <geom type="capsule" fromto="-1.8 0 0 1.8 0 0" size="0.015" contype="0" conaffinity="0"/>
    <body name="cart"><joint name="slide" type="slide" axis="1 0 0" damping="0.1"/>
      <geom type="box" size="0.12 0.06 0.05" contype="0" conaffinity="0" mass="1"/>
      <body name="pole"><joint name="hinge" axis="0 1 0" damping="0.002"/>
        <geom type="capsule" fromto="0 0 0 0 0 -0.6" size="0.02" mass="0.1" contype="0" conaffinity="0"/>
      </body></body></worldbody>
  <actuator><motor name="force" joint="slide" ctrlrange="-10 10"/></actuator>
</mujoco>"""


def main(folder, source=CART_POLE):
    plant = ppi.MujocoPlant(source, dt=0.02)  # 10 of the model's timesteps
    state, terminal = [0.1, 0.1, 0.01, 0.01], [100, 200, 10, 10]
    cost = ppi.Quadratic(state, control=[0.001], terminal=terminal, goal=[0, np.pi, 0, 0])
    problem = ppi.Problem(plant, cost, initial=plant.state(), horizon=150)
    solution = ppi.solve(problem, ppi.ILQG(), seed=0)
    print(solution.explain())

    model, data, states = plant.model, mujoco.MjData(plant.model), []
    controller = ppi.Controller(solution.policy, plant)
    while data.time < 3.0:
        data.ctrl[:] = controller(data)
        data.xfrc_applied[-1, 0] = 3.0 if 1.0 <= data.time < 1.05 else 0.0  # somebody pushes the pole [N]
        mujoco.mj_step(model, data)
        states.append(plant.read(data))

    folder.mkdir(parents=True, exist_ok=True)
    rendering.save(folder / "loop.gif", model, states, model.opt.timestep)
    print(f"pole {np.degrees(data.qpos[1]) % 360:.1f} degrees from hanging; video in {folder / 'loop.gif'}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/mujoco_loop"), *sys.argv[2:3])
