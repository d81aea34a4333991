//! Keys of tokens in each form in which openssl writes them.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use p256::elliptic_curve::rand_core::OsRng;
use p256::pkcs8::EncodePrivateKey as _;
use pki::tokens::{SigningKey, sign, verifying_keys};
use serde_json::{Value, json};

fn pem(label: &str, der: &[u8]) -> Vec<u8> {
    let text = STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{text}\n-----END {label}-----\n").into_bytes()
}

#[test]
fn elliptic_curves_of_go() {
    let (p256, p384, p521) = (
        p256::SecretKey::random(&mut OsRng),
        p384::SecretKey::random(&mut OsRng),
        p521::SecretKey::random(&mut OsRng),
    );
    for (algorithm, curve, sec1, pkcs8) in [
        (
            "ES256",
            "P-256",
            p256.to_sec1_der().unwrap(),
            p256.to_pkcs8_der().unwrap(),
        ),
        (
            "ES384",
            "P-384",
            p384.to_sec1_der().unwrap(),
            p384.to_pkcs8_der().unwrap(),
        ),
        (
            "ES512",
            "P-521",
            p521.to_sec1_der().unwrap(),
            p521.to_pkcs8_der().unwrap(),
        ),
    ] {
        for pem in [pem("EC PRIVATE KEY", &sec1), pem("PRIVATE KEY", pkcs8.as_bytes())] {
            let key = SigningKey::from_pem(&pem).unwrap();
            let public = verifying_keys(&pem).unwrap().remove(0);
            assert_eq!(key.public, public);
            let jwk = public.to_jwk().unwrap();
            assert_eq!((&jwk["crv"], &jwk["alg"]), (&json!(curve), &json!(algorithm)));
            let token = sign(&key, &json!({"sub": "x"})).unwrap();
            let (message, signature) = token.rsplit_once('.').unwrap();
            let (header, _) = message.split_once('.').unwrap();
            let header: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(header).unwrap()).unwrap();
            assert_eq!(header["alg"], algorithm);
            let mut signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
            assert!(public.verify(message.as_bytes(), &signature), "{algorithm}");
            assert!(!public.verify(b"another", &signature), "{algorithm}");
            signature[0] ^= 1;
            assert!(!public.verify(message.as_bytes(), &signature), "{algorithm}");
        }
    }
}
