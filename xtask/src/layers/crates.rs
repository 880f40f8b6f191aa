//! The direction of dependencies between crates.

use crate::metadata::{Dependency, Package};

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
            // Tests may use a feature of their own crate.
            && !(is_for_tests(dependency) && (test_support.contains(&name) || name == package.name))
    };
    let describe = |dependency: &Dependency| {
        let tests = if is_for_tests(dependency) { " for its tests" } else { "" };
        format!("{} depends on {}{tests}, which is not in a lower layer", package.name, dependency.name)
    };
    package.dependencies.iter().filter(is_upwards).map(describe).collect()
}

fn is_for_tests(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
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
