"""What holds for all tests."""

import sys

import pytest


@pytest.fixture(autouse=True)
def _no_lines_of_progress(monkeypatch):
    """Commands say nothing of their progress, so that what they do say is the same on a slow machine."""
    output = sys.modules.get("ppi_robotics.cli.output")
    if output is not None:
        monkeypatch.setattr(output, "EVERY", 1e6)
