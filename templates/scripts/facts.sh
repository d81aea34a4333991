# Prints what is known about this host, one `key=value` a line. Changes nothing.
# With a hundred hosts every program that is started here counts, so what the shell can read it reads itself.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
p() { printf '%s=%s\n' "$1" "$2"; }
# The first line of a file, as $line.
line_of() { line=; { [ -r "$1" ] && IFS= read -r line <"$1"; } 2>/dev/null; }
date '+time=%s.%N'
# A host that is just going back by itself is asked when it has arrived.
[ ! -e /etc/hardway/guard/target ] || flock -s -w 60 /run/hardway.lock true 2>/dev/null
while read -r key _ effective _; do [ "$key" = Uid: ] && p uid "$effective"; done </proc/self/status
line_of /proc/sys/kernel/hostname; p hostname "$line"
(. /etc/os-release && p os "$ID $VERSION_ID") 2>/dev/null
line_of /proc/sys/kernel/osrelease; p kernel "$line"
p architecture "$(uname -m)"
line_of /proc/1/comm; p init "$line"
# Written by systemd when it finds itself in a container.
line_of /run/systemd/container; p container "${line:-none}"
p cpus "$(nproc)"
while read -r key value _; do [ "$key" = MemTotal: ] && { p memory_kb "$value"; break; }; done </proc/meminfo
line_of /etc/machine-id; p machine_id "$line"
swaps=-1
while read -r _; do swaps=$((swaps + 1)); done </proc/swaps
[ "$swaps" -ge 0 ] || swaps=0
p swap "$swaps"
while read -r key value; do [ "$key" = CapBnd: ] && p capabilities "$value"; done </proc/1/status
opt=/opt; [ -d /opt/hardway ] && opt=/opt/hardway
stat -fc 'filesystem=%n %T %a %S' /sys/fs/cgroup "$opt" /var/lib
found=
for tool in tar gzip zstd sha256sum ip ss nft iptables conntrack mount containerd ctr runc etcd haproxy useradd sysctl modprobe systemctl head ssh sshd; do
    for directory in /usr/local/sbin /usr/local/bin /usr/sbin /usr/bin /sbin /bin; do
        [ -x "$directory/$tool" ] && { p "tool.$tool" "$directory/$tool"; found="$found $tool "; break; }
    done
done
case $found in *' containerd '*) containerd --version | while read -r _ _ version _; do p containerd_version "$version"; done ;; esac
for directory in /opt/cni/bin /usr/lib/cni /usr/libexec/cni; do
    [ -x "$directory/bridge" ] && [ -x "$directory/host-local" ] && [ -x "$directory/loopback" ] && { p cni_bin "$directory"; break; }
done
[ -e /run/systemd/resolve/resolv.conf ] && p resolv_conf /run/systemd/resolve/resolv.conf
line_of /proc/sys/net/ipv4/ip_forward; p ip_forward "$line"
if [ -r /etc/sysctl.d/90-hardway.conf ]; then
    while IFS='= ' read -r key _; do
        key=${key#-}
        case $key in [a-z]*.*) ;; *) continue ;; esac
        path=/proc/sys
        old=$IFS; IFS=.
        for part in $key; do path=$path/$part; done
        IFS=$old
        [ -r "$path" ] && { line_of "$path"; p sysctl "$key $line"; }
    done </etc/sysctl.d/90-hardway.conf
fi
if [ -r /etc/modules-load.d/hardway.conf ]; then
    while read -r module; do [ -n "$module" ] && [ -d "/sys/module/$module" ] && p module "$module"; done </etc/modules-load.d/hardway.conf
fi
overlay=
while read -r kind more; do [ "$kind" = overlay ] || [ "$more" = overlay ] && overlay=yes; done </proc/filesystems
# A module that is not loaded yet will be: modules-load.d names it.
{ [ -n "$overlay" ] || modprobe -nq overlay 2>/dev/null; } && p kernel.overlay yes
ip -o -4 addr show 2>/dev/null | while read -r _ _ _ address _; do p address "$address"; done
ip -4 route show 2>/dev/null | while read -r a b c d e _; do p route "$a $b $c $d $e"; done
ss -Hltnp 2>/dev/null | while read -r _ _ _ local _ process; do p listen "$local $process"; done
[ -d /var/lib/etcd/member ] && p etcd_data yes
for path in /etc/hardway/generations/[0-9]*; do [ -d "$path" ] && p kept "${path##*/}"; [ -e "$path/meta/failed" ] && p failed "${path##*/}"; done
line_of /etc/hardway/guard/target; [ -z "$line" ] || p unconfirmed "$line"
for path in /opt/hardway/blobs/[0-9a-f]*; do [ -f "$path" ] && p blob "${path##*/}"; done
if cd /etc/hardway/current 2>/dev/null; then
    sed 's/^/manifest=/' MANIFEST 2>/dev/null
    sed 's/^/mode=/' MODES 2>/dev/null
    sha256sum -c --quiet MANIFEST 2>/dev/null | sed -n 's/^\(.*\): FAILED.*/damaged=\1/p'
    cut -d' ' -f3- MODES | xargs -r stat -c 'found=%a %U %n' 2>/dev/null
    cd /
fi
find /etc/hardway/current /etc/hardway/current/release /etc/systemd/system/*.service /etc/systemd/system/*.timer \
    /etc/systemd/system/containerd.service.d/hardway.conf /etc/systemd/system/multi-user.target.wants/* /opt/hardway/current \
    /etc/sysctl.d/90-hardway.conf /etc/modules-load.d/hardway.conf -maxdepth 0 -type l -printf 'link=%p %l\n' 2>/dev/null
getent passwd etcd kube-apiserver kube-controller-manager kube-scheduler api-balancer | while IFS=: read -r user _; do p user "$user"; done
shown=$(systemctl show @UNITS@ -p Id -p ActiveState -p MainPID 2>/dev/null)
id= state= pid=0 environments= containerd=
unit() {
    [ -n "$id" ] || return 0
    content=
    # A timer has no process; systemd has read its file, since activation makes it.
    case $id in *.timer)
        { while IFS='=' read -r name text; do [ "$name" = X-Hardway-Content ] && content=$text; done <"/etc/systemd/system/$id"; } 2>/dev/null ;;
    esac
    # One that is reloaded keeps its environment, and writes down what it runs with.
    [ "$pid" -gt 0 ] && [ -r "/run/${id%.service}/content" ] && { line_of "/run/${id%.service}/content"; content=$line; }
    p unit "$id $state $pid ${content:--}"
    [ "$pid" -gt 0 ] && [ -z "$content" ] && environments="$environments /proc/$pid/environ"
    [ "$id $state" = "containerd.service active" ] && containerd=yes
    id= state= pid=0
}
while IFS='=' read -r key value; do
    case $key in Id) id=$value ;; ActiveState) state=$value ;; MainPID) pid=$value ;; '') unit ;; esac
done <<UNITS
$shown
UNITS
unit
# What the running processes were started with.
[ -z "$environments" ] || grep -azH '^HARDWAY_CONTENT=' $environments 2>/dev/null | tr '\0' '\n' | sed 's/^/environ=/'
[ -z "$containerd" ] || ctr -n k8s.io images ls -q 2>/dev/null | sed -n '/^hardway.local\//s/^/image=/p'
p complete yes
