//! Validation of CertificateSigningRequests and of the names of signers.
mod certificate;
mod request;
mod signer;
mod status;

pub(super) use signer::signer_name;

use super::shared::one_of;
use crate::value::{at, int, list, text};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;
use std::collections::HashSet;

const USAGES: &[&str] = &[
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
];

/// A signer of v1beta1, which tells nothing of who signs.
const LEGACY_SIGNER: &str = "kubernetes.io/legacy-unknown";

/// A new request, or one changed through an endpoint, `""` for the main one. What an older request has that is refused now may stay.
pub(super) fn check(subresource: &str, old: Option<&Value>, new: &Value) -> ErrorList {
    let mut errors = spec(old.map(|old| at(old, &["spec"])), at(new, &["spec"]));
    let conditions = list(new, &["status", "conditions"]);
    let before = old.map(|old| list(old, &["status", "conditions"]));
    errors.extend(status::conditions(before, conditions));
    let path = Path::new("status.certificate");
    let certificate = text(new, &["status", "certificate"]);
    let issued = old.map(|old| text(old, &["status", "certificate"]));
    if issued.is_none_or(|issued| issued != certificate && certificate::unfit(issued).is_none()) {
        errors.extend(
            certificate::unfit(certificate).map(|why| Error::invalid(&path, "<certificate data>", why)),
        );
    }
    if let Some(before) = before {
        errors.extend(status::changes(before, conditions, subresource == "approval"));
    }
    if let Some(issued) = issued.filter(|issued| *issued != certificate) {
        if subresource != "status" {
            errors.push(Error::forbidden(&path, "updates may not set certificate content"));
        } else if !issued.is_empty() {
            errors.push(Error::forbidden(
                &path,
                "updates may not modify existing certificate content",
            ));
        }
    }
    errors
}

fn spec(old: Option<&Value>, new: &Value) -> ErrorList {
    let path = Path::new("spec");
    let mut errors = ErrorList::new();
    if let Err(reason) = request::check(text(new, &["request"])) {
        errors.push(Error::invalid(
            &path.child("request"),
            at(new, &["request"]),
            reason,
        ));
    }
    let (usages, before) = (
        list(new, &["usages"]),
        old.map_or(&[][..], |old| list(old, &["usages"])),
    );
    let path_of_usages = path.child("usages");
    if usages.is_empty() {
        errors.push(Error::required(&path_of_usages, ""));
    }
    let unknown = |usage: &Value| usage.as_str().is_none_or(|usage| !USAGES.contains(&usage));
    if !before.iter().any(unknown) {
        errors.extend(
            usages
                .iter()
                .enumerate()
                .filter_map(|(index, usage)| one_of(&path_of_usages.index(index), usage, USAGES)),
        );
    }
    if repeated(before).next().is_none() {
        errors.extend(
            repeated(usages).map(|(index, usage)| Error::duplicate(&path_of_usages.index(index), usage)),
        );
    }
    let signer = text(new, &["signerName"]);
    let path_of_signer = path.child("signerName");
    if signer == LEGACY_SIGNER && old.is_none_or(|old| text(old, &["signerName"]) != LEGACY_SIGNER) {
        errors.push(Error::invalid(
            &path_of_signer,
            signer,
            "the legacy signerName is not allowed via this API version",
        ));
    } else {
        errors.extend(signer_name(signer, &path_of_signer));
    }
    if let Some(seconds) = int(new, &["expirationSeconds"]).filter(|seconds| *seconds < 600) {
        errors.push(Error::invalid(
            &path.child("expirationSeconds"),
            seconds,
            "may not specify a duration less than 600 seconds (10 minutes)",
        ));
    }
    errors
}

/// Values that are there already before their place.
fn repeated(values: &[Value]) -> impl Iterator<Item = (usize, &Value)> {
    let mut seen = HashSet::new();
    values
        .iter()
        .enumerate()
        .filter(move |(_, value)| !seen.insert(value.as_str()))
}

#[cfg(test)]
mod tests;
