//! Reads the source files of a crate: its modules, and the paths that stand in them.

use std::error::Error;
use std::fs;
use std::path::{self, PathBuf};

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::punctuated::Punctuated;
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, ExprLit, ImplItem, Item, ItemMod, ItemUse, Lit, Macro, Meta, Token, UseTree, Visibility};

use super::module_tree::{Meaning, ModuleId, ModuleTree, Path};

/// A path that stands in a module.
#[derive(Debug)]
pub(crate) struct Reference {
    pub(crate) module: ModuleId,
    pub(crate) path: Path,
    /// Whether it only gives a name to others: `pub use`.
    pub(crate) is_reexport: bool,
}

/// A crate without its tests.
#[derive(Debug, Default)]
pub(crate) struct Source {
    pub(crate) tree: ModuleTree,
    pub(crate) references: Vec<Reference>,
}

impl Source {
    /// Reads a crate from its first file.
    pub(crate) fn read(root: &path::Path) -> Result<Self, Box<dyn Error>> {
        let mut source = Self::default();
        let module = source.tree.add(root.to_owned(), None);
        source.read_file(root.to_owned(), folder_of(root), module)?;
        Ok(source)
    }

    /// Reads the file of a module whose child modules are in `folder`.
    fn read_file(&mut self, file: PathBuf, folder: PathBuf, module: ModuleId) -> Result<(), Box<dyn Error>> {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let parsed = syn::parse_file(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        let mut reader = Reader { source: self, file, folder, module, failure: None };
        reader.visit_file(&parsed);
        reader.failure.map_or(Ok(()), Err)
    }
}

/// Visits one module.
struct Reader<'source> {
    source: &'source mut Source,
    file: PathBuf,
    folder: PathBuf,
    module: ModuleId,
    failure: Option<Box<dyn Error>>,
}

impl Reader<'_> {
    fn declare(&mut self, name: &Ident, meaning: Meaning) {
        self.source.tree.declare(self.module, plain(name), meaning);
    }

    fn refer(&mut self, path: Path, is_reexport: bool) {
        self.source.references.push(Reference { module: self.module, path, is_reexport });
    }

    fn read_module(&mut self, item: &ItemMod) -> Result<(), Box<dyn Error>> {
        let name = plain(&item.ident);
        let (file, folder) = if item.content.is_some() {
            (self.file.clone(), self.folder.join(&name))
        } else if let Some(path) = path_attribute(&item.attrs) {
            let file = folder_of(&self.file).join(path);
            let folder = folder_of(&file);
            (file, folder)
        } else {
            let folder = self.folder.join(&name);
            let (beside, within) = (folder.with_extension("rs"), folder.join("mod.rs"));
            (if within.exists() { within } else { beside }, folder)
        };
        let module = self.source.tree.add(file.clone(), Some(self.module));
        self.declare(&item.ident, Meaning::Module(module));
        let Some((_, items)) = &item.content else { return self.source.read_file(file, folder, module) };
        let mut reader = Reader { source: self.source, file, folder, module, failure: None };
        for item in items {
            reader.visit_item(item);
        }
        reader.failure.map_or(Ok(()), Err)
    }

    /// What `use` imports, below `prefix`.
    fn read_use(&mut self, tree: &UseTree, mut prefix: Path, is_reexport: bool) {
        match tree {
            UseTree::Path(tree) => {
                prefix.push(plain(&tree.ident));
                self.read_use(&tree.tree, prefix, is_reexport);
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                let name = prefix.last().cloned().unwrap_or_default();
                self.import(name, prefix, is_reexport);
            }
            UseTree::Name(tree) => {
                prefix.push(plain(&tree.ident));
                self.import(plain(&tree.ident), prefix, is_reexport);
            }
            UseTree::Rename(tree) => {
                if tree.ident != "self" {
                    prefix.push(plain(&tree.ident));
                }
                self.import(plain(&tree.rename), prefix, is_reexport);
            }
            UseTree::Glob(_) => {
                self.source.tree.modules[self.module].globs.push(prefix.clone());
                self.refer(prefix, is_reexport);
            }
            UseTree::Group(tree) => tree.items.iter().for_each(|tree| self.read_use(tree, prefix.clone(), is_reexport)),
        }
    }

    fn import(&mut self, name: String, path: Path, is_reexport: bool) {
        if name != "_" {
            self.source.tree.declare(self.module, name, Meaning::Import(path.clone()));
        }
        self.refer(path, is_reexport);
    }

    /// Finds the paths among the tokens of a macro or an attribute, which may be of any language.
    fn scan(&mut self, tokens: TokenStream) {
        let tokens: Vec<_> = tokens.into_iter().collect();
        let mut place = 0;
        while place < tokens.len() {
            match &tokens[place] {
                TokenTree::Group(group) => self.scan(group.stream()),
                TokenTree::Ident(first) if begins_path(&tokens[..place]) => {
                    let mut path = vec![plain(first)];
                    while let [TokenTree::Punct(colon), TokenTree::Punct(_), TokenTree::Ident(next), ..] =
                        &tokens[place + 1..]
                        && colon.as_char() == ':'
                    {
                        path.push(plain(next));
                        place += 3;
                    }
                    self.refer(path, false);
                }
                TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => {}
            }
            place += 1;
        }
    }
}

