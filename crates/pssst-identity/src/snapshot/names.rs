//! The names of neighbouring slots, packed.

/// Names one after another: a byte for the length of each, and its text.
#[derive(Default)]
pub(super) struct Names {
    lens: Box<[u8]>,
    text: Box<str>,
}

impl Names {
    pub(super) fn get(&self, place: usize) -> &str {
        let len = self.lens.get(place).copied().map_or(0, usize::from);
        let start = self.lens.iter().take(place).copied().map(usize::from).sum();
        self.text.get(start..start + len).unwrap_or_default()
    }

    /// Returns a copy for this many places with these names changed. Names have at most 128 bytes.
    pub(super) fn with(&self, places: usize, changed: &[(usize, &str)]) -> Self {
        let mut names = vec![""; places];
        let mut rest = &*self.text;
        for (name, len) in names.iter_mut().zip(&self.lens) {
            (*name, rest) = rest.split_at(usize::from(*len));
        }
        for (place, name) in changed {
            names[*place] = name;
        }
        let lens = names.iter().map(|name| u8::try_from(name.len()).unwrap_or(0)).collect();
        Self { lens, text: names.concat().into() }
    }

    /// Bytes, with the two counters of its `Arc`.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + 2 * size_of::<usize>() + self.lens.len() + self.text.len()
    }
}
