use super::compact::Compact;
use super::conflict::conflict;
use super::entry::{Entry, Managers, Operation, Owned};
use super::last_applied;
use super::limit::fold;
use super::object::{is_reset, is_same, without_managed_fields};
use super::part::Part;
use super::versions::Versions;
use crate::apply::{
    Comparison, applied_fields, change_has_keyless_items, compare_change, created_fields, field_set,
    has_keyless_items, merge, own_atomics_whole, validate,
};
use crate::decode::{self, Unchanged};
use crate::fieldset::{FieldSet, FieldsV1, LeftOut};
use crate::meta;
use crate::schema::{SchemaId, SchemaSet, Type};
use crate::status::{ApiError, Reason};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

/// Owner of what was there before the first apply.
pub(super) const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Fields that nobody owns.
static UNOWNED: LazyLock<FieldSet> = LazyLock::new(|| {
    FieldSet::of_names(&[
        "apiVersion",
        "kind",
        "metadata",
        "metadata.name",
        "metadata.namespace",
        "metadata.creationTimestamp",
        "metadata.selfLink",
        "metadata.uid",
        "metadata.clusterName",
        "metadata.generation",
        "metadata.managedFields",
        "metadata.resourceVersion",
    ])
});

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// Field manager.
    pub manager: &'a str,
    /// Empty for the object itself.
    pub subresource: &'a str,
    /// RFC 3339.
    pub now: &'a str,
}

/// Keeps managedFields of one kind in one version.
#[derive(Clone, Copy, Debug)]
pub struct FieldManager<'a> {
    pub schemas: &'a SchemaSet,
    pub schema: SchemaId,
    pub api_version: &'a str,
    /// Fields that writes through this endpoint never change, so that writing them gives no ownership.
    pub reset: &'a FieldSet,
    /// Objects are decoded to types, of which what is empty may not be written; custom objects are not.
    pub typed: bool,
    /// Those that other owners wrote.
    pub versions: &'a dyn Versions,
}

/// What came of a write in one version.
struct Changes {
    /// Added or modified.
    touched: FieldSet,
    removed: FieldSet,
}

