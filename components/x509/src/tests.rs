//! Certificates that openssl made (`tests/make.sh`), each valid for a hundred years from 2026.

use super::*;
use proptest::prelude::*;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::sync::Arc;

/// 2030.
const NOW: i64 = 1_900_000_000;

macro_rules! certificates {
    ($($name:literal)*) => {
        fn certificate(name: &str) -> CertificateDer<'static> {
            let pem: &[u8] = match name {
                $($name => include_bytes!(concat!("tests/", $name, ".pem")),)*
                other => panic!("no certificate {other}"),
            };
            CertificateDer::from_pem_slice(pem).unwrap()
        }
    };
}
certificates! {
    "authority" "version1" "any-usage" "server-only" "unknown-critical" "sha1" "own" "p521" "p521-sha256" "p521-sha384"
    "p521-sha512" "p384" "p384-sha512" "p256-sha512" "short" "short-leaf" "pss" "pss-leaf" "signs" "signed" "between" "below"
    "outside" "excluded" "elsewhere" "deeper" "deepest"
}

/// `chain` with the roots behind `<`, leaf first.
fn verify(chain: &str, usage: Usage, host: Option<&str>) -> Result<i64, String> {
    let (chain, roots) = chain.split_once(" < ").unwrap();
    let all = |names: &str| -> Vec<_> { names.split(' ').map(certificate).collect() };
    Verifier::new(Arc::new(Roots::new(all(roots))), usage)
        .verify(&all(chain), host, NOW)
        .map(|verified| verified.until)
        .map_err(|error| error.to_string())
}

#[test]
fn clients_as_go_takes_them() {
    let because = |why: &str, authority: &str| {
        Err(format!(
            "x509: certificate signed by unknown authority (possibly because of {why:?} while trying to verify \
             candidate authority certificate {authority:?})"
        ))
    };
    let error = |text: &str| Err(text.to_owned());
    let unknown = error("x509: certificate signed by unknown authority");
    let incompatible = error("x509: certificate specifies an incompatible key usage");
    for (chain, want) in [
        ("version1 < authority", Ok(())),
        ("any-usage < authority", Ok(())),
        ("own < own", Ok(())),
        ("own < authority own", Ok(())),
        ("p521-sha256 < p521", Ok(())),
        ("p521-sha384 < p521", Ok(())),
        ("p521-sha512 < p521", Ok(())),
        ("p384-sha512 < p384", Ok(())),
        ("p256-sha512 < authority", Ok(())),
        ("short-leaf < short", Ok(())),
        ("pss-leaf < pss", Ok(())),
        ("below between < authority", Ok(())),
        ("below between authority < authority", Ok(())),
        // Believed itself, so that nothing above it matters.
        ("below < below", Ok(())),
        ("server-only < authority", incompatible.clone()),
        ("server-only < server-only", incompatible),
        ("version1 < p521", unknown.clone()),
        ("own < authority", unknown.clone()),
        ("below < authority", unknown),
        (
            "unknown-critical < authority",
            error("x509: unhandled critical extension"),
        ),
        (
            "sha1 < authority",
            because(
                "x509: cannot verify signature: insecure algorithm ECDSA-SHA1",
                "authority",
            ),
        ),
        (
            "signed signs < authority",
            because(
                "x509: invalid signature: parent certificate cannot sign this kind of certificate",
                "signs",
            ),
        ),
        (
            "deepest deeper between < authority",
            because(
                "x509: too many intermediates for path length constraint",
                "between",
            ),
        ),
    ] {
        assert_eq!(verify(chain, Usage::Client, None).map(drop), want, "{chain}");
    }
}

#[test]
fn names_that_an_authority_may_not_sign_for() {
    for (chain, why) in [
        (
            "outside between < authority",
            r#"DNS name \"a.example\" is not permitted by any constraint"#,
        ),
        (
            "excluded between < authority",
            r#"DNS name \"x.secret.svc\" is excluded by constraint \"secret.svc\""#,
        ),
        (
            "elsewhere between < authority",
            r#"IP address \"192.0.2.1\" is not permitted by any constraint"#,
        ),
    ] {
        let error = verify(chain, Usage::Server, None)
            .unwrap_err()
            .replace("\\\\\\\"", "\\\"");
        assert!(
            error.contains("is not authorized to sign for this name") && error.contains(why),
            "{error}"
        );
    }
}

