//! Keeping events and batches to a size that backends take.

use serde_json::{Value, json};

/// Limits of `--audit-*-truncate-*`, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncation {
    pub max_event: usize,
    pub max_batch: usize,
}

impl Truncation {
    /// The event as it may be sent: without its objects when they make it too large; `None` if that doesn't help.
    pub fn event(&self, mut event: Value) -> Option<Value> {
        if event.to_string().len() <= self.max_event {
            return Some(event);
        }
        if let Some(fields) = event.as_object_mut() {
            fields.remove("requestObject");
            fields.remove("responseObject");
        }
        event["annotations"]["audit.k8s.io/truncated"] = json!("true");
        (event.to_string().len() <= self.max_event).then_some(event)
    }

    /// Splits events into batches of at most the size; and the number of those that are too large whatever is done.
    pub fn batches(&self, events: Vec<Value>) -> (Vec<Vec<Value>>, u64) {
        let mut batches: Vec<Vec<Value>> = Vec::new();
        let (mut size, mut lost) = (usize::MAX, 0);
        for event in events {
            let Some(event) = self.event(event) else {
                lost += 1;
                continue;
            };
            let length = event.to_string().len();
            match batches.last_mut() {
                Some(batch) if size.saturating_add(length) <= self.max_batch => {
                    size += length;
                    batch.push(event);
                }
                _ => {
                    size = length;
                    batches.push(vec![event]);
                }
            }
        }
        (batches, lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_events_lose_their_objects_and_batches_are_split() {
        let truncation = Truncation {
            max_event: 200,
            max_batch: 100,
        };
        let small = json!({"auditID": "a", "requestObject": {"x": 1}});
        assert_eq!(truncation.event(small.clone()), Some(small.clone()));
        let large = json!({"auditID": "a", "responseObject": "x".repeat(300)});
        let cut = truncation.event(large).unwrap();
        assert_eq!(
            cut,
            json!({"auditID": "a", "annotations": {"audit.k8s.io/truncated": "true"}})
        );
        assert_eq!(truncation.event(json!({"requestURI": "x".repeat(300)})), None);
        let mut events = vec![small.clone(); 5];
        events.push(json!({"requestURI": "x".repeat(300)}));
        let (split, lost) = truncation.batches(events);
        assert_eq!(lost, 1);
        assert_eq!(split.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 1]);
    }
}
