//! The rows of tables that are kept beside a snapshot.

use std::collections::VecDeque;

/// The place of a client in every table beside the snapshot. It stays the same while the client is
/// there, whatever becomes of its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row(u32);

impl Row {
    /// Bits of a row's number.
    pub(super) const BITS: u32 = 28;
    /// The row of a client that has none.
    pub(super) const NONE: Self = Self((1 << Self::BITS) - 1);

    /// Returns the row of this number, whose lowest bits count.
    pub(super) const fn from_bits(bits: u32) -> Self {
        Self(bits & Self::NONE.0)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    /// Returns its number, unless it is [`Row::NONE`].
    pub(super) fn number(self) -> Option<usize> {
        usize::try_from(self.0).ok().filter(|_| self != Self::NONE)
    }
}

/// Gives rows to clients.
#[derive(Default)]
pub(super) struct Rows {
    next: u32,
    /// Rows that were given back, oldest first: a reader that is slow finds no other client's row
    /// soon.
    free: VecDeque<Row>,
}

impl Rows {
    /// Returns the number of rows that are in use, or were.
    pub(super) fn len(&self) -> usize {
        self.next as usize
    }

    /// Returns a free row, or [`Row::NONE`] after some 268 million.
    pub(super) fn take(&mut self) -> Row {
        if let Some(row) = self.free.pop_front() {
            return row;
        }
        let row = Row::from_bits(self.next);
        if row != Row::NONE {
            self.next += 1;
        }
        row
    }

    pub(super) fn give_back(&mut self, row: Row) {
        if row != Row::NONE {
            self.free.push_back(row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_used_again_oldest_first_and_never_beyond_the_last() {
        let mut rows = Rows::default();
        let [first, second] = [rows.take(), rows.take()];
        assert_eq!((first.number(), second.number(), rows.len()), (Some(0), Some(1), 2));
        rows.give_back(second);
        rows.give_back(first);
        rows.give_back(Row::NONE);
        assert_eq!((rows.take(), rows.take()), (second, first));
        assert_eq!((rows.take().number(), rows.len()), (Some(2), 3));

        rows.next = Row::NONE.bits() - 1;
        assert_ne!(rows.take(), Row::NONE);
        assert_eq!((rows.take(), rows.take().number()), (Row::NONE, None));
    }
}
