#!/bin/bash
# Inside the virtual machine: makes a cluster of this one host, over SSH to itself as any operator would.
set -euo pipefail

mkdir -p /root/cluster
cd /root/cluster
[ -f key ] || {
  ssh-keygen -q -t ed25519 -N '' -f key
  cat key.pub >> /root/.ssh/authorized_keys
}
address=$(ip -4 -o addr show scope global | awk '{ sub("/.*", "", $4); print $4; exit }')
cat > hosts.toml <<TOML
[cluster]
name = "vm"

[ssh]
user = "root"
key = "/root/cluster/key"

[release]
binaries = "/opt/binaries"

[[hosts]]
name = "vm"
address = "$address"
roles = ["control-plane", "worker"]
host_key = "$(cut -d ' ' -f 1,2 /etc/ssh/ssh_host_ed25519_key.pub)"
TOML
begun=$(date +%s)
/opt/binaries/hardway bootstrap --inventory hosts.toml
echo "bootstrap took $(($(date +%s) - begun)) s"
(umask 077 && /opt/binaries/hardway kubeconfig --inventory hosts.toml > kubeconfig)
/opt/binaries/hardway-lab image-archive --image hardway.local/busybox:test --program /bin/busybox | ctr -n k8s.io images import - > /dev/null
