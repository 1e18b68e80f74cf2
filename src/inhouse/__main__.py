"""`python -m inhouse` is the command line."""

import sys

from inhouse.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
