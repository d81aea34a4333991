//! The resourceVersion that a client says its object has.
use super::Write;
use crate::verbs::target::Target;
use api::strategy;
use apimachinery::field::{Error, Path};
use apimachinery::{ApiError, Reason, meta};
use serde_json::Value;

/// The number that it is. One that isn't given is 0, which stands for whatever there is. As with upstream the client is told what
/// the parser said; a conflict would make it try for ever.
pub fn number(version: &str) -> Result<u64, ApiError> {
    if version.is_empty() {
        return Ok(0);
    }
    let digits = version.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = version.parse().ok().filter(|_| digits);
    parsed.ok_or_else(|| {
        let why = if digits {
            "value out of range"
        } else {
            "invalid syntax"
        };
        let message = format!("strconv.ParseUint: parsing {version:?}: {why}");
        ApiError::new(500, Reason::Unknown, message, None)
    })
}

/// Refuses the change of an object that has become another one since the client saw it.
pub(super) fn check(target: &Target, version: &str, old: &Value) -> Result<(), ApiError> {
    let wanted = number(version)?;
    if wanted != 0 && wanted != number(meta::resource_version(old))? {
        return Err(ApiError::modified(&target.resource(), &target.name));
    }
    Ok(())
}

/// Some kinds are only replaced by those who know what they replace.
pub(super) fn require(target: &Target, wanted: &Write, new: &Value) -> Result<(), ApiError> {
    let unconditional = if wanted.replaces {
        number(wanted.resource_version.as_deref().unwrap_or_default())? == 0
    } else {
        number(meta::resource_version(new))? == 0
    };
    match unconditional {
        true => may_be_left_out(target, new),
        false => Ok(()),
    }
}

/// Admission may say which version is replaced, just as the client may.
pub(super) fn check_admitted(target: &Target, old: &Value, new: &Value) -> Result<(), ApiError> {
    let version = meta::resource_version(new);
    match number(version)? {
        0 => may_be_left_out(target, new),
        _ => check(target, version, old),
    }
}

fn may_be_left_out(target: &Target, new: &Value) -> Result<(), ApiError> {
    if strategy::rules(&target.row).unconditional_update {
        return Ok(());
    }
    let path = Path::new("metadata").child("resourceVersion");
    let errors = [Error::invalid(&path, 0, "must be specified for an update")];
    // As with upstream it is told of the resource.
    let mut resource = target.row.gvk.clone();
    resource.kind.clone_from(&target.row.plural);
    Err(ApiError::invalid(&resource, meta::name(new), &errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_go_reads_them() {
        for (version, wanted) in [
            ("", Ok(0)),
            ("0", Ok(0)),
            ("007", Ok(7)),
            ("18446744073709551615", Ok(u64::MAX)),
            ("18446744073709551616", Err("value out of range")),
            ("x", Err("invalid syntax")),
            ("-1", Err("invalid syntax")),
            ("+1", Err("invalid syntax")),
            ("1 ", Err("invalid syntax")),
        ] {
            let found = number(version).map_err(|error| (error.code(), error.message().to_owned()));
            let wanted =
                wanted.map_err(|why| (500, format!("strconv.ParseUint: parsing {version:?}: {why}")));
            assert_eq!(found, wanted);
        }
    }
}
