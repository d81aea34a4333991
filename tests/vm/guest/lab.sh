#!/bin/bash
# Inside the virtual machine: hardway-lab and a bootstrap of one control plane and one worker, on cgroup v2.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/checks.sh"
lab() { /opt/binaries/hardway-lab --name vm "$@"; }

begun=$SECONDS
lab up --control-planes 1 --workers 1 --binaries /opt/binaries
trap 'lab down' EXIT
echo "          lab up took $((SECONDS - begun)) s"
expect 'hosts have the controllers' yes "$(lab exec worker-1 cat /sys/fs/cgroup/cgroup.controllers | grep -qw memory && echo yes)"
begun=$SECONDS
lab run /opt/binaries/hardway bootstrap --inventory "$(lab inventory)"
echo "          bootstrap took $((SECONDS - begun)) s"
(umask 077 && lab run /opt/binaries/hardway kubeconfig --inventory "$(lab inventory)" > /root/lab.kubeconfig)
k() { lab run env KUBECONFIG=/root/lab.kubeconfig /opt/binaries/kubectl "$@"; }
lab load-image --image hardway.local/busybox:test --program /bin/busybox
k apply -f "$here/pods.yaml" > /dev/null
for pod in guaranteed burstable besteffort; do
  k wait --for=condition=Ready "pod/$pod" --timeout=180s > /dev/null || expect "$pod is ready" yes no
done
node=$(k get pod guaranteed -o 'jsonpath={.spec.nodeName}')
uid=$(k get pod guaranteed -o 'jsonpath={.metadata.uid}')
expect 'a pod of a lab host: memory.max' $((64 << 20)) \
  "$(lab exec "$node" cat "/sys/fs/cgroup/kubepods.slice/kubepods-pod${uid//-/_}.slice/memory.max")"
lab down
trap - EXIT
expect 'the lab leaves no cgroup behind' '' "$(find /sys/fs/cgroup -maxdepth 6 -name 'hardway*' -o -maxdepth 6 -name '*hl-vm*' | head -n 3)"
finish