/// Whether a name after these tokens begins a path: it is not a field, a method, a lifetime, or the
/// rest of a path.
fn begins_path(before: &[TokenTree]) -> bool {
    let sign = |token: Option<&TokenTree>| match token {
        Some(TokenTree::Punct(punct)) => Some(punct.as_char()),
        _ => None,
    };
    let mut signs = before.iter().rev();
    match (sign(signs.next()), sign(signs.next())) {
        (Some('.'), Some('.')) => true,
        (Some('.' | '\''), _) | (Some(':'), Some(':')) => false,
        _ => true,
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item(&mut self, item: &'ast Item) {
        if is_for_tests(attributes(item)) {
            return;
        }
        match item {
            Item::Const(item) => self.declare(&item.ident, Meaning::Item),
            Item::Enum(item) => self.declare(&item.ident, Meaning::Item),
            Item::Fn(item) => self.declare(&item.sig.ident, Meaning::Item),
            Item::Macro(item) => {
                if let Some(name) = &item.ident {
                    self.declare(name, Meaning::Item);
                }
            }
            Item::Static(item) => self.declare(&item.ident, Meaning::Item),
            Item::Struct(item) => self.declare(&item.ident, Meaning::Item),
            Item::Trait(item) => self.declare(&item.ident, Meaning::Item),
            Item::TraitAlias(item) => self.declare(&item.ident, Meaning::Item),
            Item::Type(item) => self.declare(&item.ident, Meaning::Item),
            Item::Union(item) => self.declare(&item.ident, Meaning::Item),
            _ => {}
        }
        visit::visit_item(self, item);
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => return,
        };
        if !is_for_tests(attributes) {
            visit::visit_impl_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, item: &'ast ItemMod) {
        if let Err(error) = self.read_module(item) {
            self.failure.get_or_insert(error);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if item.leading_colon.is_none() {
            self.read_use(&item.tree, Path::new(), !matches!(item.vis, Visibility::Inherited));
        }
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() {
            self.refer(path.segments.iter().map(|segment| plain(&segment.ident)).collect(), false);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        visit::visit_macro(self, call);
        self.scan(call.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }

    /// `pub(in PATH)` uses nothing of the path.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}

fn folder_of(file: &path::Path) -> PathBuf {
    file.parent().map(path::Path::to_owned).unwrap_or_default()
}

/// A name without the `r#` that lets it be a keyword.
fn plain(name: &Ident) -> String {
    name.to_string().trim_start_matches("r#").to_owned()
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::TraitAlias(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}

/// Whether an item exists only where tests are compiled.
fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Meta>().is_ok_and(|condition| needs_tests(&condition))
    })
}

/// Whether a condition of `cfg` holds only where tests are compiled.
fn needs_tests(condition: &Meta) -> bool {
    let Meta::List(list) = condition else { return condition.path().is_ident("test") };
    let parts = list.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated).unwrap_or_default();
    (list.path.is_ident("all") && parts.iter().any(needs_tests))
        || (list.path.is_ident("any") && !parts.is_empty() && parts.iter().all(needs_tests))
}

/// The file that `#[path = "FILE"]` names.
fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    attributes.iter().find_map(|attribute| match &attribute.meta {
        Meta::NameValue(meta) if meta.path.is_ident("path") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(file), .. }) => Some(file.value()),
            _ => None,
        },
        _ => None,
    })
}
