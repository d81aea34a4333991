//! A bundle takes the place of the release, and of the packages that hosts lack.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Kind, MANIFEST, Manifest, PublicKey, archive, packages};
use crate::fleet::Fleet;
use crate::inventory::{Host, Inventory};
use crate::state::{State, UpgradedRelease, private_folder, read_file};
use crate::survey::ask;
use crate::ui::Ui;

/// A bundle that was checked and unpacked.
pub struct Prepared {
    pub manifest: Manifest,
    pub folder: PathBuf,
}

/// Checks a bundle and unpacks it below `cache`; one that is there already is checked only.
pub fn prepare(path: &Path, key: &PublicKey, cache: &Path) -> anyhow::Result<Prepared> {
    let bundles = cache.join("bundles");
    private_folder(&bundles)?;
    let checked = archive::verify(path, key)?;
    let text = serde_json::to_vec_pretty(&checked)?;
    let folder = bundles.join(&crate::desired::sha256(&text)[..16]);
    if read_file(&folder.join(MANIFEST))?.as_deref() != Some(text.as_slice()) {
        archive::unpack(path, key, &folder)?;
    }
    let prepared = Prepared {
        manifest: checked,
        folder,
    };
    prepared.seed_images(cache)?;
    Ok(prepared)
}

impl Prepared {
    /// The folder with the programs.
    pub fn binaries(&self) -> PathBuf {
        self.folder.join(Kind::Program.folder())
    }

    /// Archives of images stand where they would be kept had they been built here.
    fn seed_images(&self, cache: &Path) -> anyhow::Result<()> {
        for entry in self.manifest.of(Kind::Image) {
            let program = entry.name.trim_end_matches(".tar");
            let kept = cache.join(format!("{program}-{}.tar", entry.version));
            if !kept.exists() {
                let archive = self.folder.join(Kind::Image.folder()).join(&entry.name);
                std::fs::copy(&archive, &kept)
                    .with_context(|| format!("cannot copy {}", archive.display()))?;
            }
        }
        Ok(())
    }

    /// From now on the cluster's release is this one, until the inventory names another.
    pub fn take_as_release(&self, inventory: &Inventory, state: &State) -> anyhow::Result<()> {
        let mut record = state.record()?;
        let release = UpgradedRelease {
            binaries: self
                .binaries()
                .canonicalize()
                .with_context(|| format!("cannot find {}", self.folder.display()))?,
            instead_of: inventory.release.binaries.clone(),
        };
        if record.release.as_ref() != Some(&release) {
            record.release = Some(release);
            state.save(&record)?;
        }
        Ok(())
    }

    /// Installs on the chosen hosts of the inventory the packages that each lacks. Returns on how many.
    pub fn install_packages(
        &self,
        inventory: &Inventory,
        state: &State,
        ui: &Ui,
        chosen: impl Fn(&Host) -> bool,
    ) -> anyhow::Result<usize> {
        ui.note("looking for packages that hosts lack");
        let fleet = Fleet::connect_to(inventory, state, ui, chosen)?;
        let (facts, _) = ask(&fleet)?;
        let folder = self.folder.join(Kind::Package.folder());
        let installed = fleet.each_repeatable(
            "packages",
            |host| facts.contains_key(&host.name),
            |host, connection| {
                let lacking = packages::wanted(inventory, host, &facts[&host.name]);
                if lacking.is_empty() {
                    return Ok(false);
                }
                ui.host(&host.name, "packages");
                packages::install(connection, &self.manifest, &folder, &lacking)?;
                Ok(true)
            },
        )?;
        Ok(installed.values().filter(|installed| **installed).count())
    }
}