impl FieldManager<'_> {
    pub(super) fn ty(&self) -> Type {
        Type::Struct(self.schema)
    }

    /// The object of the kind with nothing set.
    pub(super) fn empty(&self) -> Value {
        let mut object = Value::Object(Map::new());
        // An empty object of any kind fits its schema.
        let _ = decode::fit(self.schemas, self.schema, &mut object);
        object
    }

    /// Records a create (`live` is `None`) or update in `new`'s managedFields. What is `unchanged` needs no look.
    pub fn update(
        &self,
        live: Option<&Compact>,
        new: &mut Compact,
        unchanged: &Unchanged,
        writer: Writer<'_>,
    ) {
        let given = match meta::remove(new, "managedFields") {
            Some(Value::Array(list)) => Some(list),
            _ => None,
        };
        // What can't be tracked has no owners; upstream gives up likewise.
        // An object with owners has no keyless items, or it would have lost them.
        let keyless = match live.filter(|live| !meta::managed_fields(live).is_empty()) {
            Some(_) => change_has_keyless_items(self.schemas, self.schema, new, unchanged),
            None => has_keyless_items(self.schemas, &self.ty(), new),
        };
        if keyless {
            return;
        }
        // Through a subresource nobody sets managers. Upstream doesn't see an empty list in an object without types.
        let given = given.filter(|given| writer.subresource.is_empty() && (self.typed || !given.is_empty()));
        let mut managers = if given.as_deref().is_some_and(is_reset) {
            Managers::default()
        } else {
            Managers::decode(given.unwrap_or_default())
                .filter(|managers| !managers.0.is_empty())
                .unwrap_or_else(|| live.map(Compact::managers).unwrap_or_default())
        };
        self.reconcile(&mut managers);
        if live.is_some() && managers.0.is_empty() {
            // Nobody tracked this object so far: only an apply starts to.
            return;
        }
        let recorded = match live {
            Some(live) => self.record(live, new, unchanged, &mut managers, writer),
            None => self.record(&self.empty(), new, unchanged, &mut managers, writer),
        };
        if recorded.is_ok() {
            new.set_managers(managers);
        }
    }

    /// Schemas of custom kinds change while objects are stored.
    fn reconcile(&self, managers: &mut Managers) {
        if self.typed {
            return;
        }
        for owned in managers.0.values_mut() {
            let mut fields = owned.fields.to_set();
            let changed = if owned.api_version == self.api_version {
                own_atomics_whole(self.schemas, &self.ty(), &mut fields)
            } else {
                let kind = self.versions.kind(&owned.api_version);
                kind.is_some_and(|kind| own_atomics_whole(&kind.schemas, &kind.ty(), &mut fields))
            };
            if changed {
                owned.fields = FieldsV1::from(fields);
            }
        }
    }

    fn record(
        &self,
        before: &Value,
        new: &Value,
        unchanged: &Unchanged,
        managers: &mut Managers,
        writer: Writer<'_>,
    ) -> Result<(), ApiError> {
        let entry = Entry::new(
            Operation::Update,
            writer.manager,
            self.api_version,
            writer.subresource,
        );
        if managers.0.is_empty()
            && let Some(fields) = self.created(before, new)
        {
            managers.0.extend((!fields.is_empty()).then(|| {
                let owned = Owned {
                    fields,
                    api_version: self.api_version.to_owned(),
                    time: writer.now.to_owned(),
                };
                (entry, owned)
            }));
            return Ok(());
        }
        let elsewhere = self.elsewhere(managers, before, new, self.typed)?;
        let Changes { mut touched, removed } = self.changes(before, new, unchanged, self.typed);
        // Who owns nothing loses nothing.
        let mut taken = if managers.0.is_empty() {
            std::mem::take(&mut touched)
        } else {
            touched.clone()
        };
        taken.subtract(&UNOWNED);
        for (other, owned) in &mut managers.0 {
            if let Some(there) = elsewhere.get(&owned.api_version) {
                owned.fields.subtract(&there.touched);
                owned.fields.subtract(&there.removed);
                continue;
            }
            // What the writer keeps isn't taken away first.
            if *other == entry && owned.fields.contains(&taken) {
                let mut lost = touched.clone();
                lost.subtract(&taken);
                owned.fields.subtract(&lost);
            } else {
                owned.fields.subtract(&touched);
            }
            owned.fields.subtract(&removed);
        }
        if !taken.is_empty() {
            let owned = managers.0.entry(entry).or_insert_with(|| Owned {
                fields: FieldsV1::default(),
                api_version: self.api_version.to_owned(),
                time: String::new(),
            });
            owned.fields.add(&taken);
            owned.time = writer.now.to_owned();
        }
        tidy(managers);
        fold(managers);
        Ok(())
    }

    /// What was written and what was removed, but for what this endpoint never changes: that is nobody's loss.
    fn changes(&self, before: &Value, after: &Value, unchanged: &Unchanged, typed: bool) -> Changes {
        let Comparison {
            added,
            modified,
            mut removed,
        } = compare_change(self.schemas, &self.ty(), before, after, unchanged, typed);
        let mut touched = modified;
        touched.add(added);
        touched.subtract_below(self.reset);
        removed.subtract_below(self.reset);
        Changes { touched, removed }
    }

    /// The same in each other version that somebody wrote. Who wrote a version that is gone is forgotten.
    fn elsewhere(
        &self,
        managers: &mut Managers,
        before: &Value,
        after: &Value,
        typed: bool,
    ) -> Result<BTreeMap<String, Changes>, ApiError> {
        let mut all = BTreeMap::new();
        let others = |owned: &&Owned| owned.api_version != self.api_version;
        for owned in managers.0.values().filter(others) {
            if all.contains_key(&owned.api_version) {
                continue;
            }
            let version = owned.api_version.as_str();
            let changes = match self.versions.kind(version) {
                Some(kind) => {
                    let there = self.of_kind(&kind, version);
                    let (before, after) = (without_managed_fields(before), without_managed_fields(after));
                    let before = match meta::api_version(&before) {
                        // What there is before a create is empty in all versions.
                        "" => Cow::Owned(there.empty()),
                        _ => there.converted(&before)?,
                    };
                    let after = there.converted(&after)?;
                    Some(there.changes(&before, &after, &Unchanged::default(), typed))
                }
                None => None,
            };
            all.insert(version.to_owned(), changes);
        }
        let is_gone = |version: &str| matches!(all.get(version), Some(None));
        managers.0.retain(|_, owned| !is_gone(&owned.api_version));
        let known = |(version, changes): (String, Option<Changes>)| Some((version, changes?));
        Ok(all.into_iter().filter_map(known).collect())
    }

    /// The fields of a new object that its creator owns; `None` when they have to be found by comparing.
    fn created(&self, before: &Value, new: &Value) -> Option<FieldsV1> {
        if !meta::managed_fields(new).is_empty() {
            return None;
        }
        let left_out = LeftOut::new(self.reset, &UNOWNED);
        created_fields(self.schemas, &self.ty(), before, new, self.typed, left_out)
    }

    /// Merges an applied configuration into the live object, or makes the object of it. `applied` must have been
    /// checked to name this object. The result's managedFields are up to date.
    pub fn apply(
        &self,
        live: Option<&Compact>,
        applied: &Value,
        writer: Writer<'_>,
        force: bool,
    ) -> Result<Compact, ApiError> {
        self.apply_part(live, applied, writer, force, None)
            .map(|(object, _)| object)
    }

    /// The same for a configuration of a part of the object; gives also what stays of the live object.
    pub fn apply_part(
        &self,
        live: Option<&Compact>,
        applied: &Value,
        writer: Writer<'_>,
        force: bool,
        part: Option<&Part<'_>>,
    ) -> Result<(Compact, Unchanged), ApiError> {
        if meta::get(applied, "managedFields").is_some_and(|given| !given.is_null()) {
            return Err(ApiError::bad_request("metadata.managedFields must be nil"));
        }
        let configuration = validate(self.schemas, &self.ty(), applied).map_err(|errors| {
            let name = format!(
                "({}/{}; {})",
                meta::namespace(applied),
                meta::name(applied),
                meta::gvk(applied)
            );
            ApiError::new(
                500,
                Reason::Unknown,
                format!("failed to create typed patch object {name}: {errors}"),
                None,
            )
        })?;
        let mut managers = live.map(Compact::managers).unwrap_or_default();
        self.reconcile(&mut managers);
        let before: Cow<'_, Value> =
            live.map_or_else(|| Cow::Owned(self.empty()), |live| Cow::Borrowed(&**live));
        if let Some(part) = part {
            part.own(&mut managers, self.api_version, writer);
        } else if live.is_some() && managers.0.is_empty() {
            self.record(
                &self.empty(),
                &before,
                &Unchanged::default(),
                &mut managers,
                Writer {
                    manager: BEFORE_FIRST_APPLY,
                    ..writer
                },
            )?;
        }
        let entry = Entry::new(
            Operation::Apply,
            writer.manager,
            self.api_version,
            writer.subresource,
        );
        let former = managers.0.get(&entry).cloned();
        let named = || {
            let mut named = field_set(self.schemas, &self.ty(), applied);
            named.subtract_below(self.reset);
            named
        };
        let left_out = LeftOut::new(self.reset, &UNOWNED);
        let fields = applied_fields(self.schemas, &self.ty(), applied, left_out);
        // Most appliers name what they named before.
        let dropped = former.as_ref().is_some_and(|former| {
            former.api_version != self.api_version
                || former.fields != fields && !former.fields.is_within(&fields.to_set())
        });
        let mut merged = without_managed_fields(&before);
        merge(self.schemas, &self.ty(), &mut merged, configuration);
        managers.0.insert(
            entry.clone(),
            Owned {
                fields,
                api_version: self.api_version.to_owned(),
                time: former
                    .as_ref()
                    .map(|former| former.time.clone())
                    .unwrap_or_default(),
            },
        );
        if let Some(former) = former.filter(|_| dropped) {
            self.prune(&mut merged, &former, named(), &managers)?;
        }
        let mut unchanged = Unchanged::between(&before, &merged);
        self.settle(&before, &merged, &unchanged, &mut managers, &entry, |conflicts| {
            if force {
                return Ok(());
            }
            let may_take = live.and_then(|live| last_applied::may_take(self, writer.manager, live));
            conflicts_beyond(conflicts, may_take)
        })?;
        // A configuration that changes nothing leaves the time alone, even when it is a manager's first.
        let changed = !is_same(&merged, &before, &unchanged);
        if let Some(owned) = managers.0.get_mut(&entry).filter(|_| changed) {
            owned.time = writer.now.to_owned();
        }
        tidy(&mut managers);
        meta::remove(&mut merged, "managedFields");
        last_applied::keep(&mut merged, writer.manager, applied);
        match live {
            Some(_) => unchanged.forget("metadata"),
            None => unchanged = Unchanged::default(),
        }
        Ok((Compact::with_managers(merged, managers), unchanged))
    }

    /// Other managers lose what changed, if that may be.
    fn settle(
        &self,
        before: &Value,
        merged: &Value,
        unchanged: &Unchanged,
        managers: &mut Managers,
        own: &Entry,
        may_be: impl FnOnce(Vec<(String, FieldSet)>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let elsewhere = self.elsewhere(managers, before, merged, false)?;
        let here = self.changes(before, merged, unchanged, false);
        let mut conflicts = Vec::new();
        for (entry, owned) in managers.0.iter_mut().filter(|(entry, _)| *entry != own) {
            let Changes { touched, removed } = elsewhere.get(&owned.api_version).unwrap_or(&here);
            if owned.fields.touches(touched) {
                let lost = owned.fields.to_set().intersection(touched);
                owned.fields.subtract(&lost);
                conflicts.push((entry.describe(), lost));
            }
            owned.fields.subtract(removed);
        }
        if conflicts.is_empty() {
            return Ok(());
        }
        may_be(conflicts)
    }
}

/// Conflicts about other fields than these.
fn conflicts_beyond(conflicts: Vec<(String, FieldSet)>, may_take: Option<FieldSet>) -> Result<(), ApiError> {
    let may_take = may_take.unwrap_or_default();
    let rest: Vec<(String, String)> = conflicts
        .into_iter()
        .flat_map(|(manager, lost)| {
            let paths = lost.difference(&may_take).paths();
            paths.into_iter().map(move |path| (manager.clone(), path))
        })
        .collect();
    if rest.is_empty() {
        Ok(())
    } else {
        Err(conflict(&rest))
    }
}

fn tidy(managers: &mut Managers) {
    managers.0.retain(|_, owned| {
        owned.fields.subtract(&UNOWNED);
        !owned.fields.is_empty()
    });
}
