# Before a host is interrupted: unless disarm.sh is run in time, the host goes back by itself, also after a reboot.
# Standard input: the script that puts it back. Repeatable; what was armed already is armed anew.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
# All input first: a run whose connection was lost may wait here for ever, and must hold nothing then.
script=$(mktemp /run/hardway-guard.XXXXXX)
trap 'rm -f "$script"' EXIT
cat >"$script"
# Half of a way back is none.
echo '@SHA256@  '"$script" | sha256sum -c --quiet - >&2
exec 9>/run/hardway.lock
! command -v flock >/dev/null || flock -w 60 9 || { echo 'another run of hardway is still at work on this host: it holds /run/hardway.lock' >&2; exit 1; }
current=$(readlink /etc/hardway/current)
[ "${current##*/}" = '@FROM@' ] || { echo "this host is on generation ${current##*/}, and was on @FROM@ when it was asked: run the command again" >&2; exit 1; }
guard=/etc/hardway/guard
mkdir -p "$guard"
cp "$script" "$guard/.go-back"
mv "$guard/.go-back" "$guard/go-back"
cat >/etc/systemd/system/hardway-guard.service <<'UNIT'
[Unit]
Description=Back to the generation before: nobody has confirmed the new one
ConditionPathExists=/etc/hardway/guard/target

[Service]
Type=oneshot
ExecStart=/bin/sh /etc/hardway/guard/go-back
Restart=on-failure
RestartSec=30s
UNIT
cat >/etc/systemd/system/hardway-guard.timer <<'UNIT'
[Unit]
Description=Time within which the new generation has to be confirmed

[Timer]
OnActiveSec=@SECONDS@s
AccuracySec=1s
UNIT
mkdir -p /etc/systemd/system/timers.target.wants
ln -sfn /etc/systemd/system/hardway-guard.timer /etc/systemd/system/timers.target.wants/hardway-guard.timer
# The last: what has no target is not armed.
echo '@TARGET@' >"$guard/.target"
mv "$guard/.target" "$guard/target"
[ "$(systemctl show -p NeedDaemonReload --value hardway-guard.timer)" = no ] || systemctl daemon-reload
systemctl restart hardway-guard.timer
