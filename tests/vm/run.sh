#!/bin/bash
# run.sh IMAGE BINARIES CHECK...: boots the virtual machine, copies the binaries and the checks into it and runs them
# (kubelet, bootstrap, cgroup2, eviction, lab: the scripts in guest/). KEEP=yes leaves it running and says how to get in.
set -euo pipefail

image=${1:?the folder of image.sh} binaries=${2:?the folder with the static binaries}
shift 2
here=$(cd "$(dirname "$0")" && pwd)
state=$(mktemp -d /tmp/hardway-vm.XXXXXX)
stop() {
  local status=$?
  if [ "${KEEP:-no}" = yes ]; then
    echo "ssh -F $state/ssh.config vm; end it with: kill $(cat "$state/pid")"
  else
    [ -f "$state/pid" ] && kill "$(cat "$state/pid")" 2> /dev/null
    rm -rf "$state"
  fi
  exit $status
}
trap stop EXIT
"$here/image.sh" "$image"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
begun=$SECONDS
"$here/start.sh" "$image" "$state" "$port"
echo "booted in $((SECONDS - begun)) s"
vm() { ssh -F "$state/ssh.config" vm "$@"; }
programs=()
for program in hardway hardway-lab kube-apiserver kube-scheduler kube-controller-manager kubelet kube-proxy cluster-dns \
  pod-network api-balancer pause; do programs+=("$program"); done
tar -C "$binaries" -c "${programs[@]}" -C "$(dirname "$(readlink -f "$(command -v kubectl)")")" kubectl |
  zstd -q -1 | vm 'mkdir -p /opt/binaries && zstd -q -d | tar -x -C /opt/binaries'
tar -C "$here" -c guest | vm 'tar -x -C /root'
for check in "$@"; do
  echo "== $check"
  [ "$check" != lab ] || tar -C "$("$binaries/hardway-lab" image)/.." -c "$(basename "$("$binaries/hardway-lab" image)")" |
    vm 'mkdir -p /var/cache/hardway-lab && tar -x -C /var/cache/hardway-lab'
  vm "/root/guest/$check.sh"
done
