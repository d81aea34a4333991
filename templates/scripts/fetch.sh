# Takes programs and images from another host of the run. Standard input: the key that opens it, made for this run.
set -eu
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
umask 077
keys=$(mktemp -d /run/hardway-fetch.XXXXXX)
trap 'rm -rf "$keys"' EXIT
cat >"$keys/key"
echo 'relay @RELAY_KEY@' >"$keys/known"
ssh -F none -p @PORT@ -i "$keys/key" -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o HostKeyAlias=relay \
    -o UserKnownHostsFile="$keys/known" -o GlobalKnownHostsFile=none -o StrictHostKeyChecking=yes \
    -o HostKeyAlgorithms=ecdsa-sha2-nistp256 -o Ciphers=aes128-gcm@openssh.com -o Compression=no -o LogLevel=ERROR \
    -o ConnectTimeout=5 -o ServerAliveInterval=5 -o ServerAliveCountMax=3 root@@ADDRESS@ '@HASHES@' </dev/null | (
@RECEIVE@
)
