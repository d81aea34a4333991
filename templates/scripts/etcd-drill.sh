# Restores a snapshot into a scratch directory, starts an etcd of its own on it, counts, and removes everything.
# Standard input: the snapshot. The running member is not touched.
set -eu
export LC_ALL=C ETCDCTL_API=3 PATH=/opt/hardway/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
tool=$(command -v etcdutl || command -v etcdctl) || { echo 'neither etcdutl nor etcdctl is installed (package etcd-client)' >&2; exit 1; }
command -v etcdctl >/dev/null || { echo 'etcdctl is not installed (package etcd-client)' >&2; exit 1; }
work=$(mktemp -d /var/tmp/hardway-drill.XXXXXX)
pid=
end() { [ -z "$pid" ] || { kill "$pid" 2>/dev/null || true; wait "$pid" 2>/dev/null || true; }; rm -rf "$work"; }
trap end EXIT
cat >"$work/snapshot.db"
echo "@SHA256@  $work/snapshot.db" | sha256sum -c --quiet - >&2
port=23790
while ss -Hltn 2>/dev/null | grep -qE "127.0.0.1:($port|$((port + 1))) "; do port=$((port + 2)); done
client=https://127.0.0.1:$port peer=https://127.0.0.1:$((port + 1)) pki=/etc/hardway/current/pki
"$tool" snapshot restore "$work/snapshot.db" --name drill --initial-cluster "drill=$peer" --initial-cluster-token drill \
    --initial-advertise-peer-urls "$peer" --data-dir "$work/data" >&2
etcd --name drill --data-dir "$work/data" --listen-client-urls "$client" --advertise-client-urls "$client" \
    --listen-peer-urls "$peer" --initial-advertise-peer-urls "$peer" --initial-cluster "drill=$peer" --initial-cluster-token drill \
    --client-cert-auth --trusted-ca-file "$pki/etcd-ca.crt" --cert-file "$pki/etcd-server.crt" --key-file "$pki/etcd-server.key" \
    --peer-client-cert-auth --peer-trusted-ca-file "$pki/etcd-ca.crt" --peer-cert-file "$pki/etcd-peer.crt" \
    --peer-key-file "$pki/etcd-peer.key" --log-level warn >"$work/log" 2>&1 &
pid=$!
ctl() { etcdctl --endpoints "$client" --cacert "$pki/etcd-ca.crt" --cert "$pki/etcd-health.crt" --key "$pki/etcd-health.key" "$@"; }
deadline=$(($(date +%s) + 60))
until ctl endpoint health >/dev/null 2>&1; do
    kill -0 "$pid" 2>/dev/null && [ "$(date +%s)" -lt "$deadline" ] || { tail -n 5 "$work/log" >&2; exit 1; }
    sleep 0.2
done
ctl get /registry/ --prefix --count-only --write-out=fields | sed -n 's/^"Count" : /keys=/p'
ctl endpoint status --write-out=fields | sed -n 's/^"Revision" : /revision=/p'
