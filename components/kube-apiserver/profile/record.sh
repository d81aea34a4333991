#!/bin/bash
# Records anew which ways the API server takes most, from the load of bench-api; `make profile` calls it with the folder
# for the build and with cargo's options that name the packages. The packages are those of `make build`: features, and
# with them the names of functions, are the same only then. Needs llvm-profdata of the compiler's LLVM (rustup's
# component llvm-tools, or Debian's package llvm-22).
set -euo pipefail

folder=${1:?the folder for the build}
shift
here=$(cd "$(dirname "$0")" && pwd)
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
merge=
for candidate in "$(rustc --print sysroot)"/lib/rustlib/*/bin/llvm-profdata "llvm-profdata-$llvm" llvm-profdata; do
  version=$("$candidate" --version 2>/dev/null | sed -n 's/.*LLVM version \([0-9]*\).*/\1/p' || true)
  [ "${version:-0}" -ge "$llvm" ] && merge=$candidate && break
done
[ -n "$merge" ] || { echo "no llvm-profdata of LLVM $llvm or newer: install rustup's component llvm-tools or Debian's llvm-$llvm" >&2; exit 1; }

host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="-C target-feature=+crt-static -C profile-generate $(cat "$here/mangling")" CARGO_TARGET_DIR=$folder/target \
  cargo build --locked --release --target "$host" "$@" --bin kube-apiserver
cargo build --locked --release -p bench
rm -rf "$folder/raw"
LLVM_PROFILE_FILE=$folder/raw/%p.profraw "$CARGO_TARGET_DIR/release/bench-api" --binary "$folder/target/$host/release/kube-apiserver"
"$merge" merge --sparse -o "$folder/kube-apiserver.profdata" "$folder"/raw/*.profraw
zstd -q -19 -f -o "$here/kube-apiserver.profdata.zst" "$folder/kube-apiserver.profdata"
"$here/crates.sh" > "$here/crates.sha256"
ls -l "$here/kube-apiserver.profdata.zst"
