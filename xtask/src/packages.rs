//! Checks that every published crate is ready for crates.io and docs.rs: its metadata, its licence
//! files, a readme that stands alone, and a front page that says what it is and what it is not.

use std::error::Error;
use std::fs;
use std::path::Path;

use crate::metadata::{self, Package};
use crate::report::Report;

/// Most that crates.io takes.
const MAX_KEYWORDS: usize = 5;
const MAX_DESCRIPTION: usize = 150;

/// Checks the published crates of the workspace in the folder `root`.
///
/// # Errors
/// Without `cargo metadata`, and for a file that cannot be read.
pub(crate) fn check(root: &Path) -> Result<Report, Box<dyn Error>> {
    let mut report = Report::default();
    for package in metadata::packages(root)?.iter().filter(|package| package.is_published()) {
        let faults = manifest(package).into_iter().chain(readme(package)).chain(front_page(package)?);
        report.add(faults.map(|fault| format!("{}: {fault}", package.name)).collect());
    }
    if report.passed + report.complaints.len() == 0 {
        return Err("no crate is published: this check sees nothing".into());
    }
    Ok(report)
}

fn manifest(package: &Package) -> Vec<String> {
    let mut faults = Vec::new();
    let mut expect = |is_right: bool, fault: &str| {
        if !is_right {
            faults.push(fault.to_owned());
        }
    };
    let description = package.description.as_deref().unwrap_or_default();
    expect(!description.is_empty(), "no description");
    expect(description.chars().count() <= MAX_DESCRIPTION, "a description that is too long for a list of crates");
    expect(package.license.is_some(), "no license");
    expect((1..=MAX_KEYWORDS).contains(&package.keywords.len()), "no keywords, or too many");
    expect(!package.categories.is_empty(), "no categories");
    expect(package.metadata["docs"]["rs"]["all-features"] == true, "docs.rs does not get all features");
    for file in ["LICENSE-APACHE", "LICENSE-MIT"] {
        expect(package.folder().join(file).is_file(), &format!("no {file}"));
    }
    faults
}

/// Links of a readme lead nowhere on crates.io unless they are absolute.
fn readme(package: &Package) -> Vec<String> {
    let Some(file) = package.readme.as_ref().map(|file| package.folder().join(file)) else {
        return vec!["no readme".into()];
    };
    let Ok(text) = fs::read_to_string(&file) else {
        return vec![format!("{} cannot be read", file.display())];
    };
    let mut faults = Vec::new();
    if !text.starts_with(&format!("# {}\n", package.name)) {
        faults.push("the readme is not the crate's own: it has another title".into());
    }
    for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        if !target.starts_with("https://") && !target.starts_with('#') {
            faults.push(format!("the readme links to {target}, which is not there on crates.io"));
        }
    }
    faults
}

/// The documentation of the library's root, or for a program its readme.
fn front_page(package: &Package) -> Result<Vec<String>, Box<dyn Error>> {
    let Some(source) = package.sources(&["lib"]).next() else {
        return Ok(Vec::new());
    };
    let text = fs::read_to_string(source).map_err(|error| format!("{}: {error}", source.display()))?;
    let page: Vec<_> = text.lines().take_while(|line| line.starts_with("//!")).collect();
    let mut faults = Vec::new();
    if !page.iter().any(|line| line.starts_with("//! ```")) {
        faults.push("the front page has no example".into());
    }
    if !page.iter().any(|line| line.starts_with("//! # What it is not")) {
        faults.push("the front page does not say \"What it is not\"".into());
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn faults(readme_text: &str, page: &str, keywords: &[&str]) -> usize {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in [("README.md", readme_text), ("lib.rs", page), ("LICENSE-MIT", ""), ("LICENSE-APACHE", "")]
        {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let package: Package = serde_json::from_value(json!({
            "name": "a", "manifest_path": folder.path().join("Cargo.toml"), "description": "A crate", "license": "MIT",
            "readme": "README.md", "keywords": keywords, "categories": ["cryptography"], "dependencies": [],
            "targets": [{ "kind": ["lib"], "src_path": folder.path().join("lib.rs") }], "publish": null,
            "metadata": { "docs": { "rs": { "all-features": true } } },
        }))
        .unwrap();
        manifest(&package).len() + readme(&package).len() + front_page(&package).unwrap().len()
    }

    const README: &str = "# a\n\n[Documentation](https://docs.rs/a), [below](#below)\n";
    const PAGE: &str = "//! A crate.\n//!\n//! ```\n//! ```\n//!\n//! # What it is not\n//!\n//! B.\n\npub fn a() {}\n";

    #[test]
    fn a_crate_that_is_ready_has_no_fault_and_each_lack_is_one() {
        assert_eq!(faults(README, PAGE, &["a"]), 0);
        assert_eq!(faults(README, PAGE, &[]), 1);
        assert_eq!(faults("# b\n", PAGE, &["a"]), 1);
        assert_eq!(faults("# a\n\n[a](docs/a.md)\n", PAGE, &["a"]), 1);
        assert_eq!(faults(README, &PAGE.replace("```", ""), &["a"]), 1);
        assert_eq!(faults(README, &PAGE.replace("What it is not", "Other"), &["a"]), 1);
        assert_eq!(faults(README, "//! A crate.\nconst A: &str = \"\n//! ```\n//! # What it is not\n\";\n", &["a"]), 2);
    }
}
