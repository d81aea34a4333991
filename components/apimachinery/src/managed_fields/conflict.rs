use crate::status::{ApiError, Cause, Details, Reason};

/// The answer to an apply of fields that others own: each manager, as conflicts name it, with a path.
pub(super) fn conflict(conflicts: &[(String, String)]) -> ApiError {
    let mut managers: Vec<&str> = conflicts.iter().map(|(manager, _)| manager.as_str()).collect();
    managers.sort_unstable();
    managers.dedup();
    let texts: Vec<String> = managers
        .into_iter()
        .map(|manager| {
            let paths: Vec<&str> = conflicts
                .iter()
                .filter(|(other, _)| other == manager)
                .map(|(_, path)| path.as_str())
                .collect();
            match paths[..] {
                [path] => format!("conflict with {manager}: {path}"),
                _ => format!(
                    "conflicts with {manager}:{}",
                    paths.iter().map(|path| format!("\n- {path}")).collect::<String>()
                ),
            }
        })
        .collect();
    let noun = if conflicts.len() == 1 {
        "conflict"
    } else {
        "conflicts"
    };
    let causes = conflicts
        .iter()
        .map(|(manager, path)| Cause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {manager}"),
            field: path.clone(),
        })
        .collect();
    let message = format!(
        "Apply failed with {} {noun}: {}",
        conflicts.len(),
        texts.join("\n")
    );
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
