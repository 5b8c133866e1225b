"""The command line. Other packages add commands with `command`, which `app` describes."""

from ppi_robotics.cli.app import ROBOTS, TABLES, command, main
from ppi_robotics.cli.problems import Out
from ppi_robotics.cli.report import Report

__all__ = ["ROBOTS", "TABLES", "Out", "Report", "command", "main"]
