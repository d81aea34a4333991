//! The conditions of an autoscaler: pure.

use jiff::Timestamp;
use k8s_openapi::api::autoscaling::v2::{HorizontalPodAutoscalerCondition, HorizontalPodAutoscalerStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

/// Sets a condition; its time changes with its status.
pub fn set(
    status: &mut HorizontalPodAutoscalerStatus,
    kind: &str,
    on: bool,
    reason: &str,
    message: impl Into<String>,
    now: Timestamp,
) {
    let text = if on { "True" } else { "False" };
    let conditions = status.conditions.get_or_insert_default();
    let at = match conditions.iter().position(|condition| condition.type_ == kind) {
        Some(at) => at,
        None => {
            conditions.push(HorizontalPodAutoscalerCondition {
                type_: kind.to_owned(),
                ..Default::default()
            });
            conditions.len() - 1
        }
    };
    let condition = &mut conditions[at];
    if condition.status != text {
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        condition.last_transition_time = Some(Time(seconds));
    }
    condition.status = text.to_owned();
    condition.reason = Some(reason.to_owned());
    condition.message = Some(message.into());
}
