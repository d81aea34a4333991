use super::driver_name;
use crate::validate::internal;
use crate::validate::shared::{immutable, texts};
use crate::value::{at, int, object, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

/// What a driver tells of an attachment may hold this many bytes, names included.
const MAX_METADATA: usize = 256 * 1024;

/// Bytes of an error's message.
const MAX_MESSAGE: usize = 1024;

/// A VolumeAttachment.
pub(super) fn check(old: Option<&Value>, new: &Value) -> ErrorList {
    let (spec, path) = (at(new, &["spec"]), Path::new("spec"));
    let mut errors = driver_name(text(spec, &["attacher"]), &path.child("attacher"));
    errors.extend(source(spec, &path.child("source")));
    let node = text(spec, &["nodeName"]);
    errors.extend(texts(
        &path.child("nodeName"),
        node,
        names::dns1123_subdomain(node),
    ));
    if let Some(volume) = at(spec, &["source", "persistentVolumeName"]).as_str() {
        errors.extend(texts(
            &path.child("source.persistentVolumeName"),
            volume,
            names::dns1123_subdomain(volume),
        ));
    }
    errors.extend(status(at(new, &["status"]), &Path::new("status")));
    if old.is_some_and(|old| immutable(&path, at(old, &["spec"]), spec).is_some()) {
        errors.push(Error::invalid(
            &path,
            internal::shown(internal::VOLUME_ATTACHMENT_SPEC, spec),
            "field is immutable",
        ));
    }
    errors
}

fn status(status: &Value, path: &Path) -> ErrorList {
    let mut errors = ErrorList::new();
    let metadata = object(status, &["attachmentMetadata"]).into_iter().flatten();
    let size: usize = metadata
        .map(|(name, value)| name.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > MAX_METADATA {
        errors.push(Error::too_long(&path.child("attachmentMetadata"), MAX_METADATA));
    }
    for field in ["attachError", "detachError"] {
        let (error, path) = (at(status, &[field]), path.child(field));
        if text(error, &["message"]).len() > MAX_MESSAGE {
            // Upstream tells the other limit.
            errors.push(Error::too_long(&path.child("message"), MAX_METADATA));
        }
        if let Some(code) = int(error, &["errorCode"]).filter(|code| *code < 0) {
            errors.push(Error::invalid(
                &path.child("errorCode"),
                code,
                "must be between 0 and 2147483647, inclusive",
            ));
        }
    }
    errors
}

fn source(spec: &Value, path: &Path) -> ErrorList {
    const ONE: &str = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    let (inline, name) = (
        at(spec, &["source", "inlineVolumeSpec"]),
        at(spec, &["source", "persistentVolumeName"]),
    );
    match (inline.is_object(), name.as_str()) {
        (false, None) => vec![Error::required(path, ONE)],
        (true, Some(_)) => vec![Error::forbidden(path, ONE)],
        (false, Some("")) => vec![Error::required(
            &path.child("persistentVolumeName"),
            "must specify non empty persistentVolumeName",
        )],
        (false, Some(_)) => ErrorList::new(),
        (true, None) => super::volume::spec(
            inline,
            super::volume::Owner::Attachment,
            &path.child("inlineVolumeSpec"),
        ),
    }
}
