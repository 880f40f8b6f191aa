//! The packages of the workspace, as cargo describes them.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// Answer of `cargo metadata`.
#[derive(Debug, Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// One package of the workspace.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) manifest_path: PathBuf,
    pub(crate) description: Option<String>,
    pub(crate) license: Option<String>,
    pub(crate) readme: Option<PathBuf>,
    pub(crate) keywords: Vec<String>,
    pub(crate) categories: Vec<String>,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
    /// The table `package.metadata`.
    pub(crate) metadata: serde_json::Value,
    /// An empty list forbids publishing.
    publish: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// `None` for a normal one.
    pub(crate) kind: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Target {
    pub(crate) kind: Vec<String>,
    pub(crate) src_path: PathBuf,
}

impl Package {
    /// Returns the folder of its manifest.
    pub(crate) fn folder(&self) -> &Path {
        self.manifest_path.parent().unwrap_or_else(|| Path::new("."))
    }

    /// Returns the first file of each target of one of these kinds.
    pub(crate) fn sources<'a>(&'a self, kinds: &'a [&str]) -> impl Iterator<Item = &'a Path> {
        let is_one = |target: &&Target| target.kind.iter().any(|kind| kinds.contains(&kind.as_str()));
        self.targets.iter().filter(is_one).map(|target| target.src_path.as_path())
    }

    /// Returns whether it may be published.
    pub(crate) fn is_published(&self) -> bool {
        self.publish.as_ref().is_none_or(|registries| !registries.is_empty())
    }
}

/// Returns the packages of the workspace in this folder.
///
/// # Errors
/// Without an answer of cargo that can be read, and for a workspace without packages, in which a
/// check would see nothing.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let Metadata { packages } = serde_json::from_slice(&output.stdout)?;
    if packages.is_empty() { Err("the workspace has no crate: this check sees nothing".into()) } else { Ok(packages) }
}
