# Installs Debian packages from a flat repository on standard input (a tar archive), whatever the host's own apt
# sources are. Services of the packages are neither started nor left enabled.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 022
# Of its own: a run whose connection was lost may still wait here for the rest of its input.
find /var/lib -maxdepth 1 -name 'hardway-packages.*' -mmin +120 -exec rm -rf {} +
work=$(mktemp -d /var/lib/hardway-packages.XXXXXX)
chmod 755 "$work"
policy=/usr/sbin/policy-rc.d
mkdir -p "$work/lists/partial" "$work/cache/archives/partial"
made=
end() { rm -rf "$work"; [ -z "$made" ] || rm -f "$policy"; }
trap end EXIT
cd "$work"
tar -xf -
sha256sum -c --quiet SHA256SUMS >&2
# Each package was just compared with the hash that is signed for.
echo "deb [trusted=yes] file:$work ./" >sources.list
apt() {
    apt-get -q -y -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=- -o Dir::State::Lists="$work/lists" \
        -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root -o APT::Install-Recommends=false \
        -o DPkg::Options::=--force-confold -o DPkg::Lock::Timeout=120 "$@"
}
if [ ! -e "$policy" ]; then
    made=yes
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
apt update >/dev/null
apt install @PACKAGES@ >"$work/log" 2>&1 || { tail -n 6 "$work/log" >&2; exit 1; }
# hardway's own units start these.
for unit in etcd.service haproxy.service nftables.service; do systemctl disable "$unit" >/dev/null 2>&1 || true; done
