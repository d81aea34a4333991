use crate::validate::shared::texts;
use apimachinery::field::{Error, ErrorList, Path, quote};
use apimachinery::names;

const MAX_DOMAIN: usize = 253;
/// A domain, a namespace's name and an object's name, with what stands between them.
const MAX_NAME: usize = MAX_DOMAIN + 1 + 63 + 1 + 253;

/// `example.com/signer-name`, where the part behind the slash may name an object: `namespace.name`.
pub(in crate::validate) fn signer_name(name: &str, path: &Path) -> ErrorList {
    const FORM: &str = "must be a fully qualified domain and path of the form 'example.com/signer-name'";
    if name.is_empty() {
        return vec![Error::required(path, "")];
    }
    let Some((domain, rest)) = name.split_once('/').filter(|(_, rest)| !rest.contains('/')) else {
        return vec![Error::invalid(path, name, FORM)];
    };
    let mut errors = ErrorList::new();
    if domain.len() > MAX_DOMAIN {
        errors.push(Error::too_long(path, MAX_DOMAIN));
    }
    errors.extend(first_wrong(domain, names::dns1123_label, path));
    if !domain.contains('.') {
        errors.push(Error::invalid(
            path,
            domain,
            "should be a domain with at least two segments separated by dots",
        ));
    }
    // Each label may be as long as an object's name.
    errors.extend(first_wrong(rest, names::dns1123_subdomain, path));
    if name.len() > MAX_NAME {
        errors.push(Error::too_long(path, MAX_NAME));
    }
    errors
}

/// What is wrong with the first label that is.
fn first_wrong(part: &str, check: fn(&str) -> Vec<String>, path: &Path) -> ErrorList {
    let found = part.split('.').find_map(|label| {
        let wrong = check(label);
        (!wrong.is_empty()).then_some((label, wrong))
    });
    let Some((label, wrong)) = found else {
        return ErrorList::new();
    };
    let wrong = wrong
        .into_iter()
        .map(|why| format!("validating label {}: {why}", quote(label)));
    texts(path, part, wrong.collect())
}
