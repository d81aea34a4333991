# Brings a host onto a release and a generation. Standard input: a tar archive of the generation, when one is due.
# Everything is built beside its place and switched by rename, so that a cut at any point leaves the old or the new.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
# All input first: a run whose connection was lost may wait here for ever, and must hold nothing then.
archive=$(mktemp /run/hardway-generation.XXXXXX)
trap 'rm -f "$archive"' EXIT
cat >"$archive"
# A run that was cut off may still be at work here.
exec 9>/run/hardway.lock
! command -v flock >/dev/null || flock -w 60 9 || { echo 'another run of hardway is still at work on this host: it holds /run/hardway.lock' >&2; exit 1; }
release=@RELEASE@
generation=@GENERATION@
mkdir -p /etc/hardway/generations /opt/hardway/releases /opt/hardway/blobs /var/lib/hardway /etc/cni/net.d
chmod 755 /etc/hardway /etc/hardway/generations /opt/hardway /opt/hardway/releases /opt/hardway/blobs /etc/cni /etc/cni/net.d
for user in @USERS@; do
    id -u "$user" >/dev/null 2>&1 || useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$user"
done
if [ -n "$release" ]; then
    folder=/opt/hardway/releases/$release
    new=/opt/hardway/releases/.new.$release
    rm -rf "$new"
    mkdir -p "$new/bin" "$new/images"
    while read -r hash path; do
        [ -n "$hash" ] || continue
        ln "/opt/hardway/blobs/$hash" "$new/$path"
    done <<'MANIFEST'
@RELEASE_MANIFEST@
MANIFEST
    chmod 755 "$new" "$new/bin" "$new/images"
    if [ -d "$folder" ]; then
        # A program that was edited or removed on the host is put back; the others stay as they are.
        (cd "$new" && find . -type f) | while read -r path; do
            [ "$new/$path" -ef "$folder/$path" ] || { mkdir -p "$folder/${path%/*}"; mv -T "$new/$path" "$folder/$path"; }
        done
        chmod 755 "$folder" "$folder/bin" "$folder/images"
    else
        mv "$new" "$folder"
    fi
    rm -rf "$new"
fi
if [ -n "$generation" ]; then
    cd /etc/hardway/generations
    before=$(readlink ../current 2>/dev/null || true)
    rm -rf .new.*
    mkdir ".new.$generation"
    tar -xmf "$archive" -C ".new.$generation"
    cd ".new.$generation"
    sha256sum -c --quiet MANIFEST >&2
    find . -type d -exec chmod 755 {} +
    chmod 644 MANIFEST MODES
    while read -r mode owner path; do
        chown "$owner:" "$path"
        chmod "$mode" "$path"
    done <MODES
    # One rename switches files and programs.
    [ -z "$release" ] || ln -s "/opt/hardway/releases/$release" release
    cd ..
    sync -f . 2>/dev/null || sync
    rm -rf "$generation"
    mv -T ".new.$generation" "$generation"
    ln -sfn "generations/$generation" ../.current
    mv -T ../.current ../current
    printf '%s %s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$generation" "${release:--}" '@CAUSE@' >>../history
    # The two newest stay, and the one before this: to roll back to. So does the last that was confirmed.
    confirmed=$(cat ../guard/target 2>/dev/null || true)
    ls -1 | grep -E '^[0-9]+$' | sort -n | head -n -2 | while read -r old; do
        [ "generations/$old" = "$before" ] || [ "$old" = "$confirmed" ] || rm -rf "$old"
    done
fi
for unit in @STOP@; do systemctl disable --now "$unit" >/dev/null 2>&1 || true; done
for link in @STALE@; do rm -f "$link"; done
for file in @DROP_INS@; do [ ! -e "$file" ] || mv "$file" "$file.before-hardway"; done
while read -r link target; do
    [ -n "$link" ] || continue
    mkdir -p "$(dirname "$link")"
    # The package's file stays beside ours, for `hardway reset`.
    if [ -e "$link" ] && [ ! -L "$link" ]; then mv "$link" "$link.before-hardway"; fi
    ln -sfn "$target" "$link.hardway-new"
    mv -T "$link.hardway-new" "$link"
done <<'LINKS'
@LINKS@
LINKS
chmod 755 /etc/systemd/system/*.d 2>/dev/null || true
if [ -n "@KERNEL@" ]; then
    while read -r module; do modprobe "$module" 2>/dev/null || true; done </etc/modules-load.d/hardway.conf
    sysctl -q -p /etc/sysctl.d/90-hardway.conf >&2 || [ -n "@CONTAINER@" ]
fi
if [ -n "@SWAP@" ]; then
    swapoff -a
    sed -i.before-hardway '/^[^#].*[[:space:]]swap[[:space:]]/s/^/# hardway: /' /etc/fstab
fi
systemctl daemon-reload
# Releases that no kept generation uses, then blobs that no kept release uses.
for folder in /opt/hardway/releases/*; do
    used=
    for kept in /etc/hardway/generations/[0-9]*; do
        [ "$(readlink "$kept/release" 2>/dev/null)" = "$folder" ] && used=yes
    done
    [ -n "$used" ] || rm -rf "$folder"
done
find /opt/hardway/blobs -type f -links 1 -mmin +60 -delete
