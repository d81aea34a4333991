use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::key::OneTimeKey;
use super::relay::Address;
use crate::artifacts::{Codec, compressed};
use crate::facts::Facts;
use crate::shell::Shell;
use crate::ssh::Progress;
use crate::state::State;
use crate::survey::Survey;

const RECEIVE: &str = include_str!("../../../templates/scripts/receive.sh");
const FETCH: &str = include_str!("../../../templates/scripts/fetch.sh");
/// Where a relay keeps what it passes on.
const KEPT: &str = "/opt/hardway/relay";

/// What a host lacks, compressed, in the order in which it travels.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    codec: Codec,
    files: Vec<Compressed>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Compressed {
    /// Of the content that is unpacked.
    sha256: String,
    name: String,
    path: PathBuf,
    size: u64,
}

/// How files travel to a host.
fn codec(facts: &Facts) -> Codec {
    if facts.tool("zstd").is_some() {
        Codec::Zstd
    } else {
        Codec::Gzip
    }
}

/// Each file is compressed once, by one of as many threads as there are files. Hosts that lack nothing are left out.
pub fn prepare(state: &State, survey: &Survey) -> anyhow::Result<BTreeMap<String, Arc<Package>>> {
    let mut wanted = BTreeMap::new();
    for (host, plan) in &survey.plans {
        let codec = codec(&survey.facts[host]);
        for artifact in &survey.desired[host].artifacts {
            if plan.pushes.iter().any(|push| push.sha256 == artifact.sha256) {
                wanted.insert((artifact.sha256.as_str(), codec), artifact);
            }
        }
    }
    let mut ready = BTreeMap::new();
    std::thread::scope(|scope| {
        let threads: Vec<_> = wanted
            .iter()
            .map(|(key, artifact)| (*key, scope.spawn(|| compressed(state, artifact, key.1))))
            .collect();
        for ((sha256, codec), thread) in threads {
            let path = thread
                .join()
                .map_err(|_| anyhow::anyhow!("a compression thread panicked"))??;
            let size = path
                .metadata()
                .with_context(|| format!("cannot read {}", path.display()))?
                .len();
            let file = Compressed {
                sha256: sha256.to_owned(),
                name: wanted[&(sha256, codec)].name.clone(),
                path,
                size,
            };
            ready.insert((sha256.to_owned(), codec), file);
        }
        anyhow::Ok(())
    })?;
    let package = |(host, plan): (&String, &crate::plan::HostPlan)| {
        let codec = codec(&survey.facts[host]);
        let lacked = plan.pushes.iter();
        let files: Vec<Compressed> = lacked
            .filter_map(|push| ready.get(&(push.sha256.clone(), codec)).cloned())
            .collect();
        (!files.is_empty()).then(|| (host.clone(), Arc::new(Package { codec, files })))
    };
    Ok(survey.plans.iter().filter_map(package).collect())
}

impl Package {
    /// Bytes that travel.
    pub fn size(&self) -> u64 {
        self.files.iter().map(|file| file.size).sum()
    }

    fn names(&self) -> String {
        let names: Vec<&str> = self.files.iter().map(|file| file.name.as_str()).collect();
        names.join(", ")
    }

    fn receive_script(&self, keep: bool) -> String {
        let files: Vec<String> = self
            .files
            .iter()
            .map(|file| format!("{} {}", file.sha256, file.size))
            .collect();
        RECEIVE
            .replace("@FILES@", &files.join(" "))
            .replace("@KEEP@", if keep { KEPT } else { "" })
            .replace("@UNPACK@", self.codec.unpack())
    }

    /// Sends everything through one command.
    pub fn upload(&self, connection: &dyn Shell, keep: bool, sent: Progress<'_>) -> anyhow::Result<()> {
        let mut input: Box<dyn Read> = Box::new(std::io::empty());
        for file in &self.files {
            let opened = std::fs::File::open(&file.path)
                .with_context(|| format!("cannot read {}", file.path.display()))?;
            input = Box::new(input.chain(opened));
        }
        let doing = format!("pushing {}", self.names());
        connection.check(&doing, &self.receive_script(keep), &mut input, sent)?;
        Ok(())
    }

    /// Has the host take everything from a relay.
    pub fn fetch(
        &self,
        connection: &dyn Shell,
        source: &Address,
        key: &OneTimeKey,
        keep: bool,
    ) -> anyhow::Result<()> {
        let hashes: Vec<&str> = self.files.iter().map(|file| file.sha256.as_str()).collect();
        let script = FETCH
            .replace("@RELAY_KEY@", &source.key)
            .replace("@PORT@", &source.port.to_string())
            .replace("@ADDRESS@", &source.address)
            .replace("@HASHES@", &hashes.join(" "))
            .replace("@RECEIVE@", &self.receive_script(keep));
        let doing = format!("receiving {} from {}", self.names(), source.name);
        connection.check(&doing, &script, &mut key.private.as_bytes(), &|_| {})?;
        Ok(())
    }
}
