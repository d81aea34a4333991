//! Options of Windows in a security context.
use super::annotations::containers;
use crate::validate::shared::texts;
use crate::value::{at, flag};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// A credential spec has at most this many KiB.
const MAX_SPEC_KIB: usize = 64;

/// A user's domain is shorter than this, and its name no longer.
const MAX_DOMAIN: usize = 256;
const MAX_USER: usize = 104;

pub(super) fn options(options: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    if !options.is_object() {
        return errors;
    }
    if let Some(name) = at(options, &["gmsaCredentialSpecName"]).as_str() {
        let path = path.child("gmsaCredentialSpecName");
        errors.extend(texts(&path, name, names::dns1123_subdomain(name)));
    }
    if let Some(spec) = at(options, &["gmsaCredentialSpec"]).as_str() {
        let path = path.child("gmsaCredentialSpec");
        if spec.is_empty() {
            errors.push(Error::invalid(
                &path,
                spec,
                "gmsaCredentialSpec cannot be an empty string",
            ));
        } else if spec.len() > MAX_SPEC_KIB * 1024 {
            errors.push(Error::invalid(
                &path,
                spec,
                format!("gmsaCredentialSpec size must be under {MAX_SPEC_KIB} KiB"),
            ));
        }
    }
    if let Some(name) = at(options, &["runAsUserName"]).as_str() {
        let path = path.child("runAsUserName");
        let wrong = user(name).into_iter();
        errors.extend(wrong.map(|why| Error::invalid(&path, name, format!("runAsUserName{why}"))));
    }
    errors
}

/// What is wrong with `DOMAIN\user`.
fn user(name: &str) -> Vec<String> {
    if name.is_empty() {
        return vec![" cannot be an empty string".into()];
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return vec![" cannot contain control characters".into()];
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return vec![" cannot contain more than one backslash".into()],
    };
    let mut errors = Vec::new();
    if let Some(domain) = domain {
        if domain.len() >= MAX_DOMAIN {
            errors.push(format!("'s Domain length must be under {MAX_DOMAIN} characters"));
        }
        if !is_netbios(domain) && !is_dns(domain) {
            errors.push("'s Domain doesn't match the NetBios nor the DNS format".into());
        }
    }
    if user.is_empty() {
        errors.push("'s User cannot be empty".into());
    } else if user.len() > MAX_USER {
        errors.push(format!(
            "'s User length must not be longer than {MAX_USER} characters"
        ));
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        errors.push("'s User cannot contain only periods or spaces".into());
    }
    if user.contains(|c| "\"/\\:;|=,+*?<>@[]".contains(c)) {
        errors.push("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]".into());
    }
    errors
}

fn is_netbios(domain: &str) -> bool {
    let plain = |c: char| !"\\/:*?\"<>|".contains(c);
    (1..=15).contains(&domain.chars().count()) && !domain.starts_with('.') && domain.chars().all(plain)
}

fn is_dns(domain: &str) -> bool {
    domain.split('.').all(|label| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    })
}

/// A pod runs on its host as processes with all its containers, or with none.
pub(super) fn host_processes(spec: &Value, path: &Path) -> ErrorList {
    const FIELD: &[&str] = &["securityContext", "windowsOptions", "hostProcess"];
    let whole = at(spec, FIELD).as_bool();
    let mut errors = ErrorList::new();
    let (mut count, mut on_host) = (0, 0);
    for (kind, index, container) in containers(spec) {
        count += 1;
        let own = at(container, FIELD).as_bool();
        if let (Some(whole), Some(own)) = (whole, own)
            && whole != own
        {
            errors.push(Error::invalid(
                &path
                    .child(kind)
                    .index(index)
                    .child("securityContext.windowsOptions.hostProcess"),
                Value::Bool(own),
                format!("pod hostProcess value must be identical if both are specified, was {whole}"),
            ));
        }
        on_host += usize::from(own.or(whole).unwrap_or(false));
    }
    if on_host == 0 {
        return errors;
    }
    if on_host != count {
        errors.push(Error::invalid(
            path,
            "",
            "If pod contains any hostProcess containers then all containers must be HostProcess containers",
        ));
    }
    if !flag(spec, &["hostNetwork"]) {
        errors.push(Error::invalid(
            &path.child("hostNetwork"),
            Value::Bool(false),
            "hostNetwork must be true if pod contains any hostProcess containers",
        ));
    }
    if !super::security::privileged_is_allowed() {
        errors.push(Error::forbidden(
            path,
            "hostProcess containers are disallowed by cluster policy",
        ));
    }
    errors
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn users_have_a_name_and_maybe_a_domain() {
        for (name, wrong) in [
            ("ContainerUser", 0),
            ("NT AUTHORITY\\Local Service", 0),
            ("example.com\\user", 0),
            ("", 1),
            ("a\\b\\c", 1),
            (".bad\\user", 1),
            ("user@example", 1),
            ("..", 1),
            ("a\n", 1),
        ] {
            assert_eq!(user(name).len(), wrong, "{name}");
        }
    }

    #[test]
    fn all_containers_are_processes_of_the_host_or_none() {
        let own = |value: bool| json!({"securityContext": {"windowsOptions": {"hostProcess": value}}});
        for (spec, wrong) in [
            (json!({"containers": [own(true)], "hostNetwork": true}), 0),
            (json!({"containers": [own(true), {}], "hostNetwork": true}), 1),
            (json!({"containers": [own(true)]}), 1),
            (json!({"containers": [own(false), {}]}), 0),
        ] {
            assert_eq!(host_processes(&spec, &Path::new("spec")).len(), wrong, "{spec}");
        }
    }
}
