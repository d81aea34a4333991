//! Where upstream looks at the parts of versions. What all versions say alike stands in the spec itself in its internal
//! form, and so do the paths of what is wrong there (apiextensions/v1/conversion.go).
use crate::validate::shared::same;
use serde_json::Value;

/// Which parts stand in the spec, for they are the same in all versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    pub schema: bool,
    pub subresources: bool,
    pub columns: bool,
    pub selectable: bool,
}

impl Shape {
    pub(super) fn of(versions: &[Value]) -> Self {
        let Some((first, others)) = versions.split_first() else {
            return Self::default();
        };
        let alike = |part: &str| others.iter().all(|other| same(&first[part], &other[part]));
        Self {
            schema: alike("schema"),
            subresources: alike("subresources"),
            columns: alike("additionalPrinterColumns"),
            selectable: alike("selectableFields"),
        }
    }
}
