#!/bin/bash
# make demo: five hosts, one bootstrap, a workload behind a Service, and proof that it answers.
set -euo pipefail

lab=${1:?the lab\'s name} binaries=${2:?the folder with the binaries}
here=$(cd "$(dirname "$0")" && pwd)
hardway_lab() { "$binaries/hardway-lab" --name "$lab" "$@"; }
inside() { hardway_lab run "$@"; }
kubectl=$(command -v kubectl)
summary=()
phase() { # NAME COMMAND...
  local name=$1 begun
  shift
  echo "== $name"
  begun=$(date +%s%N)
  "$@"
  summary+=("$(awk "BEGIN { printf \"%6.1f s  %s\", ($(date +%s%N) - $begun) / 1e9, \"$name\" }")")
}
k() { inside env KUBECONFIG="$kubeconfig" HOME="$scratch" "$kubectl" "$@"; }
fetch() { k exec client -- /bin/busybox timeout 5 /bin/busybox wget -q -O - "$1"; }
expect() { # WHAT COMMAND...
  local what=$1 answer
  shift
  answer=$("$@") || { echo "FAILED: $what" >&2; exit 1; }
  printf '  %-58s %s\n' "$what" "$answer"
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
kubeconfig=$scratch/kubeconfig

if [ -e "/var/lib/hardway-lab/$lab/hosts.toml" ]; then
  echo "the lab $lab is up already; make demo-down removes it"
else
  phase 'lab: five empty hosts' hardway_lab up --binaries "$binaries"
fi
inventory=$(hardway_lab inventory)
phase 'bootstrap' inside "$binaries/hardway" bootstrap --inventory "$inventory"
(umask 077 && inside "$binaries/hardway" kubeconfig --inventory "$inventory" > "$kubeconfig")

sample() {
  hardway_lab load-image --image hardway.local/busybox:sample --program /bin/busybox
  k apply -f "$here/sample.yaml"
  k rollout status deployment/web --timeout=60s
  k wait --for=condition=Ready pod/client --timeout=60s
}
phase 'sample workload' sample

show() {
  k get nodes -o wide
  k get pods -A -o wide
  k get services -A
}
phase 'what runs' show

proof() {
  local node pod_ip cluster_ip far
  node=$(k get pod client -o 'jsonpath={.spec.nodeName}')
  far=$(k get pods -l app=web -o 'jsonpath={range .items[*]}{.spec.nodeName} {.status.podIP}{"\n"}{end}' | grep -v "^$node " | head -n 1 || true)
  [ -n "$far" ] || { echo 'FAILED: all pods are on one node' >&2; exit 1; }
  pod_ip=${far#* }
  cluster_ip=$(k get service web -o 'jsonpath={.spec.clusterIP}')
  expect "pod to pod, $node to ${far% *} ($pod_ip)" fetch "http://$pod_ip:8080/index.html"
  expect "ClusterIP $cluster_ip" fetch "http://$cluster_ip/index.html"
  expect 'DNS name web.default.svc.cluster.local' fetch http://web.default.svc.cluster.local/index.html
  local address
  for address in $(k get nodes -o 'jsonpath={.items[*].status.addresses[?(@.type=="InternalIP")].address}'); do
    expect "NodePort 30080 on $address" inside curl -fsS -m 5 "http://$address:30080/index.html"
  done
}
phase 'proof' proof

echo '== seconds'
printf '%s\n' "${summary[@]}"
echo "kubectl: $binaries/hardway-lab --name $lab run env KUBECONFIG=FILE kubectl get nodes"
echo 'remove it with: make demo-down'
