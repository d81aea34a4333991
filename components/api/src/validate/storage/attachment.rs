use super::driver_name;
use crate::validate::internal;
use crate::validate::shared::{immutable, texts};
use crate::value::{at, text};
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::names;
use serde_json::Value;

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
    if old.is_some_and(|old| immutable(&path, at(old, &["spec"]), spec).is_some()) {
        errors.push(Error::invalid(
            &path,
            internal::shown(internal::VOLUME_ATTACHMENT_SPEC, spec),
            "field is immutable",
        ));
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
        (true, None) => super::volume::spec(inline, true, &path.child("inlineVolumeSpec")),
    }
}
