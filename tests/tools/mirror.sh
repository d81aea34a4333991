#!/bin/bash
# Prints the Debian mirror: HARDWAY_DEBIAN_MIRROR, else the first one of this machine's own apt sources.
set -euo pipefail
mirror=${HARDWAY_DEBIAN_MIRROR:-$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null |
  grep -v '^ *#' | grep -oE '[a-z]+://[^ ]+/debian/?( |$)' | sed -n '1s#/* *$##p' || true)}
[ -n "$mirror" ] || { echo 'no Debian mirror in the apt sources; set HARDWAY_DEBIAN_MIRROR' >&2; exit 1; }
echo "$mirror"
