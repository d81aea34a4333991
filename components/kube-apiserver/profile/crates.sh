#!/bin/sh
# Prints a hash of what the names of the API server's functions depend on, apart from the functions: the compiler, the crates, and
# which of them uses which.
set -eu

cd "$(dirname "$0")"
{
  rustc -V
  cargo tree --locked -p kube-apiserver -e normal --prefix depth --format '{p} {f}' | sed 's/ ([^)]*)//g'
} | sha256sum | cut -c1-64
