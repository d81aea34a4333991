//! What an applier no longer names goes, unless somebody owns it.
use super::entry::{Managers, Owned};
use super::manager::FieldManager;
use super::versions::Kind;
use crate::apply::{field_set, remove};
use crate::fieldset::FieldSet;
use crate::status::ApiError;
use serde_json::Value;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl FieldManager<'_> {
    /// Takes out what the manager applied before, doesn't name now in `kept`, and nobody else owns. A struct of
    /// which it applied a part, and in which nobody owns anything any more, goes as a whole, as upstream does it.
    /// What is owned in another version is looked for there; what was applied in one that is gone stays.
    pub(super) fn prune(
        &self,
        merged: &mut Value,
        former: &Owned,
        kept: FieldSet,
        managers: &Managers,
    ) -> Result<(), ApiError> {
        let last = former.api_version.as_str();
        let mut owned = BTreeMap::from([(self.api_version, kept)]);
        for other in managers.0.values() {
            let version = owned.entry(other.api_version.as_str()).or_default();
            version.add(other.fields.to_set());
        }
        let others = owned.keys().copied().chain([last]);
        let kinds: BTreeMap<&str, Kind> = others
            .filter(|version| *version != self.api_version)
            .filter_map(|version| Some((version, self.versions.kind(version)?)))
            .collect();
        let at = |version| match kinds.get(version) {
            Some(kind) => Some(self.of_kind(kind, version)),
            None => (version == self.api_version).then_some(*self),
        };
        let Some(there) = at(last) else {
            return Ok(());
        };
        let former = there.named(&former.fields.to_set());
        let whole = there.converted(merged)?;
        let mut pruned = there.without(&whole, &former);
        let mut unpruned = Cow::Borrowed(&*whole);
        // The version that was pruned comes first: what is given back in it may be needed to convert to the others.
        let first = owned.remove_entry(last);
        for (version, owned) in first.into_iter().chain(owned) {
            let Some(here) = at(version) else {
                continue;
            };
            let before = here.converted(&unpruned)?.into_owned();
            let mut kept = here.named(&owned);
            kept.add(here.fields_of(&*here.converted(&pruned)?));
            pruned = here.without(&before, &here.fields_of(&before).difference(&kept));
            unpruned = Cow::Owned(before);
        }
        let left = there.fields_of(&*there.converted(&pruned)?);
        let gone = there.fields_of(&whole).difference(&left).intersection(&former);
        let pruned = there.without(&whole, &gone);
        *merged = self.converted(&pruned)?.into_owned();
        Ok(())
    }

    fn named(&self, fields: &FieldSet) -> FieldSet {
        fields.with_named_parents(self.schemas, &self.ty())
    }

    fn fields_of(&self, value: &Value) -> FieldSet {
        self.named(&field_set(self.schemas, &self.ty(), value))
    }

    fn without(&self, object: &Value, gone: &FieldSet) -> Value {
        let mut pruned = object.clone();
        remove(self.schemas, &self.ty(), &mut pruned, gone);
        pruned
    }
}
