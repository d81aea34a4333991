use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::decode::resolve;
use super::reader::{Document, Table};

/// The `[backup]` table: snapshots that etcd's hosts take by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// systemd's `OnCalendar=`.
    pub schedule: String,
    /// How many of the newest stay, on each host and in the storage.
    pub keep: u16,
    pub directory: PathBuf,
    pub s3: Option<S3>,
}

/// The `[backup.s3]` table: S3-compatible storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// Always https.
    pub endpoint: String,
    pub bucket: String,
    /// Without slashes at its ends; may be empty.
    pub prefix: String,
    pub region: String,
    pub credentials: Credentials,
    /// PEM certificates that the endpoint's is checked against instead of the system's.
    pub authority: Option<String>,
}

/// Read from a file of the operator's, so that it stands neither in the inventory nor in a command line.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_token: Option<String>,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credentials(…)")
    }
}

impl Credentials {
    /// Reads a TOML file that only its owner may read.
    pub fn load(path: &Path) -> Result<Credentials, (String, String)> {
        use std::os::unix::fs::PermissionsExt as _;
        const SHAPE: &str = "write access_key_id = \"…\" and secret_access_key = \"…\" into it";
        let metadata = path
            .metadata()
            .map_err(|error| (format!("cannot be read: {error}"), SHAPE.to_owned()))?;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err((
                "can be read by others than its owner".to_owned(),
                format!("chmod 600 {}", path.display()),
            ));
        }
        let text = std::fs::read_to_string(path)
            .map_err(|error| (format!("cannot be read: {error}"), SHAPE.to_owned()))?;
        // The parser's message would show a piece of the file.
        toml::from_str(&text).map_err(|_| ("does not hold credentials".to_owned(), SHAPE.to_owned()))
    }

    /// As [`Credentials::load`] reads it.
    pub fn to_toml(&self) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let mut text = format!(
            "access_key_id = {}\nsecret_access_key = {}\n",
            quoted(&self.access_key_id),
            quoted(&self.secret_access_key)
        );
        if let Some(token) = &self.session_token {
            text.push_str(&format!("session_token = {}\n", quoted(token)));
        }
        text
    }
}

fn report(document: &mut Document<'_>, field: &str, value: &str, message: &str, remedy: &str) {
    let line = document.lines.of(field);
    document.report(line, field, value, message, remedy);
}

pub fn decode(document: &mut Document<'_>, mut table: Table<'_, '_>, folder: &Path) -> Option<Backup> {
    let before = document.problems.len();
    let schedule = table
        .string(document, "schedule")
        .unwrap_or_else(|| "daily".to_owned());
    let plain = |letter: char| letter.is_ascii_alphanumeric() || " *-:.,/~_+".contains(letter);
    if schedule.trim().is_empty() || !schedule.chars().all(plain) {
        report(
            document,
            "backup.schedule",
            &schedule,
            "is not a time of systemd",
            "write for example \"daily\", \"*-*-* 03:30\" or \"hourly\"; see systemd.time(7)",
        );
    }
    let keep = table
        .number(
            document,
            "keep",
            1..=10_000,
            "write how many snapshots stay, at least 1",
        )
        .unwrap_or(14);
    let directory = table
        .string(document, "directory")
        .unwrap_or_else(|| "/var/backups/hardway".to_owned());
    let named = |letter: char| letter.is_ascii_alphanumeric() || "/-._".contains(letter);
    let is_own = directory.strip_prefix('/').is_some_and(|rest| rest.contains('/'))
        && directory.chars().all(named)
        && !directory.split('/').any(|part| part == "..");
    if !is_own {
        report(
            document,
            "backup.directory",
            &directory,
            "is not a folder that could be etcd's own",
            "write an absolute path such as /var/backups/hardway",
        );
    }
    let s3 = table
        .table(document, "s3")
        .and_then(|table| s3(document, table, folder));
    table.finish(document);
    (document.problems.len() == before).then(|| Backup {
        schedule,
        keep,
        directory: directory.into(),
        s3,
    })
}

fn s3(document: &mut Document<'_>, mut table: Table<'_, '_>, folder: &Path) -> Option<S3> {
    let endpoint = table.required(document, "endpoint", "write the storage's URL, https://…");
    let bucket = table.required(document, "bucket", "write the bucket's name; it must exist");
    let prefix = table.string(document, "prefix").unwrap_or_default();
    let region = table
        .string(document, "region")
        .unwrap_or_else(|| "us-east-1".to_owned());
    let credentials = table.required(
        document,
        "credentials",
        "name a file with access_key_id = \"…\" and secret_access_key = \"…\", mode 0600",
    );
    let authority = table.string(document, "authority");
    table.finish(document);
    let endpoint = endpoint?;
    if crate::s3::endpoint(&endpoint).is_none() {
        report(
            document,
            "backup.s3.endpoint",
            &endpoint,
            "is not an https URL without a path",
            "write for example https://s3.example.test:9000; snapshots do not travel in clear",
        );
    }
    let path = resolve(folder, &credentials?);
    let credentials = match Credentials::load(&path) {
        Ok(credentials) => Some(credentials),
        Err((message, remedy)) => {
            let value = path.display().to_string();
            report(document, "backup.s3.credentials", &value, &message, &remedy);
            None
        }
    };
    let authority = authority.and_then(|name| {
        let read = std::fs::read_to_string(resolve(folder, &name))
            .map_err(|error| format!("cannot be read ({error})"))
            .and_then(|text| match pki::inspect(&text) {
                Ok(_) => Ok(text),
                Err(error) => Err(format!("holds no certificate ({error})")),
            });
        if let Err(problem) = &read {
            report(
                document,
                "backup.s3.authority",
                &name,
                problem,
                "name a PEM file, or leave it out when the system knows the authority",
            );
        }
        read.ok()
    });
    Some(S3 {
        endpoint,
        bucket: bucket?,
        prefix: prefix.trim_matches('/').to_owned(),
        region,
        credentials: credentials?,
        authority,
    })
}
