use crate::status::{ApiError, Cause, Details, Reason};

/// The answer to an apply of fields that others own: each manager, as conflicts name it, with a path.
pub(super) fn conflict(conflicts: &[(String, String)]) -> ApiError {
    let message = match conflicts {
        [(manager, path)] => format!("Apply failed with 1 conflict: conflict with {manager}: {path}"),
        several => format!(
            "Apply failed with {} conflicts: {}",
            several.len(),
            by_manager(several)
        ),
    };
    let causes = conflicts
        .iter()
        .map(|(manager, path)| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {manager}"),
            field: path.clone(),
        })
        .collect();
    ApiError::new(
        409,
        Reason::Conflict,
        message,
        Some(Details {
            causes,
            ..Details::default()
        }),
    )
}

/// The paths below their managers, which are sorted.
fn by_manager(conflicts: &[(String, String)]) -> String {
    let mut managers: Vec<&str> = conflicts.iter().map(|(manager, _)| manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let mut lines = Vec::new();
    for manager in managers {
        lines.push(format!("conflicts with {manager}:"));
        let of_manager = conflicts.iter().filter(|(other, _)| other == manager);
        lines.extend(of_manager.map(|(_, path)| format!("- {path}")));
    }
    lines.join("\n")
}
