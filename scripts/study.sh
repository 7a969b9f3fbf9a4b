#!/usr/bin/env bash
# The queue of docs/study.md (study-queue.txt): run it again and it goes on. Every prefix of it is a
# table.
# Small records go to results/reproduction/records as cells finish, their reports beside them; chosen
# learning rates to suites/tuned. Commit all three. JOBS, SEEDS, RESULTS and VENV may be set; rows come from
# SMC_BENCH_DATA_ROOT. Run it with nice -n 19, from a clone that nothing else changes.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=${VENV:-.venv}/bin
RESULTS=${RESULTS:-results/study}
RECORDS=results/reproduction/records
JOBS=${JOBS:-2}
SEEDS=${SEEDS:-42 3407 54321}

# A blank line ends a group; the last group ends with the file.
mapfile -t QUEUE < <(grep -v '^#' scripts/study-queue.txt; echo)

# What is committed must be what the records give, so that reports are made anew with them.
collect() {
    "$BIN/python" scripts/records.py collect "$RESULTS" "$RECORDS"
    "$BIN/python" scripts/reports.py
}

# An interruption (Ctrl-C, or a termination signal) ends the queue; anything else that goes wrong costs its own line alone.
step() {
    "$BIN/smc-bench" "$@" --results "$RESULTS" --jobs "$JOBS"
    local code=$?
    collect
    if [ "$code" -eq 130 ] || [ "$code" -eq 143 ]; then exit "$code"; fi
    return "$code"
}

if [ -d "$RECORDS" ]; then
    "$BIN/python" scripts/records.py restore "$RECORDS" "$RESULTS" --without-dense
fi
# One line of the queue with one seed, tuned first where its suite asks for that.
one() {
    local seed=$1 suite=$2 profile=$3 checked
    shift 3
    echo "== seed $seed: $suite $profile $*"
    checked=$("$BIN/smc-bench" check "suites/$suite.yaml" --profile "$profile")
    if [[ $checked == *"not tuned yet"* ]]; then
        step tune "suites/$suite.yaml" --profile "$profile" || return
    fi
    step run "suites/$suite.yaml" --profile "$profile" --no-report --only "seed=$seed" "$@"
}

group=()
for line in "${QUEUE[@]}"; do
    if [ -n "$line" ]; then group+=("$line"); continue; fi
    for seed in $SEEDS; do
        for member in "${group[@]}"; do
            # shellcheck disable=SC2086
            one "$seed" $member
        done
    done
    group=()
done
