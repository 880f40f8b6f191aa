//! The crates of the workspace, and the direction of their dependencies.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A crate of the workspace.
#[derive(Debug)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// The first file of its library and of each of its programs.
    pub(crate) sources: Vec<PathBuf>,
    dependencies: Vec<Dependency>,
}

#[derive(Debug)]
struct Dependency {
    name: String,
    is_for_tests: bool,
}

/// The crates of the workspace in this folder.
pub(crate) fn packages(root: &Path) -> Result<Vec<Package>, Box<dyn Error>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--no-deps", "--offline", "--format-version", "1"];
    let output = Command::new(cargo).args(arguments).current_dir(root).output()?;
    if !output.status.success() {
        return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    list(&metadata["packages"])?.iter().map(package).collect()
}

fn package(value: &Value) -> Result<Package, Box<dyn Error>> {
    let mut sources = Vec::new();
    for target in list(&value["targets"])? {
        if list(&target["kind"])?
            .iter()
            .any(|kind| ["lib", "bin", "cdylib", "proc-macro"].iter().any(|code| kind == code))
        {
            sources.push(text(&target["src_path"])?.into());
        }
    }
    let dependency =
        |value: &Value| Ok(Dependency { name: text(&value["name"])?.into(), is_for_tests: value["kind"] == "dev" });
    let dependencies = list(&value["dependencies"])?.iter().map(dependency).collect::<Result<_, Box<dyn Error>>>()?;
    Ok(Package { name: text(&value["name"])?.into(), sources, dependencies })
}

fn list(value: &Value) -> Result<&Vec<Value>, Box<dyn Error>> {
    value.as_array().ok_or_else(|| "cargo metadata: a list is missing".into())
}

fn text(value: &Value) -> Result<&str, Box<dyn Error>> {
    value.as_str().ok_or_else(|| "cargo metadata: a text is missing".into())
}

/// Dependencies of `package` that do not point to a lower layer.
pub(crate) fn complaints(
    package: &Package,
    packages: &[Package],
    layers: &[&str],
    test_support: &[&str],
) -> Vec<String> {
    let layer = |name: &str| layers.iter().position(|layer| *layer == name);
    let Some(own) = layer(&package.name) else {
        return vec![format!("{} has no layer: list it in xtask/src/layers.rs", package.name)];
    };
    let is_ours = |name: &str| packages.iter().any(|package| package.name == name);
    let is_upwards = |dependency: &&Dependency| {
        let name = dependency.name.as_str();
        is_ours(name)
            && layer(name).is_some_and(|layer| layer >= own)
            && !(dependency.is_for_tests && test_support.contains(&name))
    };
    let describe = |dependency: &Dependency| {
        let tests = if dependency.is_for_tests { " for its tests" } else { "" };
        format!("{} depends on {}{tests}, which is not in a lower layer", package.name, dependency.name)
    };
    package.dependencies.iter().filter(is_upwards).map(describe).collect()
}

/// Layers that no crate has.
pub(crate) fn unknown_layers(packages: &[Package], layers: &[&str]) -> Vec<String> {
    let is_unknown = |layer: &&&str| packages.iter().all(|package| package.name != **layer);
    layers
        .iter()
        .filter(is_unknown)
        .map(|layer| format!("{layer} is not a crate of the workspace: it has a layer"))
        .collect()
}
