#!/bin/bash
# image.sh FOLDER: makes the virtual machine's disk, kernel and initrd in FOLDER, unless they are there: Debian trixie
# with its own cloud kernel and what a host of a cluster has, and what hardway-lab needs to make hosts of its own.
set -euo pipefail

folder=${1:?the folder for the image}
here=$(cd "$(dirname "$0")" && pwd)
packages=systemd,systemd-sysv,dbus,udev,openssh-server,iproute2,iptables,nftables,kmod,procps,ca-certificates,curl,conntrack,socat
packages+=,containerd,runc,containernetworking-plugins,etcd-server,etcd-client,haproxy
packages+=,linux-image-cloud-amd64,initramfs-tools,systemd-container,busybox-static,zstd,jq,stress-ng
wanted=$(echo "$packages" | sha256sum | cut -c 1-12)
[ "$(cat "$folder/.complete" 2>/dev/null)" = "$wanted" ] && exit 0

echo 'making the image of the virtual machine (once, some minutes)'
rm -rf "$folder"
mkdir -p "$folder"
root=$folder/root
debootstrap --variant=minbase --include="$packages" trixie "$root" "$("$here/../tools/mirror.sh")" > "$folder/debootstrap.log"
rm -f "$root"/var/cache/apt/archives/*.deb "$root"/etc/ssh/ssh_host_*
rm -rf "$root"/var/lib/etcd "$root"/var/lib/containerd "$root"/var/lib/apt/lists
chroot "$root" systemctl disable -q etcd containerd haproxy apt-daily.timer apt-daily-upgrade.timer
chroot "$root" systemctl enable -q systemd-networkd ssh
chroot "$root" ssh-keygen -A > /dev/null
echo vm > "$root/etc/hostname"
printf '127.0.0.1 localhost\n127.0.1.1 vm\n' > "$root/etc/hosts"
# Where QEMU's user network puts its only guest; there is no way out of it (restrict=on).
printf '[Match]\nName=en*\n[Network]\nDHCP=yes\n' > "$root/etc/systemd/network/vm.network"
printf 'PermitRootLogin prohibit-password\nPasswordAuthentication no\nUseDNS no\nMaxStartups 100\n' > "$root/etc/ssh/sshd_config.d/vm.conf"
echo '/dev/vda / ext4 defaults,noatime 0 1' > "$root/etc/fstab"
ssh-keygen -q -t ed25519 -N '' -f "$folder/key"
mkdir -m 700 -p "$root/root/.ssh"
cp "$folder/key.pub" "$root/root/.ssh/authorized_keys"
cp "$root/etc/ssh/ssh_host_ed25519_key.pub" "$folder/host-key.pub"
cp "$root"/boot/vmlinuz-* "$folder/vmlinuz"
cp "$root"/boot/initrd.img-* "$folder/initrd"
truncate -s 12G "$folder/disk"
mke2fs -q -t ext4 -d "$root" "$folder/disk"
rm -rf "$root"
echo "$wanted" > "$folder/.complete"
