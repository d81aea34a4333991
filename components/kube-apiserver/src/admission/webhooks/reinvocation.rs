//! Which mutating webhooks are asked a second time, because others changed the object after them.

use apimachinery::managed_fields::Compact;
use std::collections::HashSet;

/// The state of one request's mutating admission, over at most two rounds.
#[derive(Debug, Default)]
pub struct Reinvocation {
    round: usize,
    again: bool,
    /// Asked already, and to be asked again should anything change.
    asked: HashSet<String>,
    due: HashSet<String>,
    /// The object as the last webhook left it; kept only while somebody might be asked again.
    left: Option<Compact>,
}

impl Reinvocation {
    /// 0, or 1 for the second.
    pub fn round(&self) -> usize {
        self.round
    }

    /// Whether something changed the object, so that all plugins run once more.
    pub fn needed(&self) -> bool {
        self.again && self.round == 0
    }

    pub fn begin_again(&mut self) {
        self.round = 1;
    }

    /// The webhooks' turn. In the second round built-in plugins may have changed what the webhooks had left.
    pub fn enter(&mut self, object: Option<&Compact>) {
        if self.round > 0 && !self.asked.is_empty() && self.left.as_ref() != object {
            self.require();
        }
    }

    /// The webhooks have had their turn.
    pub fn leave(&mut self, object: Option<&Compact>) {
        self.left = if self.asked.is_empty() {
            None
        } else {
            object.cloned()
        };
    }

    /// Whether a webhook is asked in this round.
    pub fn wants(&self, id: &str) -> bool {
        self.round == 0 || self.due.contains(id)
    }

    /// A webhook changed the object.
    pub fn changed(&mut self) {
        self.require();
        self.again = true;
    }

    /// A webhook that may be asked again was asked.
    pub fn asked(&mut self, id: &str) {
        self.asked.insert(id.to_owned());
    }

    fn require(&mut self) {
        self.due.extend(self.asked.drain());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_those_before_a_change_are_asked_again() {
        let mut state = Reinvocation::default();
        let object = Compact::of(json!({"a": 1}));
        state.enter(Some(&object));
        state.asked("first");
        state.changed();
        state.asked("second");
        state.leave(Some(&object));
        assert!(state.needed());
        state.begin_again();
        state.enter(Some(&object));
        assert_eq!((state.wants("first"), state.wants("second")), (true, false));
        assert!(!state.needed());
    }

    #[test]
    fn a_change_by_built_in_plugins_asks_all_again() {
        let mut state = Reinvocation::default();
        state.asked("only");
        state.leave(Some(&Compact::of(json!({"a": 1}))));
        state.begin_again();
        state.enter(Some(&Compact::of(json!({"a": 2}))));
        assert!(state.wants("only"));
    }
}
