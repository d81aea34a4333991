use std::path::Path;

use super::decode::resolve;
use super::reader::{Document, Table};
use super::{Bastion, SshSettings};

/// What holds where the inventory says nothing.
pub fn default_ssh() -> SshSettings {
    SshSettings {
        user: "root".to_owned(),
        port: 22,
        key: None,
        bastion: None,
        sudo: false,
        known_hosts: None,
    }
}

/// An `[ssh]` or `[hosts.ssh]` table, over what holds already.
pub fn ssh(
    document: &mut Document<'_>,
    mut table: Table<'_, '_>,
    folder: &Path,
    over: &SshSettings,
) -> SshSettings {
    let mut settings = over.clone();
    if let Some(user) = table.string(document, "user") {
        settings.user = user;
    }
    if let Some(port) = table.port(document, "port") {
        settings.port = port;
    }
    let key_field = table.field("key");
    if let Some(key) = table.string(document, "key") {
        let path = resolve(folder, &key);
        if !path.is_file() {
            let line = document.lines.of(&key_field);
            let remedy = format!(
                "create it with ssh-keygen -t ed25519 -f {}, or correct the path",
                path.display()
            );
            document.report(line, &key_field, &key, "no such key file", &remedy);
        }
        settings.key = Some(path);
    }
    let bastion_field = table.field("bastion");
    if let Some(text) = table.string(document, "bastion") {
        settings.bastion = bastion(&text);
        if settings.bastion.is_none() {
            let line = document.lines.of(&bastion_field);
            document.report(
                line,
                &bastion_field,
                &text,
                "is not a bastion",
                "write [user@]host[:port]",
            );
        }
    }
    if let Some(sudo) = table.boolean(document, "sudo") {
        settings.sudo = sudo;
    }
    if let Some(file) = table.string(document, "known_hosts") {
        settings.known_hosts = Some(resolve(folder, &file));
    }
    table.finish(document);
    settings
}

fn bastion(text: &str) -> Option<Bastion> {
    let (user, rest) = match text.split_once('@') {
        Some((user, rest)) => (Some(user.to_owned()), rest),
        None => (None, text),
    };
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) => (host, port.parse().ok()?),
        None => (rest, 22),
    };
    let named = !host.is_empty() && user.as_deref() != Some("") && port > 0;
    named.then(|| Bastion {
        user,
        host: host.to_owned(),
        port,
    })
}
