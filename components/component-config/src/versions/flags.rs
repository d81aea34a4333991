use super::EffectiveVersion;
use clap::Args;

/// The flags, as every component of the control plane has them.
#[derive(Args, Clone, Debug, Default)]
pub struct VersionFlags {
    /// The version whose features and APIs there are: `1.33` to `1.36`, or `kube=` before it.
    #[arg(long, value_delimiter = ',')]
    pub emulated_version: Vec<String>,
    /// The oldest version that other servers of the cluster may be of; the one before the emulated version when left out.
    #[arg(long, value_delimiter = ',')]
    pub min_compatibility_version: Vec<String>,
}

impl VersionFlags {
    /// What they come to.
    ///
    /// # Errors
    ///
    /// As [`EffectiveVersion::from_flags`].
    pub fn effective(&self) -> Result<EffectiveVersion, String> {
        EffectiveVersion::from_flags(&self.emulated_version, &self.min_compatibility_version)
    }
}
