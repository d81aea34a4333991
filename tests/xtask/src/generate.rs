//! Data of the `api` crate, made from recordings of the reference.
mod descriptions;
mod presence;
mod prost;
mod registry;
mod schemas;

use anyhow::{Context, Result};
use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::Value;
use std::io::{Read, Write};
use std::path::Path;

/// Writes all generated files of the `api` crate to `out`.
pub fn api_data(reference: &Path, protobuf: &Path, answers: &Path, out: &Path) -> Result<()> {
    std::fs::create_dir_all(out)?;
    let raw = read_json(&reference.join("openapi-v3-schemas.json.gz"))?;
    let messages = prost::read(protobuf)?;
    let pairs = read_json(&reference.join("protobuf-pairs.json.gz"))?;
    let presence = presence::learn(&raw, &messages, &pairs);
    let model = schemas::model(&raw, &presence)?;
    write_gz(&out.join("model.json.gz"), &serde_json::to_vec(&model)?)?;
    let answers = read_gz(answers)?;
    let registry = registry::build(
        &read_json(&reference.join("discovery.json.gz"))?,
        &read_json(&reference.join("table-columns.json.gz"))?,
        &answers,
    )?;
    write_gz(&out.join("registry.json.gz"), &serde_json::to_vec(&registry)?)?;
    write_gz(&out.join("openapi-schemas.json.gz"), &serde_json::to_vec(&raw)?)?;
    let paths = read_json(&reference.join("openapi-v3-paths.json.gz"))?;
    write_gz(&out.join("openapi-paths.json.gz"), &serde_json::to_vec(&paths)?)?;
    let texts = descriptions::collect(&raw, &messages);
    write_gz(&out.join("descriptions.json.gz"), &serde_json::to_vec(&texts)?)?;
    let options = descriptions::options(&messages);
    write_gz(&out.join("options.json.gz"), &serde_json::to_vec(&options)?)?;
    Ok(())
}

/// Fails with the names of the files whose content differs; how they are compressed does not matter.
pub fn compare(fresh: &Path, kept: &Path) -> Result<()> {
    let mut different = Vec::new();
    for entry in std::fs::read_dir(fresh)? {
        let name = entry?.file_name();
        if read_gz(&fresh.join(&name))? != read_gz(&kept.join(&name)).unwrap_or_default() {
            different.push(name.to_string_lossy().into_owned());
        }
    }
    different.sort();
    anyhow::ensure!(different.is_empty(), "not as generated: {}", different.join(", "));
    Ok(())
}

fn read_gz(path: &Path) -> Result<String> {
    let file = std::fs::File::open(path).with_context(|| path.display().to_string())?;
    let mut text = String::new();
    GzDecoder::new(file).read_to_string(&mut text)?;
    Ok(text)
}

fn read_json(path: &Path) -> Result<Value> {
    serde_json::from_str(&read_gz(path)?).with_context(|| path.display().to_string())
}

fn write_gz(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    std::fs::write(path, encoder.finish()?)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_named() {
        let (fresh, kept) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        for (name, new, old) in [
            ("a.gz", "1", Some("1")),
            ("b.gz", "1", Some("2")),
            ("c.gz", "1", None),
        ] {
            write_gz(&fresh.path().join(name), new.as_bytes()).unwrap();
            if let Some(old) = old {
                write_gz(&kept.path().join(name), old.as_bytes()).unwrap();
            }
        }
        let error = compare(fresh.path(), kept.path()).unwrap_err();
        assert_eq!(error.to_string(), "not as generated: b.gz, c.gz");
    }
}
