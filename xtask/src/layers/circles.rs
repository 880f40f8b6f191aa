//! Files that depend on each other in a circle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::files::Edges;

/// Paths that are shown for each edge.
const MAX_SHOWN: usize = 3;

/// Files that all depend on each other, perhaps through others of them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Circle(BTreeSet<PathBuf>);

/// All circles, each as large as it can be.
pub(crate) fn find(edges: &Edges) -> Vec<Circle> {
    let mut circles = Vec::new();
    let mut seen = BTreeSet::new();
    for (from, _) in edges.keys() {
        if seen.contains(from) {
            continue;
        }
        let reached = reachable(edges, from);
        let circle: BTreeSet<_> =
            reached.iter().filter(|file| reachable(edges, file).contains(from)).cloned().collect();
        seen.extend(circle.iter().cloned());
        if circle.len() > 1 {
            circles.push(Circle(circle));
        }
    }
    circles
}

/// What can be reached from a file along one edge or more.
fn reachable(edges: &Edges, from: &Path) -> BTreeSet<PathBuf> {
    let mut reached = BTreeSet::new();
    let mut todo = vec![from];
    while let Some(file) = todo.pop() {
        for (_, to) in edges.keys().filter(|(from, _)| from == file) {
            if reached.insert(to.clone()) {
                todo.push(to);
            }
        }
    }
    reached
}

impl Circle {
    /// The circle, with each edge in it.
    pub(crate) fn describe(&self, package: &str, edges: &Edges) -> String {
        let describe = |((from, to), paths): (&(PathBuf, PathBuf), &Vec<String>)| {
            let shown = paths[..paths.len().min(MAX_SHOWN)].join(", ");
            let more = if paths.len() > MAX_SHOWN { ", …" } else { "" };
            format!("\n    {} -> {} ({shown}{more})", short(from), short(to))
        };
        let within = edges.iter().filter(|((from, to), _)| self.0.contains(from) && self.0.contains(to));
        let edges: String = within.map(describe).collect();
        format!("{package}: a circle of {} files{edges}", self.0.len())
    }
}

/// The path from the crate's folder on.
fn short(file: &Path) -> String {
    let parts: Vec<_> = file.iter().map(|part| part.to_string_lossy()).collect();
    let source = parts.iter().rposition(|part| part == "src").unwrap_or(0);
    parts[source.saturating_sub(1)..].join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(pairs: &[(&str, &str)]) -> Edges {
        pairs.iter().map(|(from, to)| (((*from).into(), (*to).into()), vec![format!("crate::{to}")])).collect()
    }

    #[test]
    fn files_without_a_circle_pass() {
        assert_eq!(find(&edges(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d")])), []);
        assert_eq!(find(&Edges::new()), []);
    }

    #[test]
    fn every_circle_is_found_with_its_edges() {
        let edges = edges(&[("a", "b"), ("b", "c"), ("c", "a"), ("c", "d"), ("d", "e"), ("e", "d"), ("f", "a")]);
        let found = find(&edges);
        let files = |circle: &Circle| circle.0.iter().map(|file| file.display().to_string()).collect::<String>();
        assert_eq!(found.iter().map(files).collect::<Vec<_>>(), ["abc", "de"]);
        let text = found[0].describe("x", &edges);
        for edge in ["a -> b (crate::b)", "b -> c (crate::c)", "c -> a (crate::a)"] {
            assert!(text.contains(edge), "{text}");
        }
        assert!(!text.contains("-> d"), "{text}");
    }
}
