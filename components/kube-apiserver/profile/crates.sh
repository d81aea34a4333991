#!/bin/sh
# Prints a hash of what the names of the API server's functions depend on, apart from the functions: the compiler and the crates.
set -eu

cd "$(dirname "$0")"
{
  rustc -V
  cargo tree --locked -p kube-apiserver -e normal --prefix none --format '{p} {f}' | sed 's/ ([^)]*)//g' | sort -u
} | sha256sum | cut -c1-64
