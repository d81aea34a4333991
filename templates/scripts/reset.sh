# Takes from a host what hardway put there. Repeatable: what is gone already is not missed.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units='@UNITS@'
# First, so that the host does not go back to what is being removed.
rm -f /etc/hardway/guard/target
systemctl stop hardway-guard.timer hardway-guard.service >/dev/null 2>&1
rm -f /etc/systemd/system/hardway-guard.service /etc/systemd/system/hardway-guard.timer /etc/systemd/system/timers.target.wants/hardway-guard.timer
for unit in $units; do
    [ "$unit" = containerd.service ] || systemctl disable --now "$unit" >/dev/null 2>&1
done
if [ -L /etc/systemd/system/containerd.service.d/hardway.conf ] && systemctl is-active --quiet containerd.service; then
    for task in $(ctr -n k8s.io tasks ls -q 2>/dev/null); do ctr -n k8s.io tasks kill -s KILL "$task" >/dev/null 2>&1; done
    deadline=$(($(date +%s) + 10))
    while [ "$(date +%s)" -lt "$deadline" ] && ctr -n k8s.io tasks ls 2>/dev/null | grep -q RUNNING; do sleep 0.1; done
    for task in $(ctr -n k8s.io tasks ls -q 2>/dev/null); do ctr -n k8s.io tasks rm -f "$task" >/dev/null 2>&1; done
    ctr -n k8s.io containers ls -q 2>/dev/null | xargs -r ctr -n k8s.io containers rm >/dev/null 2>&1
    ctr -n k8s.io images ls -q 2>/dev/null | xargs -r ctr -n k8s.io images rm --sync >/dev/null 2>&1
fi
systemctl disable --now containerd.service >/dev/null 2>&1
pkill -KILL -f '^/usr/bin/containerd-shim-runc-v2 -namespace k8s.io ' 2>/dev/null
awk '$2 ~ "^/var/lib/kubelet/" || $2 ~ "^/run/containerd/" || $2 ~ "^/run/netns/cni-" {print $2}' /proc/mounts | sort -r | while read -r path; do umount -l "$path"; done
for path in /run/netns/cni-*; do [ -e "$path" ] && rm -f "$path"; done
ip link del cni0 2>/dev/null
for link in $(ip -o link show type veth 2>/dev/null | sed -n 's/^[0-9]*: \(veth[0-9a-f]\{8\}\)@.*/\1/p'); do ip link del "$link" 2>/dev/null; done
ip -4 route flush proto @ROUTE_PROTOCOL@ 2>/dev/null
for family in ip ip6; do
    for table in kube-proxy hardway-pod-network; do nft delete table "$family" "$table" 2>/dev/null; done
done
for tool in iptables ip6tables; do
    if command -v $tool-save >/dev/null && $tool-save 2>/dev/null | grep -q KUBE-; then
        $tool-save | grep -v KUBE- | $tool-restore
    fi
done
for unit in $units; do
    rm -f "/etc/systemd/system/multi-user.target.wants/$unit"
    [ -L "/etc/systemd/system/$unit" ] && rm -f "/etc/systemd/system/$unit"
    [ -e "/etc/systemd/system/$unit.before-hardway" ] && mv "/etc/systemd/system/$unit.before-hardway" "/etc/systemd/system/$unit"
done
# Snapshots stay: they are what is left when all else is gone.
[ -L /etc/systemd/system/hardway-backup.service ] && rm -f /etc/systemd/system/hardway-backup.service
rm -f /etc/systemd/system/containerd.service.d/hardway.conf /run/hardway.lock
rmdir /etc/systemd/system/containerd.service.d 2>/dev/null
rm -f /etc/sysctl.d/90-hardway.conf /etc/modules-load.d/hardway.conf /etc/cni/net.d/10-hardway.conflist
if [ -e /etc/fstab.before-hardway ]; then sed -i 's/^# hardway: //' /etc/fstab; rm -f /etc/fstab.before-hardway; swapon -a; fi
rm -rf /etc/hardway /opt/hardway /var/lib/hardway /var/lib/cni /var/log/pods /var/log/containers /run/hardway-haproxy /var/lib/hardway-packages.*
# These may be mount points; what is in them goes.
for path in /var/lib/etcd /var/lib/kubelet; do [ -d "$path" ] && find "$path" -mindepth 1 -delete; rmdir "$path" 2>/dev/null; done
for user in kube-apiserver kube-controller-manager kube-scheduler api-balancer; do userdel "$user" >/dev/null 2>&1; done
systemctl daemon-reload
systemctl reset-failed >/dev/null 2>&1
left=
for path in /etc/hardway /opt/hardway /var/lib/etcd/member; do [ -e "$path" ] && left="$left $path"; done
[ -z "$left" ] || { echo "could not remove$left" >&2; exit 1; }
