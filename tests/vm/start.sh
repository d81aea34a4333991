#!/bin/bash
# start.sh IMAGE STATE PORT: boots a throw-away copy of the image (nothing is written to it) and waits until it answers
# SSH on 127.0.0.1:PORT. STATE gets the process id, the console and `ssh.config` for `ssh -F STATE/ssh.config vm`.
set -euo pipefail

image=${1:?the folder of image.sh} state=${2:?a folder for the state} port=${3:?a free port}
mkdir -p "$state"
accelerator=tcg,thread=multi processor=max
# A /dev/kvm on a machine without the CPU's extension for it starts no guest.
if [ -w /dev/kvm ] && grep -qE '\b(vmx|svm)\b' /proc/cpuinfo; then accelerator=kvm processor=host; fi
# No way out of the guest's network: restrict=on leaves the forwarded port only.
qemu-system-x86_64 -machine q35 -accel "$accelerator" -cpu "$processor" -smp "${VM_CPUS:-2}" -m "${VM_MEMORY:-4096}" \
  -kernel "$image/vmlinuz" -initrd "$image/initrd" \
  -append "root=/dev/vda rw console=ttyS0 ${VM_KERNEL_ARGS:-quiet} mitigations=off systemd.show_status=0 cgroup_no_v1=all" \
  -drive "file=$image/disk,format=raw,if=virtio,snapshot=on" -device virtio-rng-pci \
  -netdev "user,id=n,restrict=on,hostfwd=tcp:127.0.0.1:$port-:22" -device virtio-net-pci,netdev=n \
  -display none -serial "file:$state/console" -monitor none -daemonize -pidfile "$state/pid"
{
  echo "vm $(cat "$image/host-key.pub")" > "$state/known_hosts"
  printf 'Host vm\n  HostName 127.0.0.1\n  Port %s\n  User root\n  IdentityFile %s\n  IdentitiesOnly yes\n' "$port" "$image/key"
  printf '  UserKnownHostsFile %s\n  HostKeyAlias vm\n  StrictHostKeyChecking yes\n  ConnectTimeout 300\n  LogLevel ERROR\n' "$state/known_hosts"
} > "$state/ssh.config"
for _ in $(seq 150); do
  ssh -F "$state/ssh.config" vm true 2> "$state/ssh.error" && exit 0
  kill -0 "$(cat "$state/pid")" || break
  sleep 2
done
echo 'the virtual machine does not answer SSH:' >&2
cat "$state/ssh.error" >&2
tail -n 30 "$state/console" >&2
exit 1
