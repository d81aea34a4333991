#!/bin/bash
# Installs what building and testing need: Debian packages, and into TOOLS (first argument) the programs
# that are tested against, in versions that this Debian release does not have.
set -euo pipefail

tools=${1:?the folder for the tools}
here=$(cd "$(dirname "$0")" && pwd)
packages=(
  build-essential pkg-config perl protobuf-compiler libprotobuf-dev      # building
  debootstrap systemd-container openssh-client openssh-server            # the lab, and a real sshd for tests
  iproute2 iptables nftables conntrack procps util-linux                 # networks
  busybox-static ca-certificates curl openssl xz-utils zstd                      # test images, downloads
  python3 python3-venv                                                   # the Python clients that are tested
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  echo "installing: ${missing[*]}"
  apt-get update -q >/dev/null
  # A service that starts by itself (sshd) is not wanted on the machine that runs the tests.
  DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -q -y --no-install-recommends "${missing[@]}" >/dev/null
fi
command -v cargo-nextest >/dev/null || cargo install --locked cargo-nextest

# Single packages of other suites, unpacked beside the system: nothing of theirs is configured or started.
suite_packages() { # SUITE PACKAGE[=VERSION]...
  local suite=$1 work mirror
  shift
  mirror=$("$here/mirror.sh")
  work=$(mktemp -d)
  mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/packages"
  echo "deb $mirror $suite main" > "$work/sources.list"
  local options=(-o "Dir::Etc::sourcelist=$work/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::Lists=$work/lists"
    -o "Dir::Cache=$work/cache" -o "Dir::State::status=$work/status" -o APT::Sandbox::User=root)
  touch "$work/status"
  apt-get "${options[@]}" update -q >/dev/null
  (cd "$work/packages" && apt-get "${options[@]}" download -q "$@" >/dev/null)
  for file in "$work"/packages/*.deb; do dpkg-deb -x "$file" "$tools/root"; done
  rm -rf "$work"
}

wanted='sid: kubectl etcd-server etcd-client; trixie: containerd runc containernetworking-plugins'
if [ "$(cat "$tools/.installed" 2>/dev/null)" != "$wanted" ]; then
  rm -rf "$tools"
  mkdir -p "$tools/bin" "$tools/root"
  suite_packages sid kubectl etcd-server etcd-client
  suite_packages trixie containerd runc containernetworking-plugins
  for directory in usr/bin usr/sbin; do
    [ -d "$tools/root/$directory" ] || continue
    for file in "$tools/root/$directory"/*; do ln -sf "$file" "$tools/bin/$(basename "$file")"; done
  done
  echo "$wanted" > "$tools/.installed"
fi
# The Python clients in an environment of their own.
requirements=$(dirname "$0")/../clients/python/requirements.txt
if ! cmp -s "$requirements" "$tools/python/.installed"; then
  rm -rf "$tools/python"
  /usr/bin/python3 -m venv "$tools/python"
  "$tools/python/bin/pip" install -q --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$tools/python/.installed"
fi
# An S3-compatible server, in an environment of its own.
storage=$(dirname "$0")/storage.txt
if ! cmp -s "$storage" "$tools/storage/.installed"; then
  rm -rf "$tools/storage"
  /usr/bin/python3 -m venv "$tools/storage"
  "$tools/storage/bin/pip" install -q --disable-pip-version-check -r "$storage"
  ln -sf ../storage/bin/moto_server "$tools/bin/moto_server"
  cp "$storage" "$tools/storage/.installed"
fi
"$tools/bin/kubectl" version --client | sed -n 1p
