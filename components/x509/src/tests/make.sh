#!/bin/bash
# Makes the certificates beside it, with openssl; none of their keys is kept.
set -euo pipefail
out=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
days=36500
key() { # NAME ALGORITHM [OPTION]...
  openssl genpkey -quiet -algorithm "$2" "${@:3}" -out "$1.key"
}
ec() { key "$1" EC -pkeyopt "ec_paramgen_curve:$2" -pkeyopt ec_param_enc:named_curve; }
root() { # NAME [OPTION]...
  openssl req -x509 -new -key "$1.key" -subj "/CN=$1" -days $days "${@:2}" -out "$out/$1.pem"
}
leaf() { # NAME AUTHORITY [OPTION]...
  openssl req -new -key "$1.key" -subj "/O=staff/CN=$1" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA "$out/$2.pem" -CAkey "$2.key" -days $days "${@:3}" -out "$out/$1.pem" 2>/dev/null
}
ec authority P-256; root authority -addext keyUsage=critical,keyCertSign
# Of version 1: no extension file, as most guides have it. openssl 3.2 makes version 3 unless it is told.
ec version1 P-256; leaf version1 authority
ec any-usage P-256; leaf any-usage authority -extfile <(echo extendedKeyUsage=anyExtendedKeyUsage)
ec server-only P-256; leaf server-only authority -extfile <(echo extendedKeyUsage=serverAuth)
ec unknown-critical P-256; leaf unknown-critical authority -extfile <(echo 1.2.3.4=critical,ASN1:NULL)
ec sha1 P-256; leaf sha1 authority -sha1 -extfile <(echo extendedKeyUsage=clientAuth)
# Signs itself, is of an authority, has names: `openssl req -x509 -addext subjectAltName=…`.
ec own P-256; root own -addext 'subjectAltName=DNS:own.ns.svc,DNS:*.wild.example,IP:192.0.2.7'
# An authority of version 1, and P-521 with each digest.
ec p521 P-521; root p521
for digest in sha256 sha384 sha512; do ec "p521-$digest" P-521; leaf "p521-$digest" p521 "-$digest" -extfile <(echo extendedKeyUsage=clientAuth); done
ec p384 P-384; root p384
ec p384-sha512 P-256; leaf p384-sha512 p384 -sha512
ec p256-sha512 P-256; leaf p256-sha512 authority -sha512
key short RSA -pkeyopt rsa_keygen_bits:1024; root short
key short-leaf RSA -pkeyopt rsa_keygen_bits:1024; leaf short-leaf short -extfile <(echo extendedKeyUsage=clientAuth)
key pss RSA -pkeyopt rsa_keygen_bits:2048; root pss -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
key pss-leaf RSA -pkeyopt rsa_keygen_bits:2048; leaf pss-leaf pss -sigopt rsa_padding_mode:pss -sigopt rsa_pss_saltlen:digest
# Not an authority, but signs.
ec signs P-256; leaf signs authority -extfile <(echo basicConstraints=CA:FALSE)
ec signed P-256; leaf signed signs
# Chains: one intermediate with constraints, and one too many.
ec between P-256; leaf between authority -extfile <(printf 'basicConstraints=critical,CA:TRUE,pathlen:0\nnameConstraints=critical,permitted;DNS:.svc,excluded;DNS:secret.svc,permitted;IP:10.0.0.0/255.0.0.0\n')
ec below P-256; leaf below between -extfile <(printf 'subjectAltName=DNS:a.ns.svc,IP:10.1.2.3\n')
ec outside P-256; leaf outside between -extfile <(printf 'subjectAltName=DNS:a.example\n')
ec excluded P-256; leaf excluded between -extfile <(printf 'subjectAltName=DNS:x.secret.svc\n')
ec elsewhere P-256; leaf elsewhere between -extfile <(printf 'subjectAltName=IP:192.0.2.1\n')
ec deeper P-256; leaf deeper between -extfile <(echo basicConstraints=critical,CA:TRUE)
ec deepest P-256; leaf deepest deeper
