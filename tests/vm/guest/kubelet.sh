#!/bin/bash
# Inside the virtual machine: containerd and a kubelet without an API server run pods from files; what they and systemd
# make of cgroup v2. Much lighter than a whole cluster, for machines that emulate the CPU.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/checks.sh"

work=/root/standalone root=/sys/fs/cgroup/kubepods.slice
mkdir -p "$work/manifests"
modprobe -q overlay || true
cat > "$work/containerd.toml" <<'TOML'
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "hardway.local/pause:test"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = true
TOML
cat > "$work/kubelet.yaml" <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
staticPodPath: $work/manifests
cgroupDriver: systemd
enableServer: false
podPidsLimit: 500
YAML
systemd-run -q --unit=standalone-containerd -p Delegate=yes -p KillMode=process containerd --config "$work/containerd.toml"
until_is 'containerd answers' 60 yes sh -c 'ctr version > /dev/null && echo yes'
image() { /opt/binaries/hardway-lab image-archive --image "hardway.local/$1:test" --program "$2" --path "$3" | ctr -n k8s.io images import - > /dev/null; }
image busybox /bin/busybox /bin/busybox
image pause /opt/binaries/pause /pause
# No pod network here, so the pods are in the host's.
pod() { # NAME RESOURCES
  cat > "$work/manifests/$1.yaml" <<YAML
apiVersion: v1
kind: Pod
metadata: {name: $1, namespace: default}
spec:
  hostNetwork: true
  terminationGracePeriodSeconds: 2
  containers:
  - {name: main, image: "hardway.local/busybox:test", command: [/bin/busybox, sleep, "3600"], resources: $2}
YAML
}
pod guaranteed '{requests: {cpu: 200m, memory: 64Mi}, limits: {cpu: 200m, memory: 64Mi}}'
pod burstable '{requests: {cpu: 150m}, limits: {memory: 128Mi}}'
pod besteffort '{}'
systemd-run -q --unit=standalone-kubelet -p Delegate=yes -p KillMode=process \
  /opt/binaries/kubelet --config="$work/kubelet.yaml" --root-dir="$work/root" --hostname-override=vm
scopes() { find $root -name 'cri-containerd-*' 2> /dev/null | wc -l; }
until_is 'three sandboxes and three containers run' 300 6 scopes

value() { cat $1 2> /dev/null || echo missing; }
of_pod() { value "$(find $root -maxdepth 2 -path "*/kubepods-$1pod*.slice" -prune)/$2"; }
container() { value "$(dirname "$(grep -lx 1 $(find $root -path "*/kubepods-$1pod*.slice/cri-containerd-*" -name memory.oom.group))")/$2"; }
limits() {
  echo "$(value $root/kubepods-burstable.slice/cpu.weight) $(value $root/kubepods-besteffort.slice/cpu.weight)"
  for class in '' burstable- besteffort-; do
    echo "$(of_pod "$class" cpu.max), $(of_pod "$class" cpu.weight), $(of_pod "$class" memory.max), $(of_pod "$class" pids.max)"
  done
}
wanted='6 1
20000 100000, 8, 67108864, 500
max 100000, 6, 134217728, 500
max 100000, 1, max, 500'
expect 'classes and pods have their limits' "$wanted" "$(limits)"
# A scope is there before the container's own settings are in it.
both() { echo "$(container "$1" cpu.max), $(container "$1" memory.max)"; }
until_is 'guaranteed container' 60 '20000 100000, 67108864' both ''
until_is 'burstable container' 60 'max 100000, 134217728' both burstable-
expect 'all pods together have a memory limit' yes "$([ "$(value $root/memory.max)" != max ] && echo yes)"
for slice in $(find $root -name '*.slice'); do
  expect "$(basename "$slice") is systemd's" active "$(systemctl is-active "$(basename "$slice")")"
done
systemctl daemon-reload
expect 'systemd reloaded: the limits stay' "$wanted" "$(limits)"
rm "$work/manifests/guaranteed.yaml" "$work/manifests/burstable.yaml"
slices() { find $root -mindepth 1 -name '*pod[0-9a-f]*.slice' | wc -l; }
until_is 'slices go with their pods' 120 1 slices
expect 'and their units' 1 "$(systemctl list-units --all --plain --no-legend 'kubepods-*pod?*.slice' | grep -cE 'pod[0-9a-f]{32}')"
expect 'the burstable class has nothing to share' 1 "$(value $root/kubepods-burstable.slice/cpu.weight)"
rm "$work/manifests/besteffort.yaml"
until_is 'the last slice goes' 120 0 slices
systemctl stop standalone-kubelet standalone-containerd
finish
