"""`python -m inhouse` is the command line, and so is the `inhouse` script: both begin here.

Ctrl-C ends the program quietly from its first moment: an exception out of a half-made import would be a traceback.
"""

import os
import signal
import sys


def main() -> int:
    """Runs the command line of the process. Returns the exit code."""
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(130))
    from inhouse.cli.main import main as command_line

    code = command_line()
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(code))  # nothing is left but to leave
    return code


if __name__ == "__main__":
    sys.exit(main())
