//! S3-compatible storage: rusty-s3 signs, hyper sends. URLs carry signatures, so none is ever shown.

mod body;
mod listing;

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rusty_s3::{Bucket, Credentials, S3Action, UrlStyle};
use url::Url;

use crate::inventory::S3;
use body::Upload;

pub use listing::Object;

/// How long a signature is good.
const SIGNED_FOR: Duration = Duration::from_secs(900);
/// No answer, or no further piece of one, within this time is a failure.
const SILENCE: Duration = Duration::from_secs(120);
const LARGEST_ANSWER: usize = 4 << 20;

/// An https URL that names a server and nothing else.
pub fn endpoint(text: &str) -> Option<Url> {
    let url: Url = text.parse().ok()?;
    let plain = url.scheme() == "https"
        && url.host_str().is_some()
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.username().is_empty()
        && url.password().is_none();
    plain.then_some(url)
}

/// `s3://bucket/key`.
pub fn split_url(text: &str) -> Option<(&str, &str)> {
    let (bucket, key) = text.strip_prefix("s3://")?.split_once('/')?;
    (!bucket.is_empty() && !key.is_empty()).then_some((bucket, key))
}

/// One bucket.
pub struct Store {
    bucket: Bucket,
    credentials: Credentials,
    client: Client<HttpsConnector<HttpConnector>, Upload>,
    runtime: tokio::runtime::Runtime,
    /// For errors: endpoint and bucket.
    name: String,
}

impl Store {
    pub fn open(settings: &S3) -> anyhow::Result<Store> {
        Store::bucket(settings, &settings.bucket)
    }

    /// Another bucket of the same storage.
    pub fn bucket(settings: &S3, bucket: &str) -> anyhow::Result<Store> {
        let name = format!("{}/{bucket}", settings.endpoint.trim_end_matches('/'));
        let endpoint = endpoint(&settings.endpoint).with_context(|| format!("{name} is not an https URL"))?;
        let own = &settings.credentials;
        let credentials = match &own.session_token {
            Some(token) => Credentials::new_with_token(&own.access_key_id, &own.secret_access_key, token),
            None => Credentials::new(&own.access_key_id, &own.secret_access_key),
        };
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(tls(settings.authority.as_deref())?)
            .https_only()
            .enable_http1()
            .build();
        Ok(Store {
            // Every server that speaks S3 takes the bucket in the path.
            bucket: Bucket::new(
                endpoint,
                UrlStyle::Path,
                bucket.to_owned(),
                settings.region.clone(),
            )
            .map_err(|_| anyhow::anyhow!("{name} is not the URL of a bucket"))?,
            credentials,
            client: Client::builder(TokioExecutor::new()).build(connector),
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            name,
        })
    }

    /// Stores a file and checks that as many bytes are there.
    pub fn put(&self, key: &str, file: &Path) -> anyhow::Result<()> {
        let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
        let bytes = opened
            .metadata()
            .with_context(|| format!("cannot read {}", file.display()))?
            .len();
        let url = self
            .bucket
            .put_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        self.send(Method::PUT, key, url, Upload::of(opened, bytes), &mut Vec::new())?;
        let stored = self.size(key)?;
        anyhow::ensure!(
            stored == Some(bytes),
            "{}: {key} has {stored:?} bytes there, {bytes} were sent",
            self.name
        );
        Ok(())
    }

    /// Writes an object into `sink`.
    pub fn get(&self, key: &str, sink: &mut dyn Write) -> anyhow::Result<()> {
        let url = self
            .bucket
            .get_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        self.send(Method::GET, key, url, Upload::nothing(), sink)
            .map(drop)
    }

    /// None when it is not there.
    pub fn size(&self, key: &str) -> anyhow::Result<Option<u64>> {
        let objects = self.list(key)?;
        Ok(objects
            .iter()
            .find(|object| object.key == key)
            .map(|object| object.bytes))
    }

    /// All objects whose key begins with `prefix`, sorted.
    pub fn list(&self, prefix: &str) -> anyhow::Result<Vec<Object>> {
        let page = |token: Option<String>| {
            let mut action = self.bucket.list_objects_v2(Some(&self.credentials));
            action.with_prefix(prefix);
            if let Some(token) = token {
                action.with_continuation_token(token);
            }
            let mut answer = Limited(Vec::new());
            let url = action.sign(SIGNED_FOR);
            self.send(Method::GET, prefix, url, Upload::nothing(), &mut answer)?;
            Ok(answer.0)
        };
        listing::all(page).with_context(|| format!("{}: the listing cannot be read", self.name))
    }

