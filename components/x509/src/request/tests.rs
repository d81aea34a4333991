//! Requests that openssl made (`tests/make.sh`).

use super::*;
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;

macro_rules! requests {
    ($($name:literal)*) => {
        fn pem(name: &str) -> &'static [u8] {
            match name {
                $($name => include_bytes!(concat!("tests/", $name, ".pem")),)*
                other => panic!("no request {other}"),
            }
        }
    };
}
requests! {
    "rsa-md5" "rsa-sha1" "rsa-sha224" "rsa-sha256" "rsa-sha384" "rsa-sha512" "rsa-pss" "p224-sha1" "p224-sha256"
    "p256-sha1" "p256-sha256" "p384-sha1" "p384-sha256" "p521-sha1" "p521-sha256" "ed25519"
}

fn der(name: &str) -> Vec<u8> {
    CertificateSigningRequestDer::from_pem_slice(pem(name))
        .unwrap()
        .to_vec()
}

fn told(der: &[u8]) -> Option<String> {
    let request = SigningRequest::read(der).unwrap();
    assert_eq!(
        (request.common_name.as_str(), request.organizations.as_slice()),
        ("joe", &["staff".to_owned()][..])
    );
    request.check_signature().err().map(|error| error.to_string())
}

#[test]
fn who_asks_has_the_key() {
    const UNKNOWN: &str = "x509: cannot verify signature: algorithm unimplemented";
    const MD5: &str = "x509: cannot verify signature: insecure algorithm MD5-RSA";
    let (rsa, ecdsa) = (
        "crypto/rsa: verification error",
        "x509: ECDSA verification failure",
    );
    for (name, intact, forged) in [
        ("rsa-md5", Some(MD5), MD5),
        ("rsa-sha1", None, rsa),
        ("rsa-sha224", Some(UNKNOWN), UNKNOWN),
        ("rsa-sha256", None, rsa),
        ("rsa-sha384", None, rsa),
        ("rsa-sha512", None, rsa),
        ("rsa-pss", None, rsa),
        // Go checks these.
        ("p224-sha1", Some(UNKNOWN), UNKNOWN),
        ("p224-sha256", Some(UNKNOWN), UNKNOWN),
        ("p256-sha1", None, ecdsa),
        ("p256-sha256", None, ecdsa),
        ("p384-sha1", None, ecdsa),
        ("p384-sha256", None, ecdsa),
        ("p521-sha1", None, ecdsa),
        ("p521-sha256", None, ecdsa),
        ("ed25519", None, "x509: Ed25519 verification failure"),
    ] {
        let mut der = der(name);
        assert_eq!(told(&der).as_deref(), intact, "{name}");
        *der.last_mut().unwrap() ^= 1;
        assert_eq!(told(&der).as_deref(), Some(forged), "{name}, forged");
    }
}

#[test]
fn the_algorithm_is_that_of_the_key() {
    let request = SigningRequest::from_pem(pem("rsa-sha256")).unwrap();
    for (other, want) in [
        (
            "p256-sha256",
            "x509: signature algorithm specifies an RSA public key, but have public key of type *ecdsa.PublicKey",
        ),
        (
            "ed25519",
            "x509: signature algorithm specifies an RSA public key, but have public key of type ed25519.PublicKey",
        ),
        ("rsa-sha512", "crypto/rsa: verification error"),
    ] {
        let key = SigningRequest::from_pem(pem(other)).unwrap().key;
        let mixed = SigningRequest {
            key: key.clone(),
            // That of another message, where the key is the same.
            signed: b"other".to_vec(),
            ..request.clone()
        };
        assert_eq!(mixed.check_signature().unwrap_err().to_string(), want, "{other}");
    }
}

/// Some programs leave out the null, or have one where there shall be none.
#[test]
fn parameters_that_say_nothing_are_not_looked_at() {
    for (name, algorithm) in [
        (
            "rsa-sha256",
            &[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b][..],
        ),
        ("rsa-sha1", &[0x06, 0x05, 0x2b, 0x0e, 0x03, 0x02, 0x1d]),
        (
            "p256-sha256",
            &[
                0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02, 0x05, 0x00,
            ],
        ),
    ] {
        let request = SigningRequest {
            algorithm: algorithm.to_vec(),
            ..SigningRequest::from_pem(pem(name)).unwrap()
        };
        assert_eq!(request.check_signature(), Ok(()), "{name}");
    }
}

#[test]
fn the_first_block_is_the_request() {
    let request = std::str::from_utf8(pem("ed25519")).unwrap();
    let other = request.replace("CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST");
    let unclosed = request.replace("END CERTIFICATE REQUEST", "END CERTIFICATE");
    // Its last digits are padded.
    let long = request.replace("Dg==", "DgAA");
    for (text, want) in [
        (request.to_owned(), None),
        (format!("{unclosed}{request}"), None),
        (format!("{other}{request}"), Some(RequestError::NoBlock)),
        (unclosed, Some(RequestError::NoBlock)),
        (String::new(), Some(RequestError::NoBlock)),
        (long, Some(RequestError::TrailingData)),
        (
            "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----".to_owned(),
            Some(RequestError::Malformed),
        ),
    ] {
        assert_eq!(SigningRequest::from_pem(text.as_bytes()).err(), want, "{text}");
    }
}
