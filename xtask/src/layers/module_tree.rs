//! The modules of a crate: which file each is in, and what its names mean.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

/// A path in source text, one name after another.
pub(crate) type Path = Vec<String>;

/// All modules of a crate. The first is the crate's root.
#[derive(Debug, Default)]
pub(crate) struct ModuleTree {
    pub(crate) modules: Vec<Module>,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: PathBuf,
    pub(crate) parent: Option<ModuleId>,
    /// A name has several meanings if it is declared under several `cfg`, or as a module and as a
    /// function.
    pub(crate) names: BTreeMap<String, Vec<Meaning>>,
    /// Paths imported by `use PATH::*`.
    pub(crate) globs: Vec<Path>,
}

pub(crate) type ModuleId = usize;

#[derive(Clone, Debug)]
pub(crate) enum Meaning {
    Module(ModuleId),
    /// A type, function, constant or macro of this module.
    Item,
    /// What `use` gives the name to.
    Import(Path),
}

/// Item that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Module(ModuleId),
    /// An item, in this module.
    Item(ModuleId),
}

/// Names whose imports are being followed, so that an import of itself is not followed forever.
type Followed = HashSet<(ModuleId, String)>;

impl ModuleTree {
    pub(crate) fn add(&mut self, file: PathBuf, parent: Option<ModuleId>) -> ModuleId {
        self.modules.push(Module { file, parent, names: BTreeMap::new(), globs: Vec::new() });
        self.modules.len() - 1
    }

    pub(crate) fn declare(&mut self, module: ModuleId, name: String, meaning: Meaning) {
        self.modules[module].names.entry(name).or_default().push(meaning);
    }

    /// Whether `module` is `ancestor` or below it.
    pub(crate) fn is_within(&self, mut module: ModuleId, ancestor: ModuleId) -> bool {
        while module != ancestor {
            let Some(parent) = self.modules[module].parent else { return false };
            module = parent;
        }
        true
    }

    /// Follows a path that stands in `module`. Nothing is found if it leads out of the crate.
    pub(crate) fn resolve(&self, module: ModuleId, path: &[String]) -> Vec<Target> {
        self.follow(module, path, &mut Followed::new())
    }

    fn follow(&self, module: ModuleId, path: &[String], followed: &mut Followed) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut found = match first.as_str() {
            "crate" => vec![Target::Module(0)],
            "self" => vec![Target::Module(module)],
            "super" => self.modules[module].parent.map(Target::Module).into_iter().collect(),
            name => self.look_up(module, name, followed).unwrap_or_default(),
        };
        for name in rest {
            let modules: Vec<_> = found
                .iter()
                .filter_map(|target| if let Target::Module(module) = target { Some(*module) } else { None })
                .collect();
            if modules.is_empty() {
                // What follows belongs to the item: a variant, or an associated function.
                return found;
            }
            found = modules
                .into_iter()
                .flat_map(|module| match name.as_str() {
                    "super" => self.modules[module].parent.map(Target::Module).into_iter().collect(),
                    // A name that nobody declares is one that a macro makes.
                    name => self.look_up(module, name, followed).unwrap_or_else(|| vec![Target::Item(module)]),
                })
                .collect();
        }
        found
    }

    /// The meanings of a name in a module: none that are in this crate, or `None` if it has no such
    /// name.
    fn look_up(&self, module: ModuleId, name: &str, followed: &mut Followed) -> Option<Vec<Target>> {
        if !followed.insert((module, name.to_owned())) {
            return None;
        }
        let found = match self.modules[module].names.get(name) {
            Some(meanings) => Some(meanings.iter().flat_map(|meaning| self.mean(module, meaning, followed)).collect()),
            None => self.modules[module].globs.iter().find_map(|glob| {
                let sources = self.follow(module, glob, followed);
                sources.into_iter().find_map(|source| match source {
                    Target::Module(source) => self.look_up(source, name, followed),
                    Target::Item(_) => None,
                })
            }),
        };
        followed.remove(&(module, name.to_owned()));
        found
    }

    fn mean(&self, module: ModuleId, meaning: &Meaning, followed: &mut Followed) -> Vec<Target> {
        match meaning {
            Meaning::Module(module) => vec![Target::Module(*module)],
            Meaning::Item => vec![Target::Item(module)],
            Meaning::Import(path) => self.follow(module, path, followed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> Path {
        text.split("::").map(str::to_owned).collect()
    }

    /// `mod a { pub struct A; mod inner { use super::*; } } mod b { pub use crate::a::A as B; } pub
    /// use b::*; use std::fmt;`
    fn tree() -> ModuleTree {
        let mut tree = ModuleTree::default();
        let root = tree.add("lib.rs".into(), None);
        let a = tree.add("a.rs".into(), Some(root));
        let inner = tree.add("a/inner.rs".into(), Some(a));
        let b = tree.add("b.rs".into(), Some(root));
        tree.declare(root, "a".into(), Meaning::Module(a));
        tree.declare(root, "b".into(), Meaning::Module(b));
        tree.declare(root, "fmt".into(), Meaning::Import(path("std::fmt")));
        tree.declare(a, "A".into(), Meaning::Item);
        tree.declare(a, "inner".into(), Meaning::Module(inner));
        tree.declare(b, "B".into(), Meaning::Import(path("crate::a::A")));
        tree.modules[root].globs.push(path("b"));
        tree.modules[inner].globs.push(path("super"));
        tree
    }

    #[test]
    fn paths_lead_to_the_module_that_defines_the_name() {
        let tree = tree();
        for (module, text, expected) in [
            (0, "a::A", &[Target::Item(1)][..]),
            (2, "super::A::new", &[Target::Item(1)]),
            (2, "A", &[Target::Item(1)]),
            (3, "B", &[Target::Item(1)]),
            (0, "B", &[Target::Item(1)]),
            (2, "crate::b::B", &[Target::Item(1)]),
            (2, "crate::a", &[Target::Module(1)]),
            (2, "super::super::b", &[Target::Module(3)]),
            (0, "a::made_by_a_macro", &[Target::Item(1)]),
            (0, "fmt::Display", &[]),
            (2, "crate::fmt::Display", &[]),
            (0, "std::fmt", &[]),
            (3, "A", &[]),
        ] {
            assert_eq!(tree.resolve(module, &path(text)), expected, "{text} in {module}");
        }
    }

    #[test]
    fn an_import_of_itself_ends() {
        let mut tree = tree();
        tree.declare(0, "pssst".into(), Meaning::Import(path("pssst")));
        tree.modules[0].globs.push(path("self"));
        assert_eq!(tree.resolve(0, &path("pssst::Server")), []);
        assert_eq!(tree.resolve(0, &path("nothing")), []);
    }
}
