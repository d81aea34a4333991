# Puts a snapshot in the place of a member's data. Standard input: the snapshot. What was there before is kept.
set -eu
export LC_ALL=C ETCDCTL_API=3 PATH=/opt/hardway/current/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
tool=$(command -v etcdutl || command -v etcdctl) || { echo 'neither etcdutl nor etcdctl is installed (package etcd-client)' >&2; exit 1; }
work=/var/lib/hardway-restore
rm -rf "$work"
mkdir -p "$work"
cat >"$work/snapshot.db"
echo "@SHA256@  $work/snapshot.db" | sha256sum -c --quiet - >&2
more=
# Clients that have seen later revisions must not take the restored ones for those.
"$tool" snapshot restore --help 2>&1 | grep -q -- --bump-revision && more='--bump-revision 1000000000 --mark-compacted'
"$tool" snapshot restore "$work/snapshot.db" --name '@NAME@' --initial-cluster '@CLUSTER@' --initial-cluster-token '@TOKEN@' \
    --initial-advertise-peer-urls '@PEER@' --data-dir "$work/data" $more >&2
id -u etcd >/dev/null 2>&1 && chown -R etcd: "$work/data"
mkdir -p /var/lib/etcd
[ ! -d /var/lib/etcd/member ] || { rm -rf /var/lib/etcd-before-restore; mv /var/lib/etcd/member /var/lib/etcd-before-restore; }
mv "$work/data/member" /var/lib/etcd/member
! id -u etcd >/dev/null 2>&1 || chown etcd: /var/lib/etcd
chmod 700 /var/lib/etcd
sync -f /var/lib/etcd 2>/dev/null || sync
rm -rf "$work"
