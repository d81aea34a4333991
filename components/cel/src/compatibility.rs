//! Functions that older servers of a cluster don't know: they are refused in expressions that are stored anew, and work in those
//! that are stored already.

use std::cell::RefCell;
use std::collections::HashSet;

/// The minor of Kubernetes' version 1 that knows all functions there are.
pub const NEWEST: u32 = 34;

/// Who checks objects knows neither versions nor what was stored, and compiles on the thread that it is called on.
struct Scope {
    minor: u32,
    known: HashSet<String>,
}

thread_local! {
    static SCOPES: RefCell<Vec<Scope>> = const { RefCell::new(Vec::new()) };
}

/// Ends the innermost scope, also when what ran in it panics.
struct Leave;

impl Drop for Leave {
    fn drop(&mut self) {
        SCOPES.with_borrow_mut(|scopes| scopes.pop());
    }
}

/// Runs what checks an object before it is stored: expressions that it compiles may only use functions that this minor of version
/// 1 has, except for those that are `known` since they are stored already.
pub fn storing<T>(minor: u32, known: HashSet<String>, check: impl FnOnce() -> T) -> T {
    SCOPES.with_borrow_mut(|scopes| scopes.push(Scope { minor, known }));
    let _leave = Leave;
    check()
}

/// The minor that must know the functions of an expression.
pub(crate) fn minor(text: &str) -> u32 {
    SCOPES.with_borrow(|scopes| match scopes.last() {
        Some(scope) if !scope.known.contains(text) => scope.minor,
        _ => u32::MAX,
    })
}
