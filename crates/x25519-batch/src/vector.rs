//! Words side by side: what the arithmetic asks of a vector unit.
//!
//! Every method of every vector is `#[inline(always)]`, and so is all the arithmetic above: it must
//! end up inside the one function of a backend that is compiled for the instructions it needs. What
//! is not inlined there is compiled without them, and several times slower.

use subtle::{Choice, ConditionallySelectable};

/// A 64-bit word in each lane.
pub(crate) trait Vector: Copy {
    /// Words side by side.
    const LANES: usize;

    /// Returns a vector with this word in every lane.
    fn splat(word: u64) -> Self;
    /// Returns the first words of a slice. Lanes beyond its end are zero.
    fn load(words: &[u64]) -> Self;
    /// The words of all lanes, as far as the slice takes them.
    fn store(self, words: &mut [u64]);
    /// `self + other`, which is below 2^64.
    fn add(self, other: Self) -> Self;
    /// `self - other`, which is not below zero.
    fn sub(self, other: Self) -> Self;
    fn and(self, other: Self) -> Self;
    fn or(self, other: Self) -> Self;
    fn xor(self, other: Self) -> Self;
    /// Bits that leave the word are lost.
    fn shift_left<const BITS: u32>(self) -> Self;
    fn shift_right<const BITS: u32>(self) -> Self;
    /// `set` in the lanes where the selector's top bit is set, `clear` in the others.
    fn select(selector: Self, clear: Self, set: Self) -> Self;

    /// Returns the selector of the lanes whose word is not zero.
    #[inline(always)]
    fn nonzero(self) -> Self {
        // Half the word, and its lowest bit so that one does not become zero. Then anything but
        // zero carries into the top.
        let half = self.shift_right::<1>().or(self.and(Self::splat(1)));
        half.add(Self::splat((1 << 63) - 1))
    }

    /// Returns whether a word in any lane reaches the bound. For assertions on the arithmetic.
    fn any_reaches(self, bound: u64) -> bool {
        let mut words = [0; MAX_LANES];
        self.store(&mut words);
        words.iter().any(|word| *word >= bound)
    }
}

/// No vector has more lanes.
pub(crate) const MAX_LANES: usize = 16;

/// Multiplication of 52-bit words, as AVX-512 IFMA has it. The upper 12 bits of the factors do not
/// count.
pub(crate) trait Multiply52: Vector {
    /// `self` plus the low 52 bits of `f * g`.
    fn add_low(self, f: Self, g: Self) -> Self;
    /// `self` plus the high 52 bits of `f * g`.
    fn add_high(self, f: Self, g: Self) -> Self;
    /// `self * other`, which is below 2^64.
    fn scale(self, other: Self) -> Self;
}

/// Multiplication of 32-bit words, as AVX2 has it. The upper 32 bits of the factors do not count.
pub(crate) trait Multiply32: Vector {
    /// `self * other`.
    fn multiply(self, other: Self) -> Self;
}

/// Two vectors as one. Each waits while the other is worked on, which hides how long a single
/// operation takes.
#[derive(Clone, Copy)]
pub(crate) struct Pair<V>(V, V);

impl<V: Vector> Vector for Pair<V> {
    const LANES: usize = 2 * V::LANES;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        Self(V::splat(word), V::splat(word))
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        let (first, second) = words.split_at(V::LANES.min(words.len()));
        Self(V::load(first), V::load(second))
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        let (first, second) = words.split_at_mut(V::LANES.min(words.len()));
        self.0.store(first);
        self.1.store(second);
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        Self(self.0.add(other.0), self.1.add(other.1))
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        Self(self.0.sub(other.0), self.1.sub(other.1))
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        Self(self.0.and(other.0), self.1.and(other.1))
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        Self(self.0.or(other.0), self.1.or(other.1))
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        Self(self.0.xor(other.0), self.1.xor(other.1))
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        Self(self.0.shift_left::<BITS>(), self.1.shift_left::<BITS>())
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        Self(self.0.shift_right::<BITS>(), self.1.shift_right::<BITS>())
    }

    #[inline(always)]
    fn select(selector: Self, clear: Self, set: Self) -> Self {
        Self(V::select(selector.0, clear.0, set.0), V::select(selector.1, clear.1, set.1))
    }
}

impl<V: Multiply52> Multiply52 for Pair<V> {
    #[inline(always)]
    fn add_low(self, f: Self, g: Self) -> Self {
        Self(self.0.add_low(f.0, g.0), self.1.add_low(f.1, g.1))
    }

    #[inline(always)]
    fn add_high(self, f: Self, g: Self) -> Self {
        Self(self.0.add_high(f.0, g.0), self.1.add_high(f.1, g.1))
    }

    #[inline(always)]
    fn scale(self, other: Self) -> Self {
        Self(self.0.scale(other.0), self.1.scale(other.1))
    }
}

/// One lane. Its additions and subtractions are Rust's own, so with debug assertions none overflows
/// unseen.
impl Vector for u64 {
    const LANES: usize = 1;

    #[inline(always)]
    fn splat(word: u64) -> Self {
        word
    }

    #[inline(always)]
    fn load(words: &[u64]) -> Self {
        words.first().copied().unwrap_or(0)
    }

    #[inline(always)]
    fn store(self, words: &mut [u64]) {
        if let Some(word) = words.first_mut() {
            *word = self;
        }
    }

    #[inline(always)]
    fn add(self, other: Self) -> Self {
        self + other
    }

    #[inline(always)]
    fn sub(self, other: Self) -> Self {
        self - other
    }

    #[inline(always)]
    fn and(self, other: Self) -> Self {
        self & other
    }

    #[inline(always)]
    fn or(self, other: Self) -> Self {
        self | other
    }

    #[inline(always)]
    fn xor(self, other: Self) -> Self {
        self ^ other
    }

    #[inline(always)]
    fn shift_left<const BITS: u32>(self) -> Self {
        self << BITS
    }

    #[inline(always)]
    fn shift_right<const BITS: u32>(self) -> Self {
        self >> BITS
    }

    #[inline(always)]
    fn select(selector: Self, clear: Self, set: Self) -> Self {
        Self::conditional_select(&clear, &set, Choice::from((selector >> 63) as u8))
    }
}

/// The instructions of the vector units in a single lane, for tests: what a unit would drop without
/// a word is refused.
#[cfg(test)]
impl Multiply52 for u64 {
    fn add_low(self, f: Self, g: Self) -> Self {
        assert!(f < 1 << 52 && g < 1 << 52, "a factor of more than 52 bits");
        self + f.wrapping_mul(g) % (1 << 52)
    }

    fn add_high(self, f: Self, g: Self) -> Self {
        assert!(f < 1 << 52 && g < 1 << 52, "a factor of more than 52 bits");
        self + Self::try_from((u128::from(f) * u128::from(g)) >> 52).expect("104 bits less 52")
    }

    fn scale(self, other: Self) -> Self {
        self.checked_mul(other).expect("a multiple of more than 64 bits")
    }
}

/// As above.
#[cfg(test)]
impl Multiply32 for u64 {
    fn multiply(self, other: Self) -> Self {
        assert!(self < 1 << 32 && other < 1 << 32, "a factor of more than 32 bits");
        self * other
    }
}
