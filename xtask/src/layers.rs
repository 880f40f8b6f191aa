//! Checks that dependencies point downwards: between the crates of the workspace, and between the
//! files of each.
//!
//! A crate may depend on crates of lower layers only. Its tests and examples may also use
//! [`TEST_SUPPORT`]. The files of a crate may not depend on each other in a circle; `files.rs` says
//! what counts as a dependency.

use std::error::Error;
use std::path::Path;

use crate::metadata;
use crate::report::Report;

mod circles;
mod crates;
mod files;
mod module_tree;
mod references;

/// The crates of the workspace, the lowest layer first: each depends on crates above it in this
/// list.
pub(crate) const LAYERS: &[&str] = &[
    "x25519-batch",
    "pssst",
    "pssst-support",
    "pssst-link",
    "pssst-net",
    "pssst-identity",
    "pssst-directory",
    "pssst-http",
    "pssst-directory-server",
    "pssst-gateway",
    "pssst-service",
    "pssst-inspect",
    "pssst-bench",
    "pssst-demo",
    "pssst-cli",
    "pssst-test",
    "xtask",
];

/// Crates for tests and examples, which those of any layer may use. They are published nowhere.
const TEST_SUPPORT: [&str; 1] = ["pssst-test"];

/// Checks the workspace in the folder `root`.
///
/// # Errors
/// Without `cargo metadata`, for sources that cannot be read or parsed, and for a workspace without
/// crates or files, in which the check would see nothing.
pub(crate) fn check(root: &Path, layers: &[&str]) -> Result<Report, Box<dyn Error>> {
    let packages = metadata::packages(root)?;
    let mut report = Report::default();
    for package in &packages {
        report.add(crates::complaints(package, &packages, layers, &TEST_SUPPORT));
    }
    report.complaints.extend(crates::unknown_layers(&packages, layers));
    for package in &packages {
        let mut circles = Vec::new();
        for source in package.sources(&["lib", "bin", "cdylib", "proc-macro"]) {
            let edges = files::edges(source)?;
            circles.extend(circles::find(&edges).iter().map(|circle| circle.describe(&package.name, &edges)));
        }
        report.add(circles);
    }
    Ok(report)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tempfile::TempDir;

    use super::*;

    /// Two crates, `lower` below `upper`.
    fn workspace(lower_depends: &str, files: &[(&str, &str)]) -> TempDir {
        let folder = tempfile::tempdir().unwrap();
        let manifest = |name: &str, depends: &str| {
            format!("[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n{depends}")
        };
        let depends = "[dependencies]\nlower = { path = \"../lower\" }\n";
        let fixed = [
            ("Cargo.toml", "[workspace]\nresolver = \"3\"\nmembers = [\"lower\", \"upper\"]\n".into()),
            ("lower/Cargo.toml", manifest("lower", lower_depends)),
            ("lower/src/lib.rs", "mod a;\nmod b;\npub use a::A;\n".into()),
            ("upper/Cargo.toml", manifest("upper", depends)),
            ("upper/src/lib.rs", "pub use lower::A;\n".into()),
        ];
        let given = files.iter().map(|&(path, text)| (path, text.to_owned()));
        for (path, text) in fixed.into_iter().chain(given) {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn complaints(folder: &TempDir) -> Vec<String> {
        let report = check(folder.path(), &["lower", "upper"]).unwrap();
        assert_eq!(report.passed + report.complaints.len(), 4, "{report:?}");
        report.complaints
    }

    const A: (&str, &str) = ("lower/src/a.rs", "pub struct A;\n");
    const B: (&str, &str) = ("lower/src/b.rs", "use crate::A;\npub fn b() -> A { A }\n");

    #[test]
    fn downward_edges_pass() {
        assert!(complaints(&workspace("", &[A, B])).is_empty());
        // Tests point downwards, too.
        let tested = "[dev-dependencies]\nupper = { path = \"../upper\" }\n";
        assert_eq!(complaints(&workspace(tested, &[A, B])).len(), 1);
    }

    #[test]
    fn an_edge_upwards_is_found_and_names_both_crates() {
        for section in ["dependencies", "build-dependencies", "target.'cfg(unix)'.dependencies"] {
            let upwards = format!("[{section}]\nupper = {{ path = \"../upper\" }}\n");
            let found = complaints(&workspace(&upwards, &[A, B]));
            assert!(found.len() == 1 && found[0].contains("lower depends on upper"), "{found:?}");
        }
    }

    #[test]
    fn a_crate_without_a_layer_and_a_layer_without_a_crate_are_found() {
        let folder = workspace("", &[A, B]);
        let report = check(folder.path(), &["lower", "other"]).unwrap();
        assert!(report.complaints.iter().any(|complaint| complaint.contains("upper has no layer")), "{report:?}");
        assert!(report.complaints.iter().any(|complaint| complaint.contains("other is not a crate")), "{report:?}");
    }

    #[test]
    fn a_circle_of_files_is_found_through_a_reexport_and_names_both_files() {
        let back = ("lower/src/a.rs", "pub struct A;\nimpl A { pub fn call(self) { drop(super::b::b()) } }\n");
        let found = complaints(&workspace("", &[back, B]));
        assert_eq!(found.len(), 1);
        assert!(found[0].contains("src/a.rs -> lower/src/b.rs (super::b::b)"), "{found:?}");
        assert!(found[0].contains("src/b.rs -> lower/src/a.rs (crate::A, A)"), "{found:?}");
        // Tests may use what they like.
        let tested = ("lower/src/a.rs", "pub struct A;\n#[cfg(test)]\nmod tests { use crate::b::b; }\n");
        assert!(complaints(&workspace("", &[tested, B])).is_empty());
    }

    #[test]
    fn a_check_that_sees_nothing_fails() {
        let folder = tempfile::tempdir().unwrap();
        assert!(check(folder.path(), &[]).is_err());
        fs::write(folder.path().join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = []\n").unwrap();
        assert!(check(folder.path(), &[]).is_err());
        let folder = workspace("", &[A]);
        let error = check(folder.path(), &["lower", "upper"]).unwrap_err().to_string();
        assert!(error.contains("b.rs"), "{error}");
    }
}
