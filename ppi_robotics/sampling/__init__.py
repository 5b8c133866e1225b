"""Sampling-based control: proposals over control sequences, their rollouts, and the weights drawn from the costs."""
