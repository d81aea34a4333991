# Prints everything that is managed on this host as it is, one `key=value` a line. Changes nothing.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
p() { printf '%s=%s\n' "$1" "$2"; }
# HASH MODE OWNER PATH, for regular files below a folder; the path comes last because it may hold spaces.
files() {
    cd "$2" 2>/dev/null || return 0
    find . -type f -printf '%P\0' | xargs -0 -r stat -c '%a %U %n' | while read -r mode owner path; do
        hash=$(sha256sum <"$path")
        p "$1" "${hash%% *} $mode $owner $path"
    done
    find . ! -type f ! -type d ! -path ./release -printf "$1=other 0 - %P\n"
    cd /
}
files file /etc/hardway/current/
for list in release units links; do
    sed "s/^/own-$list=/" "/etc/hardway/current/meta/$list" 2>/dev/null
done
# Twenty programs are read at once.
if cd /opt/hardway/current/ 2>/dev/null; then
    scratch=$(mktemp -d)
    find . -type f -printf '%P\0' | xargs -0 -r stat -c '%a %U %n' >"$scratch/modes"
    find . -type f -printf '%P\0' | xargs -0 -r -n 1 -P "$(nproc)" sha256sum >"$scratch/hashes"
    while read -r mode owner path; do
        hash=$(grep -F "  $path" "$scratch/hashes" | head -n 1)
        p program "${hash%% *} $mode $owner $path"
    done <"$scratch/modes"
    rm -rf "$scratch"
    cd /
fi
for unit in @UNITS@; do
    systemctl show "$unit" -p FragmentPath -p DropInPaths -p NeedDaemonReload -p UnitFileState | sed "s#^#show=$unit #"
    # Also those that systemd has not read yet.
    for path in "/etc/systemd/system/$unit.d"/*.conf "/run/systemd/system/$unit.d"/*.conf; do
        [ -e "$path" ] && p dropin "$unit $path"
    done
    pid=$(systemctl show "$unit" -p MainPID --value 2>/dev/null)
    if [ "${pid:-0}" -gt 0 ]; then
        exe=$(readlink "/proc/$pid/exe")
        # A program that did not change is the same file in every release, and what runs it needs no restart; nor does
        # what runs a file that was replaced by its equal.
        case $exe in /opt/hardway/releases/*)
            name=${exe##*/}
            current=$(readlink -f "/opt/hardway/current/bin/${name% (deleted)}")
            if [ "/proc/$pid/exe" -ef "$current" ] || cmp -s "/proc/$pid/exe" "$current"; then exe=$current; fi ;;
        esac
        p exe "$unit $exe"
        p command "$unit $(tr '\0\n' '\037\036' <"/proc/$pid/cmdline")"
    fi
done
ip -4 -o route show 2>/dev/null | sed 's/^/route=/'
ss -Hltnp 2>/dev/null | awk '{print "listen=" $4 " " $6}'
p complete yes
