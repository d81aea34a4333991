//! PodDisruptionBudgets, as far as victims are concerned.

use std::collections::BTreeSet;

use crate::model::Pod;
use crate::model::selector::Selector;

#[derive(Clone, Debug, PartialEq)]
pub struct DisruptionBudget {
    pub namespace: String,
    pub selector: Selector,
    pub disruptions_allowed: i64,
    /// Pods whose eviction has been granted already.
    pub disrupted_pods: BTreeSet<String>,
}

impl DisruptionBudget {
    /// Whether deleting the pod counts against the budget.
    fn covers(&self, pod: &Pod) -> bool {
        self.namespace == pod.namespace
            && !pod.labels.is_empty()
            && !self.selector.is_empty()
            && self.selector.matches(&pod.labels)
            && !self.disrupted_pods.contains(&pod.name)
    }
}

/// Tells for each pod in turn whether deleting it, after those before it, would violate a budget.
pub fn violations(pods: &[&Pod], budgets: &[&DisruptionBudget]) -> Vec<bool> {
    let mut left: Vec<i64> = budgets.iter().map(|budget| budget.disruptions_allowed).collect();
    pods.iter()
        .map(|pod| {
            let mut violates = false;
            for (budget, left) in budgets.iter().zip(&mut left) {
                if budget.covers(pod) {
                    *left -= 1;
                    violates |= *left < 0;
                }
            }
            violates
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_allows_so_many_and_no_more() {
        let labels: crate::model::selector::Labels = [("app".to_owned(), "x".to_owned())].into();
        let pod = |name: &str| Pod {
            name: name.to_owned(),
            namespace: "n".to_owned(),
            labels: labels.clone(),
            ..Pod::default()
        };
        let budget = DisruptionBudget {
            namespace: "n".to_owned(),
            selector: Selector::of_map(&labels),
            disruptions_allowed: 1,
            disrupted_pods: ["b".to_owned()].into(),
        };
        let (a, b, c) = (pod("a"), pod("b"), pod("c"));
        assert_eq!(violations(&[&a, &b, &c], &[&budget]), [false, false, true]);
    }
}
