# Takes compressed programs and images from standard input, one after the other, compares their hashes and puts them in
# their place. A cut leaves a hidden folder, which the next push removes; one whose connection was lost may wait for its
# input for ever, so it holds nothing that another needs.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
mkdir -p /opt/hardway/blobs
cd /opt/hardway/blobs
for left in .new*; do [ -d "/proc/${left#.new.}" ] || rm -rf "$left"; done
new=.new.$$
mkdir "$new"
trap 'rm -rf "/opt/hardway/blobs/$new"' EXIT
files='@FILES@'
keep='@KEEP@'
# A relay keeps what travels, to pass it on.
[ -z "$keep" ] || { rm -rf "$keep"; mkdir "$keep"; }
set -f
set -- $files
while [ $# -gt 0 ]; do
    if [ -n "$keep" ]; then
        head -c "$2" | tee "$keep/$1" | @UNPACK@ >"$new/$1"
    else
        head -c "$2" | @UNPACK@ >"$new/$1"
    fi
    echo "$1  $new/$1" >>"$new/SUMS"
    shift 2
done
sha256sum -c --quiet "$new/SUMS" >&2
rm "$new/SUMS"
set +f
chmod 755 "$new"/*
mv "$new"/* .