    pub fn delete(&self, key: &str) -> anyhow::Result<()> {
        let url = self
            .bucket
            .delete_object(Some(&self.credentials), key)
            .sign(SIGNED_FOR);
        self.send(Method::DELETE, key, url, Upload::nothing(), &mut Vec::new())
            .map(drop)
    }

    fn send(
        &self,
        method: Method,
        what: &str,
        url: Url,
        body: Upload,
        sink: &mut dyn Write,
    ) -> anyhow::Result<()> {
        let failed = || format!("{method} {what} at {}", self.name);
        let request = Request::builder()
            .method(method.clone())
            .uri(url.as_str())
            .body(body)
            .with_context(failed)?;
        self.runtime.block_on(async {
            let response = tokio::time::timeout(SILENCE, self.client.request(request))
                .await
                .with_context(failed)?
                .with_context(failed)?;
            let status = response.status();
            let mut body = response.into_body();
            let mut refusal = Limited(Vec::new());
            let sink: &mut dyn Write = if status.is_success() { sink } else { &mut refusal };
            while let Some(frame) = tokio::time::timeout(SILENCE, body.frame())
                .await
                .with_context(failed)?
            {
                if let Some(data) = frame.with_context(failed)?.data_ref() {
                    sink.write_all(data).with_context(failed)?;
                }
            }
            if !status.is_success() {
                anyhow::bail!("{}: {}", failed(), refused(status, &refusal.0));
            }
            Ok(())
        })
    }
}

/// What the server says, with what to do where that is known.
fn refused(status: StatusCode, answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    let element = |name: &str| {
        let (_, rest) = text.split_once(&format!("<{name}>"))?;
        rest.split_once('<').map(|(value, _)| value.to_owned())
    };
    let code = element("Code").unwrap_or_default();
    let remedy = match code.as_str() {
        "NoSuchBucket" => "; create the bucket, or correct backup.s3.bucket",
        "InvalidAccessKeyId" | "SignatureDoesNotMatch" | "AccessDenied" => {
            "; check the file that backup.s3.credentials names"
        }
        "RequestTimeTooSkewed" => "; set this machine's clock",
        _ => "",
    };
    let message = element("Message").unwrap_or_default();
    format!("the storage answered {status} {code} {message}{remedy}")
}

/// Answers are short; a longer one is not worth the memory.
struct Limited(Vec<u8>);

impl Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > LARGEST_ANSWER {
            return Err(std::io::Error::other("the answer is too long"));
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn tls(authority: Option<&str>) -> anyhow::Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match authority {
        Some(text) => {
            for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
                roots
                    .add(certificate.context("backup.s3.authority is not PEM")?)
                    .context("backup.s3.authority is not a certificate")?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    anyhow::ensure!(
        !roots.is_empty(),
        "this machine knows no authority to check the storage's certificate with; install ca-certificates, or name a \
         PEM file in backup.s3.authority"
    );
    Ok(
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .context("cannot set up TLS")?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        for (text, expected) in [
            ("s3://b/a/x.db", Some(("b", "a/x.db"))),
            ("s3://b/", None),
            ("s3:///x", None),
            ("/b/x", None),
        ] {
            assert_eq!(split_url(text), expected, "{text}");
        }
        for (text, good) in [
            ("https://s3.test:9000", true),
            ("https://s3.test/", true),
            ("http://s3.test", false),
            ("https://user:word@s3.test", false),
            ("https://s3.test/bucket", false),
            ("s3.test", false),
        ] {
            assert_eq!(endpoint(text).is_some(), good, "{text}");
        }
    }

    #[test]
    fn refusals_are_told_in_words() {
        let answer = b"<?xml?><Error><Code>NoSuchBucket</Code><Message>gone</Message></Error>";
        let told = refused(StatusCode::NOT_FOUND, answer);
        assert!(
            told.contains("404") && told.contains("gone") && told.contains("backup.s3.bucket"),
            "{told}"
        );
        assert!(refused(StatusCode::BAD_GATEWAY, b"<html>").contains("502"));
    }

    proptest::proptest! {
        #[test]
        fn no_refusal_makes_it_panic(answer in "(?s)(<(/)?(Code|Message|Error)>|<|é|\u{0}|.){0,20}") {
            refused(StatusCode::FORBIDDEN, answer.as_bytes());
        }
    }
}
