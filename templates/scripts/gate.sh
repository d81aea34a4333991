# Waits until units run, keep running and listen. Changes nothing. What is wrong goes to standard error.
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
units='@UNITS@'
ports='@PORTS@'
deadline=$(($(date +%s) + @SECONDS@))
# Sets: now (all that must not change), bad (units that are not active), restarts (of all units together).
look() {
    now=
    [ -z "$units" ] || now=$(systemctl show $units -p Id -p ActiveState -p MainPID -p NRestarts)
    bad= restarts=0 again= id= state= count=0
    while IFS='=' read -r key value; do
        case $key in Id) id=$value ;; ActiveState) state=$value ;; NRestarts) count=$value ;; '') unit ;; esac
    done <<UNITS
$now

UNITS
}
unit() {
    [ -n "$id" ] || return 0
    [ "$state" = active ] || bad="$bad$id is $state "
    [ "$count" -eq 0 ] || again="$again$id "
    restarts=$((restarts + count))
    id= state= count=0
}
look
first=$restarts
last= calm=0
while :; do
    listening=" $(ss -Hltn | while read -r _ _ _ local _; do printf '%s ' "${local##*:}"; done)"
    missing=
    for port in $ports; do
        case $listening in *" $port "*) ;; *) missing="$missing $port" ;; esac
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
    [ "$((restarts - first))" -lt 3 ] || break
    [ "$(date +%s)" -lt "$deadline" ] || break
    sleep 0.25
    look
done
[ -z "$bad" ] || echo "$bad" >&2
[ -z "$missing" ] || echo "nothing listens on port$missing" >&2
[ -n "$bad$missing" ] || echo "units restart again and again: $again" >&2
for unit in $units; do
    case " $bad $again" in *" $unit "*) journalctl -u "$unit" -n 4 --no-pager -o cat >&2 ;; esac
done
exit 1
