"""Plants and costs written as CasADi expressions, compiled: the plant, its costs, rollouts, and what a stage takes."""
