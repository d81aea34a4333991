use super::{CertificateChange, Change, HostPlan};
use crate::desired::Desired;
use crate::identities::Secrets;

const DAY: u64 = 86_400;

/// The certificates among the files that a host gets.
pub fn certificates(
    host: &str,
    desired: &Desired,
    plan: &HostPlan,
    secrets: &Secrets,
) -> Vec<CertificateChange> {
    let changed = plan
        .files
        .iter()
        .filter(|file| file.path.ends_with(".crt") && file.change != Change::Remove);
    let mut found = Vec::new();
    for file in changed {
        let text = desired.text(&file.path);
        let Ok(certificate) = pki::inspect(&text) else {
            continue;
        };
        let name = file.path.trim_start_matches("pki/").trim_end_matches(".crt");
        let issued = secrets
            .issued
            .iter()
            .find(|(holder, profile, _)| holder == host && *profile == name)
            .map(|(_, _, reason)| reason.clone())
            // An authority that this run makes, perhaps beside one that is there.
            .or_else(|| {
                let made = secrets.fresh.iter().any(|made| text.contains(made.as_str()));
                made.then(|| "new".to_owned())
            });
        let mut subject = format!("CN={}", certificate.common_name);
        for organization in &certificate.organizations {
            subject.push_str(&format!(",O={organization}"));
        }
        let addresses = certificate.addresses.iter().map(ToString::to_string);
        let lifetime = certificate
            .not_after
            .duration_since(certificate.not_before)
            .unwrap_or_default();
        found.push(CertificateChange {
            path: file.path.clone(),
            subject,
            issuer: certificate.issuer,
            names: certificate.dns_names.iter().cloned().chain(addresses).collect(),
            lifetime_days: lifetime.as_secs() / DAY,
            reason: issued,
        });
    }
    found
}
