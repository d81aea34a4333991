# Puts a host back on a generation that it still holds. Nothing is uploaded; a cut at any point leaves the one or
# the other, and the next try finishes. Prints the generation and the units that were restarted.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
exec 9>/run/hardway.lock
! command -v flock >/dev/null || flock -w 60 9 || { echo 'another run of hardway is still at work on this host: it holds /run/hardway.lock' >&2; exit 1; }
# By the host itself: not when the new generation has been confirmed meanwhile.
unattended=@UNATTENDED@
[ -z "$unattended" ] || [ -e /etc/hardway/guard/target ] || exit 0
cd /etc/hardway/generations
current=$(readlink ../current)
current=${current##*/}
target=@TARGET@
if [ -z "$target" ]; then
    # One that failed its gate is not what was before.
    target=$(ls -1 | grep -E '^[0-9]+$' | sort -n | while read -r number; do
        [ "$number" -ge "$current" ] || [ -e "$number/meta/failed" ] || echo "$number"
    done | tail -n 1)
    [ -n "$target" ] || { echo "there is no generation before $current" >&2; exit 1; }
fi
[ -d "$target" ] || { echo "generation $target is not there any more; kept: $(ls -1 | grep -E '^[0-9]+$' | tr '\n' ' ')" >&2; exit 1; }
[ -f "$target/meta/units" ] || { echo "generation $target was made by an older hardway and cannot be gone back to" >&2; exit 1; }
intact() { sha256sum -c --quiet - >&2 || { echo "generation $target was changed on this host and is not gone back to" >&2; exit 1; }; }
(cd "$target" && intact <MANIFEST)
release=$(readlink "$target/release" || true)
if [ -n "$release" ]; then
    (cd "$release" && sed 's/ /  /' "/etc/hardway/generations/$target/meta/release" | intact)
fi
ln -sfn "generations/$target" ../.current
mv -T ../.current ../current
rm -f "$target/meta/failed"
case '@CAUSE@' in
failed-*) [ "$current" = "$target" ] || touch "$current/meta/failed" 2>/dev/null || true ;;
esac
printf '%s %s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$target" "${release##*/}" '@CAUSE@' >>../history
# Units and links that only the other generation had.
cut -d' ' -f2 "$current/meta/units" 2>/dev/null | while read -r unit; do
    grep -q " $unit " "$target/meta/units" || systemctl disable --now "$unit" >/dev/null 2>&1 || true
done
while read -r link _; do
    grep -q "^$link " "$target/meta/links" || rm -f "$link"
done <"$current/meta/links"
while read -r link wanted; do
    [ "$(readlink "$link" 2>/dev/null || true)" = "$wanted" ] && continue
    mkdir -p "$(dirname "$link")"
    ln -sfn "$wanted" "$link.hardway-new"
    mv -T "$link.hardway-new" "$link"
done <"$target/meta/links"
[ ! -e /etc/sysctl.d/90-hardway.conf ] || sysctl -q -p /etc/sysctl.d/90-hardway.conf >&2 || true
systemctl daemon-reload
echo "generation=$target"
release=$(readlink "$target/release" || true)
echo "release=${release##*/}"
cut -d' ' -f2 "$target/meta/units" | sed 's/^/unit=/'
# In the order in which they need each other.
sort "$target/meta/units" | while read -r _ unit content; do
    pid=$(systemctl show "$unit" -p MainPID --value)
    running=
    [ "${pid:-0}" -gt 0 ] && running=$(tr '\0' '\n' <"/proc/$pid/environ" 2>/dev/null | sed -n 's/^HARDWAY_CONTENT=//p')
    # One that is reloaded keeps its environment, and writes down what it runs with. Without a whole line read fails.
    if [ -r "/run/${unit%.service}/content" ]; then read -r running <"/run/${unit%.service}/content" || true; fi
    state=$(systemctl show "$unit" -p ActiveState --value)
    [ "$running" = "$content" ] && [ "$state" = active ] && continue
    echo "restarted=$unit"
    systemctl reset-failed "$unit" >/dev/null 2>&1 || true
    # Two parts: what it is started with, and what it reads again when told to.
    verb=restart
    case $content in *.*) [ "${running%.*}" != "${content%.*}" ] || verb=reload-or-restart ;; esac
    systemctl "$verb" "$unit" >&2
done
if [ -n "$unattended" ]; then
    rm -rf /etc/hardway/guard
    systemctl stop hardway-guard.timer
    rm -f /etc/systemd/system/hardway-guard.service /etc/systemd/system/hardway-guard.timer /etc/systemd/system/timers.target.wants/hardway-guard.timer
fi
