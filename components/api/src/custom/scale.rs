use super::paths::{SimplePath, go_type, shown};
use apimachinery::field::{Error, ErrorList, Path};
use serde_json::Value;

/// Where a kind keeps what its scale subresource shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scale {
    pub spec_replicas: SimplePath,
    pub status_replicas: SimplePath,
    pub label_selector: Option<SimplePath>,
}

impl Scale {
    /// Reads the `scale` of a definition's version.
    pub(super) fn parse(value: &Value) -> Option<Self> {
        let path = |name: &str| SimplePath::dotted(value.get(name)?.as_str()?);
        Some(Self {
            spec_replicas: path("specReplicasPath")?,
            status_replicas: path("statusReplicasPath")?,
            label_selector: path("labelSelectorPath"),
        })
    }

    /// A number there, or upstream's complaint about what is.
    pub fn number(path: &SimplePath, object: &Value) -> Result<Option<i64>, String> {
        match path.get(object)? {
            None => Ok(None),
            Some(value) => value.as_i64().map(Some).ok_or_else(|| {
                format!(
                    "{} accessor error: {} is of the type {}, expected int64",
                    path.as_str(),
                    shown(value),
                    go_type(value)
                )
            }),
        }
    }

    /// What is wrong with an object's replicas.
    pub(super) fn check(&self, object: &Value) -> ErrorList {
        let mut errors = ErrorList::new();
        let path = Path::new(self.spec_replicas.as_str());
        match Self::number(&self.spec_replicas, object) {
            Err(message) => errors.push(Error::invalid(&path, 0, message)),
            Ok(Some(number)) if number < 0 => {
                errors.push(Error::invalid(&path, number, "should be a non-negative integer"));
            }
            Ok(Some(number)) if number > i64::from(i32::MAX) => errors.push(Error::invalid(
                &path,
                number,
                format!("should be less than or equal to {}", i32::MAX),
            )),
            Ok(_) => {}
        }
        let path = Path::new(self.status_replicas.as_str());
        match Self::number(&self.status_replicas, object) {
            Err(message) => errors.push(Error::invalid(&path, 0, message)),
            Ok(Some(number)) if number < 0 => {
                errors.push(Error::invalid(&path, number, "should be a non-negative integer"));
            }
            Ok(Some(number)) if number > i64::from(i32::MAX) => errors.push(Error::invalid(
                &path,
                number,
                format!("should be less than or equal to {}", i32::MAX),
            )),
            Ok(_) => {}
        }
        if let Some(selector) = &self.label_selector {
            let found = match selector.get(object) {
                Ok(Some(value)) if !value.is_string() => Err(format!(
                    "{} accessor error: {} is of the type {}, expected string",
                    selector.as_str(),
                    shown(value),
                    go_type(value)
                )),
                Ok(_) => Ok(()),
                Err(message) => Err(message),
            };
            if let Err(message) = found {
                errors.push(Error::invalid(&Path::new(selector.as_str()), "", message));
            }
        }
        errors
    }
}
