//! Which fields a PodSecurityConfiguration has; its versions don't differ.

use anyhow::bail;
use apimachinery::decode;
use apimachinery::schema::{Field, ListKind, Schema, SchemaSet, Type};
use serde_json::Value;
use std::sync::LazyLock;

/// The number of the whole configuration in the set, behind the structs of its fields.
const WHOLE: u32 = 2;

static SCHEMAS: LazyLock<SchemaSet> = LazyLock::new(|| {
    let list = Type::List(Box::new(Type::String), ListKind::Atomic);
    let fields = |names: &[&str], ty: &Type| names.iter().map(|name| Field::new(name, ty.clone())).collect();
    let modes = [
        "audit",
        "audit-version",
        "enforce",
        "enforce-version",
        "warn",
        "warn-version",
    ];
    SchemaSet::new(vec![
        of("PodSecurityDefaults", fields(&modes, &Type::String)),
        of(
            "PodSecurityExemptions",
            fields(&["namespaces", "runtimeClasses", "usernames"], &list),
        ),
        of(
            "PodSecurityConfiguration",
            vec![
                Field::new("defaults", Type::Struct(0)),
                Field::new("exemptions", Type::Struct(1)),
            ],
        ),
    ])
});

fn of(name: &str, fields: Vec<Field>) -> Schema {
    Schema {
        name: name.to_owned(),
        short: name.to_owned(),
        package: "v1".to_owned(),
        fields,
        ..Schema::default()
    }
}

/// Refuses what has fields that there are not, or of other types.
pub fn strictly(told: &mut Value) -> anyhow::Result<()> {
    let unknown = decode::fit(&SCHEMAS, WHOLE, told)?;
    if !unknown.is_empty() {
        let unknown: Vec<String> = unknown
            .iter()
            .map(|path| format!("unknown field {path:?}"))
            .collect();
        bail!("strict decoding error: {}", unknown.join(", "));
    }
    Ok(())
}
