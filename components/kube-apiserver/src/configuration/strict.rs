//! Configuration files that upstream decodes strictly.

use crate::kinds::yaml;
use anyhow::bail;

/// Refuses what a mapping says twice, in upstream's words: which of both holds would not be seen.
pub fn once(text: &str) -> anyhow::Result<()> {
    match yaml::error(&yaml::duplicates(text.as_bytes())) {
        Some(error) => bail!("strict decoding error: {error}"),
        None => Ok(()),
    }
}