#[test]
fn hosts_in_gos_words() {
    for (chain, host, want) in [
        ("own < own", "own.ns.svc", ""),
        ("own < own", "OWN.ns.svc", ""),
        ("own < own", "a.wild.example", ""),
        ("own < own", "192.0.2.7", ""),
        ("own < own", "[::ffff:192.0.2.7]", ""),
        (
            "own < own",
            "a.b.wild.example",
            "x509: certificate is valid for own.ns.svc, *.wild.example, not a.b.wild.example",
        ),
        (
            "own < own",
            "192.0.2.8",
            "x509: certificate is valid for 192.0.2.7, not 192.0.2.8",
        ),
        (
            "version1 < authority",
            "version1",
            "x509: certificate relies on legacy Common Name field, use SANs instead",
        ),
        (
            "version1 < authority",
            "other",
            "x509: certificate is not valid for any names, but wanted to match other",
        ),
        (
            "version1 < authority",
            "192.0.2.7",
            "x509: cannot validate certificate for 192.0.2.7 because it doesn't contain any IP SANs",
        ),
    ] {
        let found = verify(chain, Usage::Server, Some(host)).err().unwrap_or_default();
        assert_eq!(found, want, "{host}");
    }
}

#[test]
fn dates_of_each_certificate_count_the_authoritys_too() {
    let verifier = Verifier::new(Arc::new(Roots::new([certificate("authority")])), Usage::Client);
    let chain = [certificate("version1")];
    let (leaf, root) = (
        Certificate::read(&chain[0]).unwrap(),
        Certificate::read(&certificate("authority")).unwrap(),
    );
    let until = leaf.until().min(root.until());
    assert_eq!(verifier.verify(&chain, None, NOW).unwrap(), Verified { until });
    let late = verifier
        .verify(&chain, None, leaf.until() + 2)
        .unwrap_err()
        .to_string();
    assert!(
        late.starts_with("x509: certificate has expired or is not yet valid: current time "),
        "{late}"
    );
    assert!(late.contains(" is after 21"), "{late}");
    let early = verifier.verify(&chain, None, 0).unwrap_err().to_string();
    assert!(
        early.contains("current time 1970-01-01T00:00:00Z is before 20"),
        "{early}"
    );
}

#[test]
fn patterns_of_hosts() {
    for (pattern, host, want) in [
        ("a.b", "a.b", true),
        ("a.b", "a.b.", true),
        ("A.b", "a.B", true),
        ("*.b", "a.b", true),
        ("*.b", "b", false),
        ("*.b", "c.a.b", false),
        ("a.*", "a.b", false),
        ("*", "a", false),
        ("a*.b", "ab.b", false),
        ("a..b", "a..b", true),
        ("", "", false),
        ("-a.b", "-a.b", true),
    ] {
        assert_eq!(names::matches(pattern, host), want, "{pattern} {host}");
    }
}

#[test]
fn keys_of_p521_sign_handshakes() {
    use p521::pkcs8::EncodePrivateKey as _;
    use rustls::SignatureScheme;
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
    let secret = p521::SecretKey::random(&mut p521::elliptic_curve::rand_core::OsRng);
    let sec1 = PrivateKeyDer::Sec1(secret.to_sec1_der().unwrap().to_vec().into());
    let pkcs8: PrivatePkcs8KeyDer<'_> = secret.to_pkcs8_der().unwrap().as_bytes().to_vec().into();
    for der in [sec1, pkcs8.into()] {
        let key = provider().key_provider.load_private_key(der).unwrap();
        assert!(
            key.choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
                .is_none()
        );
        let signer = key
            .choose_scheme(&[SignatureScheme::ECDSA_NISTP521_SHA512])
            .unwrap();
        let signature = signer.sign(b"message").unwrap();
        let info = key.public_key().unwrap();
        let parsed = algorithms::Key::read(info.as_ref()).unwrap();
        let algorithms = provider().signature_verification_algorithms;
        let (_, fitting) = algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == signer.scheme())
            .unwrap();
        assert!(
            fitting[0]
                .verify_signature(parsed.bits, b"message", &signature)
                .is_ok()
        );
        assert!(
            fitting[0]
                .verify_signature(parsed.bits, b"another", &signature)
                .is_err()
        );
    }
}

/// The encoding of a sequence says that it has parts.
#[test]
fn a_sequence_without_parts_is_no_certificate() {
    let mut bytes = certificate("version1").to_vec();
    bytes[0] = 0x10;
    assert!(Certificate::read(&bytes.into()).is_err());
}

proptest! {
    #[test]
    fn changed_certificates_are_refused_and_never_panic(at in 0usize..400, to: u8) {
        let whole = certificate("version1");
        let mut bytes = whole.to_vec();
        let at = at % bytes.len();
        prop_assume!(bytes[at] != to);
        bytes[at] = to;
        let verifier = Verifier::new(Arc::new(Roots::new([certificate("authority")])), Usage::Client);
        prop_assert!(verifier.verify(&[bytes.into()], None, NOW).is_err());
    }
}
