# Waits until units run, keep running and listen. Changes nothing. What is wrong goes to standard error.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units='@UNITS@'
ports='@PORTS@'
deadline=$(($(date +%s) + @SECONDS@))
snapshot() {
    for unit in $units; do
        echo "$unit $(systemctl show "$unit" -p ActiveState -p MainPID -p NRestarts | sort | tr '\n' ' ')"
    done
}
restarts() { printf '%s\n' "$1" | sed 's/.*NRestarts=\([0-9]*\).*/\1/' | awk '{sum += $1} END {print sum + 0}'; }
first=$(restarts "$(snapshot)")
last= calm=0
while :; do
    now=$(snapshot)
    bad=$(printf '%s\n' "$now" | grep -v 'ActiveState=active ' | sed 's/ .*ActiveState=\([a-z-]*\).*/ is \1/' | tr '\n' ' ')
    listening=$(ss -Hltn | awk '{print $4}')
    missing=
    for port in $ports; do
        printf '%s\n' "$listening" | grep -q ":$port\$" || missing="$missing $port"
    done
    if [ -z "$bad$missing" ] && [ "$now" = "$last" ]; then
        calm=$((calm + 1))
        # A second without a change.
        [ "$calm" -lt 4 ] || exit 0
    else
        calm=0
    fi
    last=$now
    # A daemon that ends again and again does not come up by waiting.
    [ "$(($(restarts "$now") - first))" -lt 3 ] || break
    [ "$(date +%s)" -lt "$deadline" ] || break
    sleep 0.25
done
[ -z "$bad" ] || echo "$bad" >&2
[ -z "$missing" ] || echo "nothing listens on port$missing" >&2
[ -n "$bad$missing" ] || echo "units restart again and again: $(printf '%s\n' "$now" | grep -v 'NRestarts=0 ' | cut -d' ' -f1 | tr '\n' ' ')" >&2
for unit in $units; do
    systemctl show "$unit" -p ActiveState -p NRestarts | tr '\n' ' ' | grep -q 'NRestarts=0 ActiveState=active\|ActiveState=active NRestarts=0' && continue
    journalctl -u "$unit" -n 4 --no-pager -o cat >&2
done
exit 1
