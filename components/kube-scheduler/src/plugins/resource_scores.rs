//! Scores by how full a node would be: NodeResourcesFit and NodeResourcesBalancedAllocation.

use component_config::kube_scheduler::{
    ResourceSpec, ScoringStrategy, ScoringStrategyType, UtilizationShapePoint,
};

use crate::cluster::{Cluster, NodeSlot};
use crate::model::Pod;

/// One resource: what each node has, what is taken, and what the pod adds.
struct Column<'a> {
    allocatable: &'a [i64],
    requested: &'a [i64],
    added: i64,
    weight: i64,
}

impl Column<'_> {
    fn of(&self, node: NodeSlot) -> (i64, i64) {
        let node = node as usize;
        let requested = self.requested.get(node).copied().unwrap_or(0);
        (
            requested + self.added,
            self.allocatable.get(node).copied().unwrap_or(0),
        )
    }
}

/// `actual` requests, or those with defaults for containers that ask for nothing.
fn columns<'a>(cluster: &'a Cluster, pod: &Pod, resources: &[ResourceSpec], actual: bool) -> Vec<Column<'a>> {
    let nodes = &cluster.nodes;
    resources
        .iter()
        .filter_map(|resource| {
            let name = resource.name.as_str();
            let allocatable = nodes.allocatable.column(name)?;
            let (requested, added) = match name {
                "cpu" if !actual => (&nodes.nonzero_milli_cpu[..], pod.requests.nonzero_milli_cpu),
                "memory" if !actual => (&nodes.nonzero_memory[..], pod.requests.nonzero_memory),
                _ => (
                    nodes.requested.column(name).unwrap_or(&[]),
                    pod.requests.actual.amount(name),
                ),
            };
            // Nodes with a scalar resource are not told apart for pods that do not ask for it.
            let scalar = !matches!(name, "cpu" | "memory" | "ephemeral-storage");
            (!scalar || added > 0).then_some(Column {
                allocatable,
                requested,
                added,
                weight: resource.weight,
            })
        })
        .collect()
}

/// NodeResourcesFit's scores, 0..=100.
pub fn fit(cluster: &Cluster, pod: &Pod, strategy: &ScoringStrategy, nodes: &[NodeSlot]) -> Vec<i64> {
    let columns = columns(cluster, pod, &strategy.resources, false);
    let shape = strategy
        .requested_to_capacity_ratio
        .as_ref()
        .map_or(&[][..], |ratio| &ratio.shape);
    nodes
        .iter()
        .map(|node| fit_one(&columns, strategy.kind, shape, *node))
        .collect()
}

fn fit_one(
    columns: &[Column],
    kind: ScoringStrategyType,
    shape: &[UtilizationShapePoint],
    node: NodeSlot,
) -> i64 {
    let (mut sum, mut weights) = (0i64, 0i64);
    for column in columns {
        let (requested, allocatable) = column.of(node);
        if allocatable == 0 {
            continue;
        }
        let score = match kind {
            ScoringStrategyType::LeastAllocated => least_allocated(requested, allocatable),
            ScoringStrategyType::MostAllocated => most_allocated(requested, allocatable),
            ScoringStrategyType::RequestedToCapacityRatio => {
                let score = on_shape(shape, utilization(requested, allocatable));
                if score == 0 {
                    continue;
                }
                score
            }
        };
        sum += score * column.weight;
        weights += column.weight;
    }
    match (weights, kind) {
        (0, _) => 0,
        (_, ScoringStrategyType::RequestedToCapacityRatio) => (sum as f64 / weights as f64).round() as i64,
        _ => sum / weights,
    }
}

fn least_allocated(requested: i64, allocatable: i64) -> i64 {
    if requested > allocatable {
        0
    } else {
        percent(allocatable - requested, allocatable)
    }
}

fn most_allocated(requested: i64, allocatable: i64) -> i64 {
    percent(requested.min(allocatable), allocatable)
}

fn utilization(requested: i64, allocatable: i64) -> i64 {
    if requested > allocatable {
        100
    } else {
        percent(requested, allocatable)
    }
}

