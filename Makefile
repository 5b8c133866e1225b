# Everything runs in .venv, which the first target that needs it sets up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test wheel check-bounds check-memory fuzz lint bench clean

demo: .venv/ready
	$(BIN)/ppi-robotics swingup cartpole --out out/cartpole

test: .venv/ready
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

# the wheel, used from another folder, has all that the package needs
wheel: .venv/ready
	.ci/wheel

# compiled code checks every index, which makes it slower; what is compiled so is kept apart
check-bounds: .venv/ready
	NUMBA_BOUNDSCHECK=1 $(MAKE) test

# new memory is filled with nan, so that what reads a number that nobody wrote shows
check-memory: .venv/ready
	PPI_ROBOTICS_FILL_MEMORY=1 $(MAKE) test

fuzz: .venv/ready
	FUZZ_INPUTS=20000 $(BIN)/python -m pytest -n auto --maxprocesses 4 tests/test_fuzz.py

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/basedpyright --project .

bench: .venv/bench
	$(BIN)/python -m benchmarks

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[test]"
	touch $@

.venv/bench: .venv/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	touch $@

clean:
	rm -rf .venv out build dist *.egg-info .pytest_cache .ruff_cache
