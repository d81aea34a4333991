#!/bin/sh
# Prints the compiler's flags for a build that knows which ways the API server takes most (profile-guided optimization),
# or nothing where the compiler is too old for the recorded profile. CACHE (first argument) keeps it unpacked: a path that
# is the same in each clone, since the flags are part of what makes a built crate usable again.
set -eu

cache=${1:?the folder for what is kept between builds}
here=$(cd "$(dirname "$0")" && pwd)
recorded=$here/kube-apiserver.profdata.zst
# The first LLVM that reads it; newer ones do too.
oldest=22

llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')
[ "${llvm:-0}" -ge "$oldest" ] || exit 0
if [ "$("$here/crates.sh")" != "$(cat "$here/crates.sha256")" ]; then
  echo 'note: the recorded profile is of another compiler or of other dependencies; the API server will be slower than after `make profile`' >&2
fi
profile=$cache/profiles/$(sha256sum "$recorded" | cut -c1-16).profdata
if [ ! -e "$profile" ]; then
  mkdir -p "$cache/profiles"
  zstd -q -d -f -o "$profile.$$" "$recorded"
  mv "$profile.$$" "$profile"
fi
# Functions that changed since the recording are compiled as without one; that is not worth a warning each.
echo "-C profile-use=$profile -C llvm-args=-no-pgo-warn-mismatch $(cat "$here/mangling")"
