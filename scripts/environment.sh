#!/bin/sh
# Makes the project's own environment: environment.sh PYTHON VENV LOCK. Everything is locked with hashes.
set -eu
python=$1
venv=$2
lock=$3
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "inhouse needs Python 3.11 or newer; '$python' is $("$python" --version). Try: make PYTHON=/path/to/python3.11" >&2
  exit 1
fi
if ! command -v g++ >/dev/null && ! command -v clang++ >/dev/null; then
  echo "inhouse needs a C++20 compiler. Try: apt install g++" >&2
  exit 1
fi
if [ ! -x "$venv/bin/python" ]; then
  "$python" -m venv "$venv" || {
    echo "'$python' cannot make environments. Try: apt install python3-venv python3-dev" >&2
    exit 1
  }
fi
echo "Installing the locked packages ..."
"$venv/bin/python" -m pip install -q --disable-pip-version-check --require-hashes -r "$lock"
