#!/bin/sh
# install.sh DIR: the load generators we compare with, each in an environment of its own: DIR/.venv-aiperf and DIR/.venv-guidellm.
# What is there already is left alone. PYTHON names a Python 3.11. The third, `vllm bench serve`, is in the environment of `make vllm`.
set -eu
dir=${1:?usage: install.sh DIR}
python=${PYTHON:-python3}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

say() { echo "$@" >&2; }

install() { # NAME
    venv=$dir/.venv-$1
    ! cmp -s "$here/$1.lock" "$venv/requirements.lock" || return 0
    say "Installing $1 into $venv: a minute, 1 to 2 GB"
    [ ! -e "$venv/pyvenv.cfg" ] || rm -rf "$venv" # of another lock, or broken off half-way
    "$python" -m venv "$venv"
    # --no-deps: the lock is complete; -qq, as pip warns of every package folder that it does not find
    "$venv/bin/python" -m pip install --no-deps -qq -r "$here/$1.lock" || {
        say "$1 could not be installed: vllm/README.md says where torch's +cpu build comes from."
        return 1
    }
    cp "$here/$1.lock" "$venv/requirements.lock" # last, as the sign that all of it is there
}

"$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
    say "The locks are for Python 3.11, and $python is not: name one with PYTHON=…"
    exit 1
}
install aiperf
install guidellm
