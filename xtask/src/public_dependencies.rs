//! Checks that each library's public interface has types and traits of those crates only that its
//! manifest lists:
//!
//! ```toml
//! [package.metadata]
//! public-dependencies = ["rand_core"]
//! ```
//!
//! A new major version of such a crate is a breaking change of ours.

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use crate::metadata::{self, Package};
use crate::report::Report;

/// Part of the standard library.
const STANDARD: [&str; 3] = ["alloc", "core", "std"];

/// The JSON that rustdoc makes of a library.
#[derive(Deserialize)]
struct Documentation {
    index: BTreeMap<String, Value>,
    paths: BTreeMap<String, ItemPath>,
    external_crates: BTreeMap<String, ExternalCrate>,
}

#[derive(Deserialize)]
struct ItemPath {
    crate_id: u32,
}

#[derive(Deserialize)]
struct ExternalCrate {
    name: String,
}

/// Checks the published libraries of the workspace in the folder `root`.
///
/// # Errors
/// For a library that rustdoc cannot document, and without libraries.
pub(crate) fn check(root: &Path) -> Result<Report, Box<dyn Error>> {
    let packages = metadata::packages(root)?;
    document(root)?;
    let ours: BTreeSet<_> = packages.iter().map(|package| package.name.replace('-', "_")).collect();
    let mut report = Report::default();
    for package in packages.iter().filter(|package| package.is_published()) {
        if package.sources(&["lib"]).next().is_some() {
            let found: BTreeSet<_> = Documentation::read(root, package)?.crates().difference(&ours).cloned().collect();
            println!("{}: {}", package.name, Vec::from_iter(found.clone()).join(", "));
            report.add(complaints(package, &found));
        }
    }
    if report.passed + report.complaints.len() == 0 {
        Err("no library: this check sees nothing".into())
    } else {
        Ok(report)
    }
}

/// Writes the documentation of all libraries as JSON.
fn document(root: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new("cargo");
    cargo.args(["doc", "--quiet", "--locked", "--workspace", "--lib", "--no-deps", "--all-features"]).current_dir(root);
    cargo.env("RUSTDOC", root.join("scripts/rustdoc-json")).env("CARGO_TARGET_DIR", root.join("target"));
    if cargo.status()?.success() { Ok(()) } else { Err("rustdoc failed".into()) }
}

impl Documentation {
    fn read(root: &Path, package: &Package) -> Result<Self, Box<dyn Error>> {
        let file = root.join(format!("target/doc/{}.json", package.name.replace('-', "_")));
        let text = fs::read(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", file.display()).into())
    }

    /// Returns the crates whose types or traits are in the interface.
    fn crates(&self) -> BTreeSet<String> {
        let mut ids = BTreeSet::new();
        // What other crates implement for every type is not part of ours.
        let is_own = |item: &&Value| item["crate_id"] == 0 && item["inner"]["impl"]["blanket_impl"].is_null();
        self.index.values().filter(is_own).for_each(|item| collect_ids(&item["inner"], &mut ids));
        let crates = ids.iter().filter_map(|id| self.paths.get(id)).map(|path| path.crate_id.to_string());
        let names = crates.filter_map(|id| self.external_crates.get(&id)).map(|found| found.name.clone());
        names.filter(|name| !STANDARD.contains(&&name[..])).collect()
    }
}

/// Collects the ids of types and traits: rustdoc gives each of them with its path.
fn collect_ids(value: &Value, ids: &mut BTreeSet<String>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| collect_ids(value, ids)),
        Value::Object(fields) => {
            if let (Some(Value::Number(id)), true) = (fields.get("id"), fields.contains_key("path")) {
                ids.insert(id.to_string());
            }
            fields.values().for_each(|value| collect_ids(value, ids));
        }
        _ => {}
    }
}

fn complaints(package: &Package, found: &BTreeSet<String>) -> Vec<String> {
    let listed = package.metadata["public-dependencies"].as_array().into_iter().flatten();
    let listed: BTreeSet<_> = listed.filter_map(Value::as_str).map(str::to_owned).collect();
    let list = "package.metadata.public-dependencies";
    let name = &package.name;
    let missing = found.difference(&listed).map(|found| format!("{name} exposes {found}, which {list} does not list"));
    let extra = listed.difference(found).map(|extra| format!("{name} does not expose {extra}, which {list} lists"));
    missing.chain(extra).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(listed: &Value) -> Package {
        serde_json::from_value(json!({
            "name": "a", "manifest_path": "/a/Cargo.toml", "description": null, "license": null, "readme": null,
            "keywords": [], "categories": [], "dependencies": [], "targets": [], "publish": null,
            "metadata": { "public-dependencies": listed },
        }))
        .unwrap()
    }

    #[test]
    fn types_and_traits_of_other_crates_are_found_but_not_blanket_implementations() {
        let documentation: Documentation = serde_json::from_value(json!({
            "index": {
                "1": { "crate_id": 0, "inner": { "function": { "output": { "resolved_path": { "path": "B", "id": 7, "args": null } } } } },
                "2": { "crate_id": 0, "inner": { "impl": { "trait": { "path": "C", "id": 8 }, "blanket_impl": null } } },
                "3": { "crate_id": 0, "inner": { "impl": { "trait": { "path": "D", "id": 9 }, "blanket_impl": { "generic": "T" } } } },
                "4": { "crate_id": 0, "inner": { "struct_field": { "resolved_path": { "path": "String", "id": 10 } } } },
                "5": { "crate_id": 5, "inner": { "function": { "resolved_path": { "path": "E", "id": 9 } } } },
            },
            "paths": { "7": { "crate_id": 1 }, "8": { "crate_id": 2 }, "9": { "crate_id": 3 }, "10": { "crate_id": 4 } },
            "external_crates": {
                "1": { "name": "b" }, "2": { "name": "c" }, "3": { "name": "d" }, "4": { "name": "alloc" },
            },
        }))
        .unwrap();
        assert_eq!(documentation.crates(), ["b", "c"].map(str::to_owned).into());
    }

    #[test]
    fn the_list_is_compared_both_ways() {
        let found = ["b", "c"].map(str::to_owned).into();
        assert!(complaints(&package(&json!(["b", "c"])), &found).is_empty());
        assert_eq!(complaints(&package(&json!(["b", "d"])), &found).len(), 2);
        assert_eq!(complaints(&package(&Value::Null), &found).len(), 2);
    }
}
