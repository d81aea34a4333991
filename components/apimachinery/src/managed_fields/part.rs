use super::entry::{Entry, Managers, Operation, Owned};
use super::manager::{BEFORE_FIRST_APPLY, Writer};
use crate::fieldset::{FieldSet, FieldsV1};

/// What an endpoint shows of an object as an object of its own: upstream tracks the owners of scales so.
pub struct Part<'a> {
    /// The version of what is shown, in which conflicts name those who update.
    pub api_version: &'a str,
    /// Its fields in a version of the object.
    pub fields: &'a dyn Fn(&str) -> Option<FieldSet>,
    /// Whether what is shown has them.
    pub is_set: bool,
}

impl Part<'_> {
    /// Who owns the part: those who own it in the object, or what was there before the first apply.
    pub(super) fn own(&self, managers: &mut Managers, api_version: &str, writer: Writer<'_>) {
        let owns = |owned: &Owned| {
            let fields = (self.fields)(&owned.api_version);
            fields.is_some_and(|fields| owned.fields.contains(&fields))
        };
        let owners: Vec<Entry> = managers
            .0
            .iter()
            .filter(|(_, owned)| owns(owned))
            .map(|(entry, _)| entry.clone())
            .collect();
        if owners.is_empty() && self.is_set {
            managers.0.extend((self.fields)(api_version).map(|fields| {
                let entry = Entry::new(
                    Operation::Update,
                    BEFORE_FIRST_APPLY,
                    self.api_version,
                    writer.subresource,
                );
                let owned = Owned {
                    fields: FieldsV1::from(fields),
                    api_version: api_version.to_owned(),
                    time: writer.now.to_owned(),
                };
                (entry, owned)
            }));
        }
        let updaters = owners
            .into_iter()
            .filter(|entry| entry.operation == Operation::Update);
        for entry in updaters {
            let shown = Entry {
                api_version: self.api_version.to_owned(),
                ..entry.clone()
            };
            // Who wrote two versions stays two.
            if !managers.0.contains_key(&shown)
                && let Some(owned) = managers.0.remove(&entry)
            {
                managers.0.insert(shown, owned);
            }
        }
    }
}
