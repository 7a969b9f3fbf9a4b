#!/usr/bin/env bash
# The queue of docs/study.md: run it again and it goes on. Every prefix of it is a table.
# Small records go to results/reproduction/records as cells finish; chosen learning rates to
# suites/tuned. Commit both. JOBS, SEEDS, RESULTS and VENV may be set; rows come from
# SMC_BENCH_DATA_ROOT. Run it with nice -n 19, from a clone that nothing else changes.
set -uo pipefail
cd "$(dirname "$0")/.."
BIN=${VENV:-.venv}/bin
RESULTS=${RESULTS:-results/study}
RECORDS=results/reproduction/records
JOBS=${JOBS:-2}
SEEDS=${SEEDS:-42 3407 54321}

# suite profile [--only ...]
QUEUE=(
    "why_smc_collapses study"
    "obert_against_gmp study"
    "ablation_embeddings study --only compare_at=encoder_sparsity"
    "ablation_embeddings study"
    "ablation_schedule study"
    "why_smc_collapses study-long"
    "why_smc_collapses study-rate"
    "guideline_by_guideline study --only compare_at=encoder_sparsity"
    "one_shot study"
    "ablation_temperature study"
    "why_smc_collapses study-csqa"
    "smc_commonsense study --only compare_at=scope_sparsity"
    "methods study"
    "table2 study"
    "glue study"
    "first_experiments study"
)

collect() { "$BIN/python" scripts/records.py collect "$RESULTS" "$RECORDS"; }

# An interruption ends the queue; anything else that goes wrong costs its own line alone.
step() {
    "$BIN/smc-bench" "$@" --results "$RESULTS" --jobs "$JOBS"
    local code=$?
    collect
    [ "$code" -ne 130 ] || exit 130
    return "$code"
}

if [ -d "$RECORDS" ]; then
    "$BIN/python" scripts/records.py restore "$RECORDS" "$RESULTS" --without-dense
fi
for seed in $SEEDS; do
    for line in "${QUEUE[@]}"; do
        read -r suite profile only <<<"$line"
        echo "== seed $seed: $line"
        checked=$("$BIN/smc-bench" check "suites/$suite.yaml" --profile "$profile")
        if [[ $checked == *"not tuned yet"* ]]; then
            step tune "suites/$suite.yaml" --profile "$profile" || continue
        fi
        # shellcheck disable=SC2086
        step run "suites/$suite.yaml" --profile "$profile" --no-report --only "seed=$seed" $only
    done
done
