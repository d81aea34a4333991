use crate::protobuf::table::{Entry, Message, TABLE};
use std::collections::HashMap;
use std::sync::LazyLock;

/// Where each JSON field of a message goes: its number, behind the numbers of the messages that JSON has inline.
pub type Plan = HashMap<String, Box<[u32]>, ahash::RandomState>;

/// Plans by the full name of the schema.
pub static PLANS: LazyLock<HashMap<&'static str, Plan, ahash::RandomState>> = LazyLock::new(|| {
    TABLE
        .iter()
        .map(|(name, message)| {
            let mut plan = Plan::default();
            collect(message, &mut Vec::new(), &mut plan);
            (name.as_str(), plan)
        })
        .collect()
});

fn collect(message: &Message, path: &mut Vec<u32>, plan: &mut Plan) {
    for (number, entry) in message {
        path.push(*number);
        match entry {
            Entry::Named(name) => {
                plan.insert(name.clone(), path.as_slice().into());
            }
            Entry::Inline(inner) => collect(inner, path, plan),
        }
        path.pop();
    }
}
