use super::paths::SimplePath;
use apimachinery::field::{Error, ErrorList, Path};
use apimachinery::go;
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
                    go::print(value),
                    go::type_of(value)
                )
            }),
        }
    }

    /// The selector as text, or upstream's complaint about what is there.
    pub fn selector<'v>(&self, object: &'v Value) -> Result<Option<&'v str>, String> {
        let Some(path) = &self.label_selector else {
            return Ok(None);
        };
        match path.get(object)? {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(format!(
                "{} accessor error: {} is of the type {}, expected string",
                path.as_str(),
                go::print(value),
                go::type_of(value)
            )),
        }
    }

    /// What is wrong with an object's replicas; those that are wanted are not looked at where the `status` alone is written.
    pub(super) fn check(&self, object: &Value, status: bool) -> ErrorList {
        let mut errors = ErrorList::new();
        let wanted = (!status).then_some(&self.spec_replicas);
        for replicas in wanted.into_iter().chain([&self.status_replicas]) {
            let path = Path::new(replicas.as_str());
            errors.extend(match Self::number(replicas, object) {
                Err(message) => Some(Error::invalid(&path, 0, message)),
                Ok(Some(number)) if number < 0 => {
                    Some(Error::invalid(&path, number, "should be a non-negative integer"))
                }
                Ok(Some(number)) if number > i64::from(i32::MAX) => Some(Error::invalid(
                    &path,
                    number,
                    format!("should be less than or equal to {}", i32::MAX),
                )),
                Ok(_) => None,
            });
        }
        if let (Some(selector), Err(message)) = (&self.label_selector, self.selector(object)) {
            errors.push(Error::invalid(&Path::new(selector.as_str()), "", message));
        }
        errors
    }
}
