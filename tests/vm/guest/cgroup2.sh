#!/bin/bash
# Inside the virtual machine, after bootstrap.sh: what the kubelet makes of pods on a host with cgroup v2 and systemd.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/checks.sh"

of() { kubectl get pod "$1" -o "jsonpath=$2"; }
slice() { # POD CLASS (empty for Guaranteed)
  local uid
  uid=$(of "$1" '{.metadata.uid}')
  echo "/sys/fs/cgroup/kubepods.slice/${2:+kubepods-$2.slice/}kubepods-${2:+$2-}pod${uid//-/_}.slice"
}
scope() { # SLICE POD CONTAINER
  local id
  id=$(of "$2" "{.status.containerStatuses[?(@.name==\"$3\")].containerID}")
  echo "$1/cri-containerd-${id#containerd://}.scope"
}
here_or_not() { [ -d "$1" ] && echo there || echo gone; }

expect 'cgroup v2 only' cgroup2fs "$(stat -fc %T /sys/fs/cgroup)"
kubectl wait --for=condition=Ready node --all --timeout=120s > /dev/null
until_is 'the default service account is there' 60 default kubectl get serviceaccount default -o 'jsonpath={.metadata.name}'
kubectl apply -f "$here/pods.yaml" > /dev/null
for pod in guaranteed burstable besteffort; do
  kubectl wait --for=condition=Ready "pod/$pod" --timeout=180s > /dev/null || expect "$pod is ready" yes no
done

guaranteed=$(slice guaranteed '') burstable=$(slice burstable burstable) besteffort=$(slice besteffort besteffort)
root=/sys/fs/cgroup/kubepods.slice
value() { cat "$1" 2> /dev/null || echo missing; }
expect 'guaranteed pod: cpu.max' '20000 100000' "$(value "$guaranteed/cpu.max")"
expect 'guaranteed pod: cpu.weight of 204 shares' 8 "$(value "$guaranteed/cpu.weight")"
expect 'guaranteed pod: memory.max' $((64 << 20)) "$(value "$guaranteed/memory.max")"
main=$(scope "$guaranteed" guaranteed main)
expect 'its container: cpu.max' '20000 100000' "$(value "$main/cpu.max")"
expect 'its container: memory.max' $((64 << 20)) "$(value "$main/memory.max")"
expect 'its container: memory.oom.group' 1 "$(value "$main/memory.oom.group")"
expect 'burstable pod: no cpu limit' 'max 100000' "$(value "$burstable/cpu.max")"
expect 'burstable pod: cpu.weight of 153 shares' 6 "$(value "$burstable/cpu.weight")"
expect 'burstable pod: no memory limit, one container has none' max "$(value "$burstable/memory.max")"
expect 'its container: memory.max' $((128 << 20)) "$(value "$(scope "$burstable" burstable main)/memory.max")"
expect 'best-effort pod: cpu.weight' 1 "$(value "$besteffort/cpu.weight")"
expect 'best-effort class: cpu.weight' 1 "$(value "$root/kubepods-besteffort.slice/cpu.weight")"
for slice in "$root" "$root/kubepods-burstable.slice" "$root/kubepods-besteffort.slice"; do
  unit=$(basename "$slice")
  expect "$unit is systemd's" active "$(systemctl is-active "$unit")"
  expect "$unit hands its controllers down" yes "$(grep -qw memory "$slice/cgroup.subtree_control" && grep -qw cpu "$slice/cgroup.subtree_control" && grep -qw pids "$slice/cgroup.subtree_control" && echo yes)"
done
expect 'all pods together: memory.max is set' yes "$([ "$(value $root/memory.max)" != max ] && echo yes)"
until_is 'burstable class: cpu.weight is that of its pods' 70 yes sh -c "[ \$(cat $root/kubepods-burstable.slice/cpu.weight) -ge 6 ] && echo yes"
expect 'oom_score_adj of the guaranteed container' -997 "$(value "/proc/$(head -n 1 "$main/cgroup.procs")/oom_score_adj")"

