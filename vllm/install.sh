#!/bin/sh
# install.sh VENV: vLLM for the CPU in an environment of its own, with a tiny model in VENV/models/tiny.
# What is there already is left alone, so it may be called before every run. PYTHON names a Python 3.11.
set -eu
venv=${1:?usage: install.sh VENV}
python=${PYTHON:-python3}
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)

say() { echo "$@" >&2; }

installed() { cmp -s "$here/requirements.lock" "$venv/requirements.lock"; }

install() {
    "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' || {
        say "vllm/requirements.lock is for Python 3.11, and $python is not: name one with PYTHON=…"
        return 1
    }
    say "Installing vLLM into $venv: 2 to 3 minutes, 3.5 GB"
    [ ! -e "$venv/pyvenv.cfg" ] || rm -rf "$venv" # of another lock, or broken off half-way
    "$python" -m venv "$venv"
    # --no-deps: the lock is complete, and vLLM would pull in torchvision and others that do not fit this torch
    "$venv/bin/python" -m pip install --no-deps --quiet -r "$here/requirements.lock" || {
        say "vLLM could not be installed: vllm/README.md says where torch's +cpu build comes from."
        return 1
    }
    cp "$here/requirements.lock" "$venv/requirements.lock" # last, as the sign that all of it is there
}

make_model() {
    rm -rf "$venv/models/tiny.new"
    "$venv/bin/python" "$here/make_model.py" "$venv/models/tiny.new"
    mv "$venv/models/tiny.new" "$venv/models/tiny"
}

installed || install
[ -e "$venv/models/tiny" ] || make_model
say "vLLM is in $venv, its model in $venv/models/tiny"
