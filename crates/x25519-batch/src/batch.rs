//! From bytes to lanes and back: a batch of X25519 over any field.

use crate::field::{Field, constant, invert, multiply};
use crate::ladder::ladder;
use crate::product::Product;
use crate::vector::{MAX_LANES, Vector};

/// The scalars of a batch.
#[derive(Clone, Copy)]
pub(crate) enum Scalars<'a> {
    /// One scalar for all points.
    One(&'a [u8; 32]),
    /// One for each point.
    Each(&'a [[u8; 32]]),
}

impl<'a> Scalars<'a> {
    /// Returns the first scalars, and the others.
    #[inline(always)]
    pub(crate) fn split_at(self, count: usize) -> (Self, Self) {
        match self {
            Self::One(_) => (self, self),
            Self::Each(scalars) => {
                let (first, others) = scalars.split_at(count.min(scalars.len()));
                (Self::Each(first), Self::Each(others))
            }
        }
    }

    /// Returns the scalars in turn; the one over and over.
    pub(crate) fn iter(self) -> impl Iterator<Item = &'a [u8; 32]> {
        let (one, each): (Option<_>, &[_]) = match self {
            Self::One(scalar) => (Some(scalar), &[]),
            Self::Each(scalars) => (None, scalars),
        };
        each.iter().chain(one.into_iter().cycle())
    }

    #[inline(always)]
    fn load<V: Vector>(self) -> [V; 4] {
        match self {
            Self::One(scalar) => {
                let [w0, w1, w2, w3] = words(scalar);
                [V::splat(w0), V::splat(w1), V::splat(w2), V::splat(w3)]
            }
            Self::Each(scalars) => load(scalars),
        }
    }
}

/// Multiplies every point by its scalar, `VECTORS` vectors at a time.
///
/// Fractions become u-coordinates together: the product of all their denominators is inverted once,
/// and each inverse is cut from it by multiplications (Montgomery's trick). A zero among them would
/// spoil the rest, so it is replaced by one, and its numerator by zero.
#[inline(always)]
pub(crate) fn multiply_batch<F: Field, const VECTORS: usize>(
    scalars: Scalars<'_>,
    points: &[[u8; 32]],
    products: &mut [Product],
) {
    let mut rest = scalars;
    let size = VECTORS * F::Word::LANES;
    for (points, products) in points.chunks(size).zip(products.chunks_mut(size)) {
        let one = constant::<F>([1, 0, 0, 0]);
        let mut fractions = [(one, one); VECTORS];
        // For each, the product of the denominators before it.
        let mut before = [one; VECTORS];
        let mut all = one;
        for ((points, fraction), before) in points.chunks(F::Word::LANES).zip(&mut fractions).zip(&mut before) {
            let scalars;
            (scalars, rest) = rest.split_at(points.len());
            let (x, z) = ladder::<F>(scalars.load(), F::from_words(load(points)));
            let [w0, w1, w2, w3] = z.to_words();
            let nonzero = w0.or(w1).or(w2).or(w3).nonzero();
            let z = F::select(nonzero, one, z);
            *fraction = (F::select(nonzero, constant([0; 4]), x), z);
            *before = all;
            all = multiply(all, z);
        }
        let mut inverse = invert(all);
        for ((fraction, before), products) in
            fractions.iter().zip(&before).zip(products.chunks_mut(F::Word::LANES)).rev()
        {
            let (x, z) = *fraction;
            let u = multiply(x, multiply(inverse, *before));
            inverse = multiply(inverse, z);
            store(u.to_words(), products);
        }
    }
}

/// Items into lanes, as words, lowest first. Lanes without one are zero.
#[inline(always)]
pub(crate) fn load<V: Vector>(items: &[[u8; 32]]) -> [V; 4] {
    let mut rows = [[0; MAX_LANES]; 4];
    for (lane, item) in items.iter().take(V::LANES).enumerate() {
        for (row, word) in rows.iter_mut().zip(words(item)) {
            row[lane] = word;
        }
    }
    [V::load(&rows[0]), V::load(&rows[1]), V::load(&rows[2]), V::load(&rows[3])]
}

#[inline(always)]
fn store<V: Vector>(words: [V; 4], products: &mut [Product]) {
    let mut rows = [[0; MAX_LANES]; 4];
    for (row, words) in rows.iter_mut().zip(words) {
        words.store(row);
    }
    for (lane, product) in products.iter_mut().take(V::LANES).enumerate() {
        let mut bytes = [0; 32];
        for (bytes, row) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(&rows) {
            *bytes = row[lane].to_le_bytes();
        }
        *product = Product::from_bytes(bytes);
    }
}

/// 32 bytes as words, lowest first.
#[inline(always)]
pub(crate) fn words(item: &[u8; 32]) -> [u64; 4] {
    let mut words = [0; 4];
    for (word, bytes) in words.iter_mut().zip(item.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    words
}