before=$(value "$guaranteed/memory.max")$(value "$burstable/cpu.weight")$(value $root/memory.max)
systemctl daemon-reload
expect 'systemd reloaded: the limits stay' "$before" "$(value "$guaranteed/memory.max")$(value "$burstable/cpu.weight")$(value $root/memory.max)"
started=$(of guaranteed '{.status.containerStatuses[0].state.running.startedAt}')
systemctl restart kubelet
until_is 'the node is ready after a restart of the kubelet' 90 True kubectl get node vm -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
expect 'kubelet restarted: the container runs on' "$started" "$(of guaranteed '{.status.containerStatuses[0].state.running.startedAt}')"
expect 'kubelet restarted: the limits stay' "$before" "$(value "$guaranteed/memory.max")$(value "$burstable/cpu.weight")$(value $root/memory.max)"

until_is 'a container over its memory limit' 120 'OOMKilled 137' of out-of-memory '{.status.containerStatuses[0].state.terminated.reason} {.status.containerStatuses[0].state.terminated.exitCode}'
until_is 'its pod failed' 30 Failed of out-of-memory '{.status.phase}'
restarted() { [ "$(of unhealthy '{.status.containerStatuses[0].restartCount}')" -gt 0 ] && echo yes; }
until_is 'a failing liveness probe restarts' 120 yes restarted
expect 'QoS class in the status' 'Guaranteed Burstable BestEffort' "$(of guaranteed '{.status.qosClass}') $(of burstable '{.status.qosClass}') $(of besteffort '{.status.qosClass}')"

summary() { kubectl get --raw /api/v1/nodes/vm/proxy/stats/summary; }
summary > /tmp/summary.json
used() { jq -r "$1" /tmp/summary.json; }
expect 'summary: the node uses memory and CPU' true "$(used '.node.memory.workingSetBytes > 1000000 and .node.cpu.usageCoreNanoSeconds > 0')"
expect 'summary: a pod uses memory and CPU' true "$(used '.pods[] | select(.podRef.name == "burstable") | .memory.workingSetBytes > 0 and .cpu.usageCoreNanoSeconds > 0')"
expect 'summary: system containers' true "$(used '[.node.systemContainers[]?.name] | contains(["kubelet", "pods"])')"
expect 'summary: emptyDir is measured' true "$(used '.pods[] | select(.podRef.name == "burstable") | [.volume[]?.name] | contains(["shared"])')"
kubectl get --raw /api/v1/nodes/vm/proxy/metrics/resource > /tmp/resource
expect 'metrics/resource: the containers' yes "$(grep -q 'container_memory_working_set_bytes{container="main",namespace="default",pod="guaranteed"} [1-9]' /tmp/resource && echo yes)"
expect 'metrics/resource: no error' yes "$(grep -q '^resource_scrape_error 0' /tmp/resource && echo yes)"

begun=$SECONDS
kubectl delete pod guaranteed burstable besteffort out-of-memory unhealthy --wait --timeout=120s > /dev/null
echo "          deletion took $((SECONDS - begun)) s"
for slice in "$guaranteed" "$burstable" "$besteffort"; do
  until_is "gone with its pod: $(basename "$slice")" 20 gone here_or_not "$slice"
done
expect 'no slice of a pod is left in systemd' '' "$(systemctl list-units --all --plain --no-legend 'kubepods-*pod*.slice' | awk '$1 ~ /pod[0-9a-f]{8}_/ {print $1}' | while read -r unit; do uid=$(echo "$unit" | sed -E 's/.*pod([0-9a-f_]+)\.slice/\1/; s/_/-/g'); kubectl get pods -A -o 'jsonpath={.items[*].metadata.uid}' | grep -q "$uid" || echo "$unit"; done)"
finish
