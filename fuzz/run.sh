#!/bin/bash
# run.sh SECONDS [TARGET...]   Each decoder in turn for so many seconds, from the kept inputs; stops at the first finding.
# run.sh keep [TARGET...]      Takes a sample of the small inputs that reach more code into the kept ones.
# Needs cargo-fuzz (`cargo install --locked cargo-fuzz`). All code is safe, so no sanitizer is used, and stable Rust does.
set -euo pipefail
cd "$(dirname "$0")"
command -v cargo-fuzz > /dev/null || { echo 'make fuzz needs cargo-fuzz: cargo install --locked cargo-fuzz' >&2; exit 1; }
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-$PWD/target}
what=${1:?seconds or keep}; shift
targets=("$@"); [ $# -gt 0 ] || mapfile -t targets < <(cargo fuzz list --fuzz-dir .)
options=(--fuzz-dir . --sanitizer none --no-cfg-fuzzing)
for target in "${targets[@]}"; do
  found=$CARGO_TARGET_DIR/found/$target; mkdir -p "$found"
  if [ "$what" = keep ]; then
    small=$(mktemp -d)
    cargo fuzz run "${options[@]}" "$target" "$small" "$found" -- -set_cover_merge=1 -max_len=256 -timeout=10
    # A sample is enough: it is a start for the next run, and a test.
    ls "$small" | sort | head -150 | while read -r name; do cp "$small/$name" "corpus/$target/"; done
    rm -r "$small"
  else
    nice cargo fuzz run "${options[@]}" "$target" "$found" "corpus/$target" -- \
      -max_total_time="$what" -timeout=10 -rss_limit_mb=2048 -max_len=8192 -print_final_stats=1
  fi
done
