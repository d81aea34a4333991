//! Pods with the same namespace and labels are one class: selectors are matched once per class.

use std::sync::Arc;

use ahash::AHashMap;

use crate::model::selector::Labels;

pub type ClassId = u32;
/// Number of a matcher, see [`super::counts::Matchers`].
pub type MatcherId = u32;
/// Number of a term of placed pods, see [`super::terms::Terms`].
pub type TermId = u32;

#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub struct ClassKey {
    pub namespace: String,
    pub labels: Labels,
}

pub struct Class {
    pub key: Arc<ClassKey>,
    /// Placed pods of the class.
    pub pods: u32,
    /// Matchers that count pods of this class, sorted.
    pub matchers: Vec<MatcherId>,
    /// Terms of placed pods that are about pods of this class, sorted.
    pub terms: Vec<TermId>,
}

/// How many classes without placed pods are kept for pods that wait.
const IDLE_CLASSES: usize = 2048;

#[derive(Default)]
pub struct Classes {
    ids: AHashMap<Arc<ClassKey>, ClassId>,
    slots: Vec<Option<Class>>,
    free: Vec<ClassId>,
}

impl Classes {
    pub fn find(&self, key: &ClassKey) -> Option<ClassId> {
        self.ids.get(key).copied()
    }

    pub fn insert(&mut self, class: Class) -> ClassId {
        let key = class.key.clone();
        let id = match self.free.pop() {
            Some(id) => {
                self.slots[id as usize] = Some(class);
                id
            }
            None => {
                self.slots.push(Some(class));
                (self.slots.len() - 1) as ClassId
            }
        };
        self.ids.insert(key, id);
        id
    }

    pub fn get(&self, id: ClassId) -> Option<&Class> {
        self.slots.get(id as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: ClassId) -> Option<&mut Class> {
        self.slots.get_mut(id as usize)?.as_mut()
    }

    pub fn iter_mut(&mut self) -> impl Iterator<Item = (ClassId, &mut Class)> {
        self.slots
            .iter_mut()
            .enumerate()
            .filter_map(|(id, class)| Some((id as ClassId, class.as_mut()?)))
    }

    /// Drops classes without placed pods once they are many; `placed` is the number of placed pods.
    pub fn sweep(&mut self, placed: usize) {
        if self.ids.len() < placed + IDLE_CLASSES {
            return;
        }
        for (id, slot) in self.slots.iter_mut().enumerate() {
            if let Some(class) = slot.take_if(|class| class.pods == 0) {
                self.ids.remove(&class.key);
                self.free.push(id as ClassId);
            }
        }
    }
}

/// Adds to a sorted list without repeating.
pub fn insert_sorted(list: &mut Vec<u32>, value: u32) {
    if let Err(at) = list.binary_search(&value) {
        list.insert(at, value);
    }
}

/// Takes out of a sorted list.
pub fn remove_sorted(list: &mut Vec<u32>, value: u32) {
    if let Ok(at) = list.binary_search(&value) {
        list.remove(at);
    }
}
