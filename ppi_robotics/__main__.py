"""`python -m ppi_robotics` is the command line, as `ppi-robotics` is."""

import sys

from ppi_robotics.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
