//! Signatures of keys that the parser of requests doesn't check itself. The requests are openssl's, with `-subj /CN=a`.
use super::*;

/// Of `ec -pkeyopt ec_paramgen_curve:P-521`.
const P521: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIIBTzCBsQIBADAMMQowCAYDVQQDDAFhMIGbMBAGByqGSM49AgEGBSuBBAAjA4GG\n\
    AAQBySldTXbkijsdj+AzyxC9bBnI4rVm0Eiw8DV2g4YLJJMrKD/OkTbqc+KzRa0n\n\
    9Bl+oGZt6EfGYcrXfHXf9psxRckAFKEjXpx8hHPSL4xi7QAtkRDou36m1xoqkX1b\n\
    j4X4t3AXAzvIAJDogkC7CoWuCrbC4sI9NJZNR0iv+pySXRg9uT2gADAKBggqhkjO\n\
    PQQDAgOBjAAwgYgCQgC2E2uaIhfSaRqtOY+QQTMze9JeG+R6TdZOlKEWl/11PqoU\n\
    paNJunQdbuq57n2u+Rc6Xot8sQc2fz59vsoj4+mmygJCAPcyaRc44pLiwckao50m\n\
    0UwUiIlxFTBmVXrffmAotepcyKYxD1/R7GiuM9qxTzF4Kcdeo5HSrev8R+xHzguY\n\
    4ne8\n\
    -----END CERTIFICATE REQUEST-----\n";

/// Of the same with `-sha512`.
const P521_LONG: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIIBTzCBsQIBADAMMQowCAYDVQQDDAFhMIGbMBAGByqGSM49AgEGBSuBBAAjA4GG\n\
    AAQBySldTXbkijsdj+AzyxC9bBnI4rVm0Eiw8DV2g4YLJJMrKD/OkTbqc+KzRa0n\n\
    9Bl+oGZt6EfGYcrXfHXf9psxRckAFKEjXpx8hHPSL4xi7QAtkRDou36m1xoqkX1b\n\
    j4X4t3AXAzvIAJDogkC7CoWuCrbC4sI9NJZNR0iv+pySXRg9uT2gADAKBggqhkjO\n\
    PQQDBAOBjAAwgYgCQgEHGpFgGHIvw8f1KQDMz3CCMs/cy6vp/R6J0c0I378ikzFb\n\
    R3nJghcGzHoFF7j9cBvhhLiy0uoP1BMNZ7/HR9iiPgJCAO7gHuza4kvWA0+jKPp5\n\
    LCMKLMGgL27lGrZlWOTH4Eriy1A/3j3PhTQiOO8SlSsN9tqY/lqaUjpTNhBePT6f\n\
    /LfX\n\
    -----END CERTIFICATE REQUEST-----\n";

/// Of `rsa:1024`.
const RSA_1024: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIIBSzCBtQIBADAMMQowCAYDVQQDDAFhMIGfMA0GCSqGSIb3DQEBAQUAA4GNADCB\n\
    iQKBgQCei7qDEk4a7bmS9JOQ9d9qRr5T819saxTOQgbLFBb5ar+9rimNm0bNeoof\n\
    18Gi7LVD05v9Q3WrH4ZIHvrSOYkTvgBgQde187pKYURSR3UGhnNrTZ5ksrOHRNfc\n\
    8Y8MfJrrvZVcLTKtVMeZuseWTBKYCFfoPOz/LW62FezzmhMx2QIDAQABoAAwDQYJ\n\
    KoZIhvcNAQELBQADgYEABTPIygwhcytIG3LuprL9/yCwsH4Ko2D4m9PRMczcnFF2\n\
    Ruy7RJ/P+X/m8VVUCZZ0CrhbTpHyKpheddNLucBcnu4JrUuJbziwmnNiHKoDYsgJ\n\
    EoPQxg0mY21nsLtEg1uqQ1OWynOmTTiNvm7EIg2gvrDqlL/9ct18LCiZRIFdgB4=\n\
    -----END CERTIFICATE REQUEST-----\n";

/// Of `rsa:512`.
const RSA_512: &str = "-----BEGIN CERTIFICATE REQUEST-----\n\
    MIHFMHECAQAwDDEKMAgGA1UEAwwBYTBcMA0GCSqGSIb3DQEBAQUAA0sAMEgCQQCk\n\
    UuMuNTefvR2dbhQNzcFVwfeolnYN2pOvWhXzaUmnMRyAaXFBuO0SCYcMhXUUH8kG\n\
    /wpSr8sKlXl17eyuEt8DAgMBAAGgADANBgkqhkiG9w0BAQsFAANBAELIO14bWt8m\n\
    fzWK9TmCKPi5/OsrxJ6hKRIO+nBTdV3wM2b9yf2oJxTDZRoVVM2ZiRgmyTarVTVx\n\
    fkR0TO8iG30=\n\
    -----END CERTIFICATE REQUEST-----\n";

/// The request in PEM, with a byte of its DER changed, counted from the end.
fn encoded(pem: &str, changed: Option<usize>) -> Value {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(body).unwrap();
    if let Some(place) = changed {
        let place = der.len() - 1 - place;
        der[place] ^= 1;
    }
    let body = STANDARD.encode(der);
    let pem = format!("-----BEGIN CERTIFICATE REQUEST-----\n{body}\n-----END CERTIFICATE REQUEST-----\n");
    json!(STANDARD.encode(pem))
}

#[test]
fn signatures_are_checked_whatever_the_key() {
    const WEAK: &str =
        "crypto/rsa: 512-bit keys are insecure (see https://go.dev/pkg/crypto/rsa#hdr-Minimum_key_size)";
    let (curve, rsa) = (
        "x509: ECDSA verification failure",
        "crypto/rsa: verification error",
    );
    for (name, pem, changed, why) in [
        ("P-521", P521, None, None),
        ("P-521, other signature", P521, Some(0), Some(curve)),
        ("P-521 by SHA-512", P521_LONG, None, None),
        (
            "P-521 by SHA-512, other signature",
            P521_LONG,
            Some(80),
            Some(curve),
        ),
        ("RSA", RSA_1024, None, None),
        ("RSA, other signature", RSA_1024, Some(0), Some(rsa)),
        ("short RSA", RSA_512, None, Some(WEAK)),
    ] {
        let wrong = found("", None, &request("request", encoded(pem, changed)));
        let told = wrong.first().map(String::as_str);
        match why {
            None => assert_eq!(told, None, "{name}"),
            Some(why) => assert!(told.is_some_and(|told| told.ends_with(why)), "{name}: {told:?}"),
        }
    }
}
