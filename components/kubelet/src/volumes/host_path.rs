//! `hostPath` volumes and their types.

use std::fs::FileType;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use k8s_openapi::api::core::v1::HostPathVolumeSource;

/// Checks the path, or makes it when its type asks for that.
pub(super) fn prepare(source: &HostPathVolumeSource) -> Result<(), String> {
    let path = Path::new(&source.path);
    if source.path.split('/').any(|part| part == "..") {
        return Err(format!("hostPath {} must not contain '..'", source.path));
    }
    let kind = source.type_.as_deref().unwrap_or_default();
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let made = match kind {
                "DirectoryOrCreate" => std::fs::create_dir_all(path)
                    .and_then(|()| std::fs::set_permissions(path, PermissionsExt::from_mode(0o755))),
                "FileOrCreate" => std::fs::File::create(path)
                    .and_then(|file| file.set_permissions(PermissionsExt::from_mode(0o644))),
                // The runtime makes a directory of a path that is not there.
                "" => return Ok(()),
                _ => return Err(mismatch(kind, &source.path)),
            };
            return made.map_err(|error| format!("hostPath {}: {error}", source.path));
        }
        Err(error) => return Err(format!("hostPath {}: {error}", source.path)),
    };
    let is = |test: fn(&FileType) -> bool| test(&metadata.file_type());
    let fits = match kind {
        "" => true,
        "Directory" | "DirectoryOrCreate" => is(FileType::is_dir),
        "File" | "FileOrCreate" => is(FileType::is_file),
        "Socket" => is(FileTypeExt::is_socket),
        "CharDevice" => is(FileTypeExt::is_char_device),
        "BlockDevice" => is(FileTypeExt::is_block_device),
        _ => return Err(format!("hostPath type {kind:?} is not known")),
    };
    if fits {
        Ok(())
    } else {
        Err(mismatch(kind, &source.path))
    }
}

fn mismatch(kind: &str, path: &str) -> String {
    let what = match kind {
        "Directory" | "DirectoryOrCreate" => "a directory",
        "File" | "FileOrCreate" => "a file",
        "Socket" => "a socket file",
        "CharDevice" => "a character device",
        "BlockDevice" => "a block device",
        other => return format!("hostPath type {other:?} is not known"),
    };
    format!("hostPath type check failed: {path} is not {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_checked_and_made() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        let prepare = |name: &str, kind: &str| {
            prepare(&HostPathVolumeSource {
                path: path(name),
                type_: Some(kind.to_owned()),
            })
        };
        assert!(
            prepare("none", "Directory")
                .unwrap_err()
                .contains("is not a directory")
        );
        assert!(prepare("none", "").is_ok());
        assert!(prepare("made", "DirectoryOrCreate").is_ok());
        assert!(prepare("made", "Directory").is_ok());
        assert!(prepare("made", "File").is_err());
        assert!(prepare("file", "FileOrCreate").is_ok());
        assert!(prepare("file", "Socket").is_err());
        assert!(prepare("a/../b", "").is_err());
        assert!(prepare("made", "Other").is_err());
    }
}
