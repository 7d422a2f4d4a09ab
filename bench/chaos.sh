#!/bin/sh
# chaos.sh [TIMES]: what may befall the results file, so many times in a row: kill -9 at every stage of a load and at any moment, four
# writers at once, a reader throughout, a full disk, files that are not ours, write-ahead logs that were left.
set -eu
cd "$(dirname "$0")/.."
befalls="killed or kill_9 or four_processes or full or neither_blocks or not_ours or half_way or first_load or wal"
for time in $(seq "${1:-50}"); do
    echo "$time of ${1:-50}"
    .venv/bin/python -m pytest --quiet --numprocesses auto tests/unit/results/test_database.py -k "$befalls"
done
