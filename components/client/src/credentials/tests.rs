#![allow(clippy::unwrap_used)] // a test panics where an assumption fails

use super::*;

/// What is told of a kubeconfig with this user in its context and these users; empty if it is taken.
fn refusal(user: &str, users: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("config");
    let text = format!(
        "clusters: [{{name: c, cluster: {{server: 'https://x'}}}}]\nusers: {users}\n\
         contexts: [{{name: k, context: {{cluster: c, user: {user}}}}}]\ncurrent-context: k\n"
    );
    std::fs::write(&path, text).unwrap();
    match Credentials::from_kubeconfig(&path) {
        Ok(_) => String::new(),
        Err(error) => error.to_string().replace(&path.display().to_string(), "FILE"),
    }
}

#[test]
fn nobody_is_only_who_asks_for_it() {
    for (user, users, expected) in [
        ("''", "[]", ""),
        ("u", "[{name: u, user: {}}]", ""),
        ("u", "[{name: u, user: {token: t}}]", ""),
        (
            "u",
            "[{name: v, user: {token: t}}]",
            "kubeconfig FILE: user \"u\" was not found for context \"k\"; add it to users, or name one of those",
        ),
        (
            "u",
            "[{name: u, user: {client-certificate-data: Yw==}}]",
            "kubeconfig FILE: client-key-data or client-key must be specified for u to use the clientCert authentication method",
        ),
        (
            "u",
            "[{name: u, user: {client-key-data: aw==}}]",
            "kubeconfig FILE: client-certificate-data or client-certificate must be specified for u to use its client key",
        ),
        (
            "u",
            "[{name: u, user: {client-certificate-data: Yw==, client-key-data: aw==}}]",
            "",
        ),
    ] {
        assert_eq!(refusal(user, users), expected, "{user} {users}");
    }
}
