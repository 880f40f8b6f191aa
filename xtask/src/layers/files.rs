//! The dependencies between the files of a crate.
//!
//! A file depends on the file that **defines** what it uses: re-exports and imports are followed.
//! It uses what its paths name, in `use`, code, attributes and macros. Declaring a module, or
//! re-exporting an item defined below it, does not count as use. Neither do uses in tests. A module
//! that stands within a file belongs to that file.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};

use super::module_tree::Target;
use super::references::Source;

/// For each pair of files, one depending on the other: the paths that say so.
pub(crate) type Edges = BTreeMap<(PathBuf, PathBuf), Vec<String>>;

/// The dependencies between the files of the crate whose first file is `root`.
pub(crate) fn edges(root: &Path) -> Result<Edges, Box<dyn Error>> {
    let Source { tree, references } = Source::read(root)?;
    let mut edges = Edges::new();
    for reference in &references {
        let from = &tree.modules[reference.module].file;
        for target in tree.resolve(reference.module, &reference.path) {
            let Target::Item(target) = target else { continue };
            let to = &tree.modules[target].file;
            if from == to || (reference.is_reexport && tree.is_within(target, reference.module)) {
                continue;
            }
            let uses = edges.entry((from.clone(), to.clone())).or_default();
            let path = reference.path.join("::");
            if !uses.contains(&path) {
                uses.push(path);
            }
        }
    }
    Ok(edges)
}
