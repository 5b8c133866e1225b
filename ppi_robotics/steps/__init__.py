"""How far to go and when to accept: the phases that a method is made of.

A phase turns an iterate into the next one; `solver.solve` is the loop around it. Each expands the problem, sweeps
backward with its lambda_transition, and differs in what it does with the step.
"""
