//! From flags to the audit policy and its backends.

use crate::audit::Audit;
use crate::audit::backend::{Backend, Format, Mode, Target};
use crate::audit::batch::Batching;
use crate::audit::file::{RotatingFile, Rotation};
use crate::audit::policy::Policy;
use crate::audit::truncate::Truncation;
use crate::webhook::{Clients, Endpoint, Kubeconfig, Place};
use anyhow::{Context, bail};
use component_config::kube_apiserver::ApiServerFlags;
use parking_lot::Mutex;
use std::path::Path;

/// The version of events.
const VERSION: &str = "audit.k8s.io/v1";

/// Size at which the log is rotated when none is said, megabytes; upstream's.
const USUAL_SIZE: u64 = 100;

/// Everything that the flags name; nothing is recorded without a policy.
pub fn load(flags: &ApiServerFlags, clients: &Clients) -> anyhow::Result<Audit> {
    let given = &flags.audit;
    let mut backends = Vec::new();
    if let Some(path) = &flags.audit_log_path {
        let rotation = Rotation {
            max_megabytes: match flags.audit_log_maxsize {
                0 => USUAL_SIZE,
                given => given,
            },
            max_backups: flags.audit_log_maxbackup,
            max_age: flags.audit_log_maxage,
            compress: given.audit_log_compress,
        };
        let format = match given.audit_log_format.as_str() {
            "json" => Format::Json,
            "legacy" => Format::Legacy,
            other => bail!("--audit-log-format: {other:?} is not supported; use json or legacy"),
        };
        let batching = Batching {
            buffer: given.audit_log_batch_buffer_size,
            max_size: given.audit_log_batch_max_size,
            max_wait: given.audit_log_batch_max_wait,
            throttle: given.audit_log_batch_throttle_enable.then_some((
                given.audit_log_batch_throttle_qps,
                given.audit_log_batch_throttle_burst,
            )),
        };
        let truncation = Truncation {
            max_event: given.audit_log_truncate_max_event_size,
            max_batch: given.audit_log_truncate_max_batch_size,
        };
        check("audit-log", &given.audit_log_mode, &batching, truncation)?;
        check_version("audit-log", &given.audit_log_version)?;
        let truncation = given.audit_log_truncate_enabled.then_some(truncation);
        let target = Target::File(Mutex::new(RotatingFile::open(path, rotation)?), format);
        let mode = mode(&given.audit_log_mode, batching).context("--audit-log-mode")?;
        backends.push(Backend::new(target, mode, truncation));
    }
    if let Some(file) = &given.audit_webhook_config_file {
        let batching = Batching {
            buffer: given.audit_webhook_batch_buffer_size,
            max_size: given.audit_webhook_batch_max_size,
            max_wait: given.audit_webhook_batch_max_wait,
            throttle: given.audit_webhook_batch_throttle_enable.then_some((
                given.audit_webhook_batch_throttle_qps,
                given.audit_webhook_batch_throttle_burst,
            )),
        };
        let truncation = Truncation {
            max_event: given.audit_webhook_truncate_max_event_size,
            max_batch: given.audit_webhook_truncate_max_batch_size,
        };
        check("audit-webhook", &given.audit_webhook_mode, &batching, truncation)?;
        check_version("audit-webhook", &given.audit_webhook_version)?;
        let truncation = given.audit_webhook_truncate_enabled.then_some(truncation);
        let mode = mode(&given.audit_webhook_mode, batching).context("--audit-webhook-mode")?;
        // Without a policy nobody calls it, and its file may not be there yet.
        if flags.audit_policy_file.is_some() {
            let target = Target::Webhook {
                endpoint: endpoint(file, clients).context("--audit-webhook-config-file")?,
                initial_backoff: given.audit_webhook_initial_backoff,
            };
            backends.push(Backend::new(target, mode, truncation));
        }
    }
    let policy = flags.audit_policy_file.as_deref().map(Policy::load).transpose()?;
    let has_backends = flags.audit_log_path.is_some() || given.audit_webhook_config_file.is_some();
    match policy {
        Some(policy) if has_backends => Ok(Audit::new(policy, backends)),
        None if has_backends => {
            tracing::warn!("there is no --audit-policy-file, so no event is recorded");
            Ok(Audit::default())
        }
        _ => Ok(Audit::default()),
    }
}

/// The webhook that a kubeconfig describes.
fn endpoint(file: &Path, clients: &Clients) -> anyhow::Result<Endpoint> {
    let config = Kubeconfig::load(file)?;
    let place = Place::of_server(&config.server)?;
    Ok(clients.endpoint(place, &config.bundle, config.credentials)?)
}

/// What makes no sense is said before events are lost to it.
fn check(flag: &str, mode: &str, batching: &Batching, truncation: Truncation) -> anyhow::Result<()> {
    if mode == "batch" {
        if batching.buffer == 0 {
            bail!("--{flag}-batch-buffer-size must be positive");
        }
        if batching.max_size == 0 {
            bail!("--{flag}-batch-max-size must be positive");
        }
        if let Some((rate, burst)) = batching.throttle {
            if rate <= 0.0 {
                bail!(
                    "--{flag}-batch-throttle-qps must be positive when --{flag}-batch-throttle-enable is set"
                );
            }
            if burst == 0 {
                bail!(
                    "--{flag}-batch-throttle-burst must be positive when --{flag}-batch-throttle-enable is set"
                );
            }
        }
    }
    let Truncation { max_event, max_batch } = truncation;
    if max_event == 0 {
        bail!("--{flag}-truncate-max-event-size must be positive");
    }
    if max_batch < max_event {
        bail!(
            "--{flag}-truncate-max-batch-size: {max_batch} must be greater than max event size ({max_event})"
        );
    }
    Ok(())
}

fn check_version(flag: &str, version: &str) -> anyhow::Result<()> {
    if version != VERSION {
        bail!("--{flag}-version: invalid group version, allowed versions are [{VERSION:?}]");
    }
    Ok(())
}

fn mode(text: &str, batching: Batching) -> anyhow::Result<Mode> {
    match text {
        "batch" => Ok(Mode::Batch(batching)),
        "blocking" => Ok(Mode::Blocking),
        "blocking-strict" => Ok(Mode::BlockingStrict),
        other => bail!("{other:?} is not supported; use batch, blocking or blocking-strict"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused() {
        let batching = Batching {
            buffer: 0,
            max_size: 0,
            max_wait: std::time::Duration::ZERO,
            throttle: None,
        };
        for (max_event, max_batch, mode, fits) in [
            (100, 100, "blocking", true),
            (100, 100, "batch", false),
            (100, 10, "blocking", false),
            (0, 10, "blocking", false),
        ] {
            let truncation = Truncation { max_event, max_batch };
            let outcome = check("audit-log", mode, &batching, truncation);
            assert_eq!(outcome.is_ok(), fits, "{max_event} {max_batch} {mode}");
        }
        assert!(check_version("audit-log", "audit.k8s.io/v1").is_ok());
        let refused = check_version("audit-log", "audit.k8s.io/v1beta1").unwrap_err();
        assert_eq!(
            refused.to_string(),
            "--audit-log-version: invalid group version, allowed versions are [\"audit.k8s.io/v1\"]"
        );
    }
}
