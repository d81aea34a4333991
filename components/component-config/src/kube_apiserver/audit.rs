//! Flags of the audit backends, beyond the log's file and rotation.

use crate::flags::parse_duration;
use clap::Args;
use std::path::PathBuf;
use std::time::Duration;

/// How events get to the log and to a webhook.
#[derive(Args, Clone, Debug)]
pub struct AuditFlags {
    /// Version of the events in the log, and of those that the webhook gets.
    #[arg(long, default_value = "audit.k8s.io/v1")]
    pub audit_log_version: String,
    #[arg(long, default_value = "audit.k8s.io/v1")]
    pub audit_webhook_version: String,
    /// `json` or `legacy`.
    #[arg(long, default_value = "json")]
    pub audit_log_format: String,
    /// `batch`, `blocking` or `blocking-strict`.
    #[arg(long, default_value = "blocking")]
    pub audit_log_mode: String,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub audit_log_compress: bool,
    #[arg(long, default_value_t = 10_000)]
    pub audit_log_batch_buffer_size: usize,
    #[arg(long, default_value_t = 1)]
    pub audit_log_batch_max_size: usize,
    #[arg(long, value_parser = parse_duration, default_value = "0s")]
    pub audit_log_batch_max_wait: Duration,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub audit_log_batch_throttle_enable: bool,
    #[arg(long, default_value_t = 0.0)]
    pub audit_log_batch_throttle_qps: f64,
    #[arg(long, default_value_t = 0)]
    pub audit_log_batch_throttle_burst: u32,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub audit_log_truncate_enabled: bool,
    #[arg(long, default_value_t = 102_400)]
    pub audit_log_truncate_max_event_size: usize,
    #[arg(long, default_value_t = 10_485_760)]
    pub audit_log_truncate_max_batch_size: usize,
    /// Kubeconfig of the webhook that takes events.
    #[arg(long)]
    pub audit_webhook_config_file: Option<PathBuf>,
    #[arg(long, default_value = "batch")]
    pub audit_webhook_mode: String,
    #[arg(
        long,
        alias = "audit-webhook-batch-initial-backoff",
        value_parser = parse_duration,
        default_value = "10s"
    )]
    pub audit_webhook_initial_backoff: Duration,
    #[arg(long, default_value_t = 10_000)]
    pub audit_webhook_batch_buffer_size: usize,
    #[arg(long, default_value_t = 400)]
    pub audit_webhook_batch_max_size: usize,
    #[arg(long, value_parser = parse_duration, default_value = "30s")]
    pub audit_webhook_batch_max_wait: Duration,
    #[arg(long, num_args = 0..=1, default_value_t = true, default_missing_value = "true", require_equals = true, action = clap::ArgAction::Set)]
    pub audit_webhook_batch_throttle_enable: bool,
    #[arg(long, default_value_t = 10.0)]
    pub audit_webhook_batch_throttle_qps: f64,
    #[arg(long, default_value_t = 15)]
    pub audit_webhook_batch_throttle_burst: u32,
    #[arg(long, num_args = 0..=1, default_value_t = false, default_missing_value = "true", require_equals = true)]
    pub audit_webhook_truncate_enabled: bool,
    #[arg(long, default_value_t = 102_400)]
    pub audit_webhook_truncate_max_event_size: usize,
    #[arg(long, default_value_t = 10_485_760)]
    pub audit_webhook_truncate_max_batch_size: usize,
}
