//! YAML as Kubernetes reads and writes it: version 1.1, in which `yes` is a boolean and `0644` is a number, as sigs.k8s.io/yaml
//! has it. Libraries for version 1.2 read the same manifests differently, and write texts that readers of 1.1 take for
//! something else.
mod read;
mod scalar;
mod write;

pub use read::{YamlError, parse};
pub use write::to_string;
