//! One issuer of an AuthenticationConfiguration.

use crate::authentication::oidc::compile::{self, Source};
use crate::authentication::oidc::distributed::Distributed;
use crate::authentication::oidc::fetch::Fetcher;
use crate::authentication::oidc::keys::KeySet;
use crate::authentication::oidc::{Issuer, Verifier};
use crate::connect::egress::{Egress, Way};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::go_url::Url;
use component_config::kube_apiserver::ApiServerFlags;
use component_config::kube_apiserver::authentication::{Issuer as Config, JwtAuthenticator};
use std::collections::BTreeSet;
use std::sync::Arc;

/// What else an issuer has to fit.
pub struct Surroundings<'s> {
    pub flags: &'s ApiServerFlags,
    pub egress: &'s Egress,
}

/// Checks and compiles; nobody is asked yet.
pub fn load(
    config: &JwtAuthenticator,
    path: &Path,
    algorithms: Vec<String>,
    surroundings: &Surroundings<'_>,
) -> Result<Issuer, ErrorList> {
    let issuer = &config.issuer;
    let below = path.child("issuer");
    let mut errors = check(issuer, &below, &surroundings.flags.service_account_issuer);
    let way = match issuer.egress_selector_type.as_str() {
        "" => Way::Direct,
        "controlplane" => surroundings.egress.control_plane.clone(),
        "cluster" => surroundings.egress.cluster.clone(),
        other => {
            let detail = "egress selector must be either controlplane or cluster";
            errors.push(Error::invalid(&below.child("egressSelectorType"), other, detail));
            Way::Direct
        }
    };
    let fetcher = Fetcher::new(issuer.certificate_authority.as_bytes(), way)
        .map_err(|error| {
            let path = below.child("certificateAuthority");
            errors.push(Error::invalid(&path, "<omitted>", error.to_string()));
        })
        .ok();
    let mapping = compile::mapping(config, path)
        .map_err(|wrong| errors.extend(wrong))
        .ok();
    match (fetcher, mapping) {
        (Some(fetcher), Some(mapping)) if errors.is_empty() => {
            let fetcher = Arc::new(fetcher);
            let keys = Arc::new(KeySet::new(
                &issuer.url,
                &issuer.discovery_url,
                Arc::clone(&fetcher),
            ));
            let distributed = match &mapping.groups {
                Some(Source::Claim { name, .. }) => {
                    Some(Distributed::new(name, fetcher, &issuer.url, Arc::clone(&keys)))
                }
                _ => None,
            };
            Ok(Issuer {
                url: issuer.url.clone(),
                verifier: Verifier {
                    audiences: issuer.audiences.clone(),
                    algorithms,
                },
                mapping,
                keys,
                distributed,
            })
        }
        _ => Err(errors),
    }
}

fn check(issuer: &Config, path: &Path, own: &[String]) -> ErrorList {
    let mut errors = ErrorList::new();
    let url = path.child("url");
    if issuer.url.is_empty() {
        errors.push(Error::required(&url, ""));
    } else {
        if own.contains(&issuer.url) {
            let mut own: Vec<&str> = own.iter().map(String::as_str).collect();
            own.sort_unstable();
            let detail = format!(
                "URL must not overlap with disallowed issuers: [{}]",
                own.join(" ")
            );
            errors.push(Error::invalid(&url, issuer.url.as_str(), detail));
        }
        check_url(&issuer.url, &url, &mut errors);
    }
    if !issuer.discovery_url.is_empty() {
        let path = path.child("discoveryURL");
        let same = issuer.discovery_url.trim_end_matches('/') == issuer.url.trim_end_matches('/');
        if same && !issuer.url.is_empty() {
            let detail = "discoveryURL must be different from URL";
            errors.push(Error::invalid(&path, issuer.discovery_url.as_str(), detail));
        }
        check_url(&issuer.discovery_url, &path, &mut errors);
    }
    check_audiences(issuer, path, &mut errors);
    errors
}

fn check_url(text: &str, path: &Path, errors: &mut ErrorList) {
    let mut wrong = |detail: &str| errors.push(Error::invalid(path, text, detail));
    let parsed = match Url::parse(text) {
        Ok(parsed) => parsed,
        Err(error) => return wrong(&error),
    };
    if parsed.scheme != "https" {
        wrong("URL scheme must be https");
    }
    // Empty names and passwords are there all the same.
    if parsed.user().is_some() {
        wrong("URL must not contain a username or password");
    }
    if !parsed.raw_query().is_empty() {
        wrong("URL must not contain a query");
    }
    if !parsed.fragment().is_empty() {
        wrong("URL must not contain a fragment");
    }
}

fn check_audiences(issuer: &Config, path: &Path, errors: &mut ErrorList) {
    let audiences = path.child("audiences");
    if issuer.audiences.is_empty() {
        let detail = format!("at least one {audiences} is required");
        errors.push(Error::required(&audiences, detail));
        return;
    }
    let mut seen = BTreeSet::new();
    for (index, audience) in issuer.audiences.iter().enumerate() {
        let path = audiences.index(index);
        if audience.is_empty() {
            errors.push(Error::required(&path, ""));
        }
        if !seen.insert(audience.as_str()) {
            errors.push(Error::duplicate(&path, audience.as_str()));
        }
    }
    let detail = match (issuer.audiences.len(), issuer.audience_match_policy.as_str()) {
        (1, "") | (_, "MatchAny") => return,
        (1, _) => "audienceMatchPolicy must be empty or MatchAny for single audience",
        _ => "audienceMatchPolicy must be MatchAny for multiple audiences",
    };
    let path = path.child("audienceMatchPolicy");
    errors.push(Error::invalid(
        &path,
        issuer.audience_match_policy.as_str(),
        detail,
    ));
}