fn percent(part: i64, whole: i64) -> i64 {
    match part.checked_mul(100) {
        Some(hundredfold) => hundredfold / whole,
        None => (i128::from(part) * 100 / i128::from(whole)) as i64,
    }
}

/// The score on a broken line through the shape's points, whose scores go to 10.
fn on_shape(shape: &[UtilizationShapePoint], utilization: i64) -> i64 {
    let point = |at: usize| (i64::from(shape[at].utilization), i64::from(shape[at].score) * 10);
    for at in 0..shape.len() {
        let (x, y) = point(at);
        if utilization <= x {
            if at == 0 {
                return y;
            }
            let (before_x, before_y) = point(at - 1);
            return before_y + (y - before_y) * (utilization - before_x) / (x - before_x);
        }
    }
    if shape.is_empty() {
        0
    } else {
        point(shape.len() - 1).1
    }
}

/// NodeResourcesBalancedAllocation's scores, 0..=100. None for a pod that asks for none of the resources.
pub fn balanced(
    cluster: &Cluster,
    pod: &Pod,
    resources: &[ResourceSpec],
    nodes: &[NodeSlot],
) -> Option<Vec<i64>> {
    let columns = columns(cluster, pod, resources, true);
    if resources
        .iter()
        .all(|resource| pod.requests.actual.amount(&resource.name) == 0)
    {
        return None;
    }
    Some(nodes.iter().map(|node| balanced_one(&columns, *node)).collect())
}

fn balanced_one(columns: &[Column], node: NodeSlot) -> i64 {
    let fraction = |column: &Column| {
        let (requested, allocatable) = column.of(node);
        (allocatable != 0).then(|| (requested as f64 / allocatable as f64).min(1.0))
    };
    let (mut count, mut sum) = (0usize, 0f64);
    for fraction in columns.iter().filter_map(fraction) {
        count += 1;
        sum += fraction;
    }
    if count < 2 {
        return 100;
    }
    let mean = sum / count as f64;
    let squares: f64 = columns
        .iter()
        .filter_map(fraction)
        .map(|fraction| (fraction - mean) * (fraction - mean))
        .sum();
    let deviation = if count == 2 {
        // The same as the root of the mean square, without its rounding.
        let mut fractions = columns.iter().filter_map(fraction);
        match (fractions.next(), fractions.next()) {
            (Some(one), Some(other)) => ((one - other) / 2.0).abs(),
            _ => 0.0,
        }
    } else {
        (squares / count as f64).sqrt()
    };
    ((1.0 - deviation) * 100.0) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strategies() {
        for (requested, allocatable, least, most) in [
            (0, 100, 100, 0),
            (25, 100, 75, 25),
            (100, 100, 0, 100),
            (150, 100, 0, 100),
            (1, 3, 66, 33),
        ] {
            assert_eq!(least_allocated(requested, allocatable), least);
            assert_eq!(most_allocated(requested, allocatable), most);
        }
        let shape = [(0, 0), (50, 10), (100, 5)]
            .map(|(utilization, score)| UtilizationShapePoint { utilization, score });
        for (utilization, score) in [(0, 0), (25, 50), (50, 100), (75, 75), (100, 50)] {
            assert_eq!(on_shape(&shape, utilization), score, "{utilization}");
        }
    }

    #[test]
    fn balance_is_the_distance_between_the_fractions() {
        let column = |requested: &'static [i64], allocatable: &'static [i64]| Column {
            allocatable,
            requested,
            added: 0,
            weight: 1,
        };
        let score = |columns: &[Column]| balanced_one(columns, 0);
        assert_eq!(score(&[column(&[50], &[100]), column(&[50], &[100])]), 100);
        assert_eq!(score(&[column(&[100], &[100]), column(&[0], &[100])]), 50);
        assert_eq!(score(&[column(&[300], &[100]), column(&[50], &[100])]), 75);
        assert_eq!(score(&[column(&[50], &[100]), column(&[1], &[0])]), 100);
    }
}
