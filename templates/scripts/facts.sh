# Prints what is known about this host, one `key=value` a line. Changes nothing.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
p() { printf '%s=%s\n' "$1" "$2"; }
p time "$(date +%s.%N)"
p uid "$(id -u)"
p hostname "$(cat /proc/sys/kernel/hostname)"
p os "$(. /etc/os-release 2>/dev/null && printf '%s %s' "$ID" "$VERSION_ID")"
p kernel "$(uname -r)"
p architecture "$(uname -m)"
p init "$(cat /proc/1/comm)"
p container "$(systemd-detect-virt --container 2>/dev/null)"
p cpus "$(nproc)"
p memory_kb "$(sed -n 's/^MemTotal: *\([0-9]*\).*/\1/p' /proc/meminfo)"
p machine_id "$(cat /etc/machine-id 2>/dev/null)"
p cgroup "$(stat -fc %T /sys/fs/cgroup)"
p swap "$(tail -n +2 /proc/swaps | wc -l)"
p capabilities "$(sed -n 's/^CapBnd:[[:space:]]*//p' /proc/1/status)"
opt=/opt; [ -d /opt/hardway ] && opt=/opt/hardway
p disk_opt_kb "$(df -Pk "$opt" | awk 'NR==2 {print $4}')"
p disk_var_kb "$(df -Pk /var/lib | awk 'NR==2 {print $4}')"
for tool in tar gzip zstd sha256sum ip ss nft iptables conntrack mount containerd ctr runc etcd haproxy useradd sysctl modprobe systemctl; do
    path=$(command -v "$tool") && p "tool.$tool" "$path"
done
command -v containerd >/dev/null && p containerd_version "$(containerd --version | awk '{print $3}')"
command -v etcd >/dev/null && p etcd_version "$(etcd --version | sed -n 's/^etcd Version: //p')"
for directory in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do
    [ -x "$directory/bridge" ] && [ -x "$directory/host-local" ] && [ -x "$directory/loopback" ] && { p cni_bin "$directory"; break; }
done
[ -e /run/systemd/resolve/resolv.conf ] && p resolv_conf /run/systemd/resolve/resolv.conf
[ -e /proc/sys/net/ipv4/ip_forward ] && p ip_forward "$(cat /proc/sys/net/ipv4/ip_forward)"
sed -n 's/^-\{0,1\}\([a-z][A-Za-z0-9._-]*\) *=.*/\1/p' /etc/sysctl.d/90-hardway.conf 2>/dev/null | while read -r key; do
    path=/proc/sys/$(printf %s "$key" | tr . /)
    [ -r "$path" ] && p sysctl "$key $(cat "$path")"
done
for module in $(cat /etc/modules-load.d/hardway.conf 2>/dev/null); do [ -d "/sys/module/$module" ] && p module "$module"; done
# A module that is not loaded yet will be: modules-load.d names it.
for feature in overlay; do { grep -qw "$feature" /proc/filesystems || modprobe -nq "$feature" 2>/dev/null; } && p "kernel.$feature" yes; done
ip -o -4 addr show 2>/dev/null | awk '{print "address=" $4}'
ip -4 route show 2>/dev/null | awk '{print "route=" $1 " " $2 " " $3 " " $4 " " $5}'
ss -Hltnp 2>/dev/null | awk '{print "listen=" $4 " " $6}'
[ -d /var/lib/etcd/member ] && p etcd_data yes
p release "$(readlink /etc/hardway/current/release 2>/dev/null | sed 's#^/opt/hardway/##')"
p generation "$(readlink /etc/hardway/current 2>/dev/null)"
for path in /etc/hardway/generations/[0-9]*; do [ -d "$path" ] && p kept "${path##*/}"; done
for path in /opt/hardway/blobs/[0-9a-f]*; do [ -f "$path" ] && p blob "${path##*/}"; done
if cd /etc/hardway/current 2>/dev/null; then
    sed 's/^/manifest=/' MANIFEST 2>/dev/null
    sed 's/^/mode=/' MODES 2>/dev/null
    sha256sum -c --quiet MANIFEST 2>/dev/null | sed -n 's/: FAILED.*//p' | sed 's/^/damaged=/'
    cut -d' ' -f3- MODES | xargs -r stat -c '%a %U %n' 2>/dev/null | sort >"/tmp/.hardway-modes.$$"
    sort MODES | comm -23 - "/tmp/.hardway-modes.$$" | sed 's/^[^ ]* [^ ]* /damaged=/'
    rm -f "/tmp/.hardway-modes.$$"
    cd /
fi
for link in /etc/systemd/system/*.service /etc/systemd/system/*.timer /etc/systemd/system/containerd.service.d/hardway.conf \
    /opt/hardway/current /etc/systemd/system/multi-user.target.wants/* /etc/sysctl.d/90-hardway.conf /etc/modules-load.d/hardway.conf; do
    [ -L "$link" ] && p link "$link $(readlink "$link")"
done
for user in etcd kube-apiserver kube-controller-manager kube-scheduler api-balancer; do
    id -u "$user" >/dev/null 2>&1 && p user "$user"
done
for unit in @UNITS@; do
    pid=$(systemctl show "$unit" -p MainPID --value 2>/dev/null)
    content=
    # A timer has no process; systemd has read its file, since activation makes it.
    [ "$unit" != "${unit%.timer}" ] && content=$(sed -n 's/^X-Hardway-Content=//p' "/etc/systemd/system/$unit" 2>/dev/null)
    [ "${pid:-0}" -gt 0 ] && content=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^HARDWAY_CONTENT=//p')
    p unit "$unit $(systemctl show "$unit" -p ActiveState --value 2>/dev/null) ${pid:-0} ${content:--}"
done
if [ "$(systemctl show containerd.service -p ActiveState --value 2>/dev/null)" = active ]; then
    ctr -n k8s.io images ls -q 2>/dev/null | sed -n '/^hardway.local\//s/^/image=/p'
fi
p complete yes
