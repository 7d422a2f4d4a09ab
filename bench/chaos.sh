#!/bin/sh
# chaos.sh [TIMES]: robustness of the results file, repeated: kill -9 at every stage of a load and at random moments,
# four concurrent writers, a reader throughout, a full disk, foreign files, left-over write-ahead logs.
set -eu
cd "$(dirname "$0")/.."
tests="killed or kill_9 or four_processes or full or neither_blocks or not_ours or half_way or first_load or wal"
for time in $(seq "${1:-50}"); do
    echo "$time of ${1:-50}"
    .venv/bin/python -m pytest --quiet --numprocesses auto tests/unit/results/test_database.py -k "$tests"
done
