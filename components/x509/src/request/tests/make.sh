#!/bin/bash
# Makes the requests beside it, with openssl; none of their keys is kept.
set -euo pipefail
out=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
key() { # NAME ALGORITHM [OPTION]...
  openssl genpkey -quiet -algorithm "$2" "${@:3}" -out "$1.key" 2>/dev/null || openssl genpkey -algorithm "$2" "${@:3}" -out "$1.key" 2>/dev/null
}
request() { # NAME KEY DIGEST [OPTION]...
  openssl req -new -key "$2.key" "-$3" -subj /O=staff/CN=joe "${@:4}" -out "$out/$1.pem"
}
key rsa RSA -pkeyopt rsa_keygen_bits:2048
for digest in md5 sha1 sha224 sha256 sha384 sha512; do request "rsa-$digest" rsa $digest; done
request rsa-pss rsa sha256 -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
for curve in 224 256 384 521; do
  key "p$curve" EC -pkeyopt "ec_paramgen_curve:P-$curve" -pkeyopt ec_param_enc:named_curve
  for digest in sha1 sha256; do request "p$curve-$digest" "p$curve" $digest; done
done
key ed25519 ED25519; request ed25519 ed25519 sha256
