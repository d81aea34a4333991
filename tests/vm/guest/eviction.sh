#!/bin/bash
# Inside the virtual machine, after bootstrap.sh: the kubelet frees the node when memory runs out, keeps limits of disk
# space, and takes volumes that are directories of the host.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/checks.sh"

of() { kubectl get pod "$1" -o "jsonpath=$2"; }
condition() { kubectl get node vm -o "jsonpath={.status.conditions[?(@.type==\"$1\")].status}"; }
kubectl wait --for=condition=Ready node --all --timeout=120s > /dev/null
until_is 'the default service account is there' 60 default kubectl get serviceaccount default -o 'jsonpath={.metadata.name}'

mkdir -p /srv/volume
echo content > /srv/volume/file
kubectl apply -f "$here/volumes.yaml" > /dev/null
until_is 'a pod reads a persistent volume of this host' 180 content kubectl logs reader
until_is 'an emptyDir over its limit: the pod is evicted' 180 'Failed Evicted' of filler '{.status.phase} {.status.reason}'
expect 'and told why' 'Usage of EmptyDir volume "data" exceeds the limit "1Mi". ' "$(of filler '{.status.message}')"

# By default the kubelet waits until 100Mi are left, when the kernel has long begun to drop the pages of running programs.
config=$(systemctl show kubelet --property ExecStart | grep -o -- '--config=[^ ]*' | cut -d = -f 2)
sed -i '/^evictionHard:/,/^[^ ]/ { /^evictionHard:/d; /^ /d }' "$config"
printf 'evictionHard:\n  memory.available: 500Mi\n  nodefs.available: 10%%\n' >> "$config"
systemctl restart kubelet
expect 'no pressure before' False "$(condition MemoryPressure)"
kubectl apply -f "$here/hungry.yaml" > /dev/null
until_is 'memory runs out: the pod that uses most is evicted' 240 'Failed Evicted' of hungry '{.status.phase} {.status.reason}'
until_is 'the node says so' 30 True condition MemoryPressure
expect 'its disruption is the kubelet'"'"'s' TerminationByKubelet "$(of hungry '{.status.conditions[?(@.type=="DisruptionTarget")].reason}')"
until_is 'a pod that requests memory stays' 30 Running of modest '{.status.phase}'
kubectl delete pod --all --wait --timeout=60s > /dev/null
finish
