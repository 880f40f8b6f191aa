//! Every place of a batch, every length, and inputs from the edges: all as another crate has them.

use std::env;

use x25519_batch::{LengthMismatch, PointClass, Product, X25519};

use crate::common::{assert_in_every_lane, backends, expected, multiply_pairs, multiply_points, random, randoms, rng};

/// p and what follows, in the lowest byte: 2^255 - 19 + offset.
fn from_p_on(offset: u8) -> [u8; 32] {
    let mut point = [0xff; 32];
    (point[0], point[31]) = (0xed + offset, 0x7f);
    point
}

fn small(value: u8) -> [u8; 32] {
    let mut point = [0; 32];
    point[0] = value;
    point
}

/// Each with its top bit clear, and set.
fn edge_points() -> Vec<[u8; 32]> {
    let mut points: Vec<_> = (0..=20).map(small).collect();
    // p and above: 0 to 18 once more, the last of them 2^255 - 1.
    points.extend((0..19).map(from_p_on));
    // p - 1, p - 2 and p - 9.
    for below in [1, 2, 9] {
        let mut point = from_p_on(0);
        point[0] -= below;
        points.push(point);
    }
    // The two of order 8, and one of each from either side.
    for order_8 in [
        "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
        "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    ] {
        let point = crate::common::bytes(order_8);
        points.push(point);
        for step in [1, 0xff] {
            let mut neighbour = point;
            neighbour[0] = neighbour[0].wrapping_add(step);
            points.push(neighbour);
        }
    }
    // Powers of two, alone and less one: a single bit in each limb of any radix, and runs of ones.
    for exponent in 5..255 {
        let mut power = [0; 32];
        power[exponent / 8] = 1 << (exponent % 8);
        points.push(power);
        let mut ones = [0xff; 32];
        ones[exponent / 8] = (1 << (exponent % 8)) - 1;
        ones[exponent / 8 + 1..].fill(0);
        points.push(ones);
    }
    let with_top_bit = points.iter().map(|point| {
        let mut point = *point;
        point[31] |= 0x80;
        point
    });
    let with_top_bit: Vec<_> = with_top_bit.collect();
    points.extend(with_top_bit);
    points
}

/// Among them some that clamping changes much.
fn edge_scalars() -> Vec<[u8; 32]> {
    let mut alternating = [0x55; 32];
    alternating[16..].fill(0xaa);
    let mut top_only = [0; 32];
    top_only[31] = 0x40;
    vec![[0; 32], small(1), small(8), [0xff; 32], alternating, top_only, [0x80; 32], [0x7f; 32]]
}

#[test]
fn edges_in_every_lane() {
    let mut rng = rng(71);
    let mut points = edge_points();
    points.truncate(points.len() / 64 * 64);
    let mut scalars: Vec<_> = edge_scalars().into_iter().cycle().take(points.len()).collect();
    for scalar in scalars.iter_mut().skip(1).step_by(2) {
        *scalar = random(&mut rng);
    }
    let products = expected(&scalars, &points);
    assert!(products.iter().filter(|product| **product == [0; 32]).count() >= 10);
    for x25519 in backends() {
        assert_in_every_lane(x25519, &scalars, &points, &products);
    }
}

/// A point of low order alone among others in each place, then all of them but one: no lane spoils
/// another.
#[test]
fn zeros_stay_in_their_lane() {
    let mut rng = rng(72);
    let scalar = random(&mut rng);
    let ordinary = randoms(&mut rng, 64);
    let products = expected(&[scalar; 64], &ordinary);
    for x25519 in backends() {
        for place in 0..64 {
            let (mut points, mut wanted) = (ordinary.clone(), products.clone());
            (points[place], wanted[place]) = (small(u8::from(place % 2 == 0)), [0; 32]);
            assert_eq!(multiply_points(x25519, &scalar, &points), wanted);

            let (mut points, mut wanted) = (vec![from_p_on(0); 64], vec![[0; 32]; 64]);
            (points[place], wanted[place]) = (ordinary[place], products[place]);
            assert_eq!(multiply_points(x25519, &scalar, &points), wanted);
        }
    }
}

#[test]
fn every_length() {
    let mut rng = rng(73);
    for length in 0..=64 + 17 {
        let (scalars, points) = (randoms(&mut rng, length), randoms(&mut rng, length));
        let each = expected(&scalars, &points);
        let one = scalars.first().copied().unwrap_or([7; 32]);
        let all = expected(&vec![one; length], &points);
        for x25519 in backends() {
            assert_eq!(multiply_pairs(x25519, &scalars, &points), each, "{length}");
            assert_eq!(multiply_points(x25519, &one, &points), all, "{length}");
        }
    }
}

#[test]
fn slices_of_different_lengths_are_refused_and_nothing_is_written() {
    let points = [[9; 32]; 5];
    for x25519 in backends() {
        for count in [0, 4, 6] {
            let mut products = vec![Product::default(); count];
            assert_eq!(x25519.multiply_points(&[1; 32], &points, &mut products), Err(LengthMismatch));
            assert_eq!(x25519.multiply_pairs(&[[1; 32]; 5], &points, &mut products), Err(LengthMismatch));
            assert_eq!(
                x25519.multiply_pairs(&vec![[1; 32]; count], &points, &mut vec![Product::default(); 5]),
                Err(LengthMismatch)
            );
            assert!(products.iter().all(|product| product.is_zero().into()));
            let mut classes = vec![PointClass::LowOrder; count];
            assert_eq!(x25519.classify_points(&points, &mut classes), Err(LengthMismatch));
            assert!(classes.iter().all(|class| *class == PointClass::LowOrder));
        }
    }
    assert_eq!(LengthMismatch.to_string(), "slices of different lengths for one batch");
}

/// `X25519_BATCH_PAIRS` sets another number of pairs, and `X25519_BATCH_SEED` another seed.
#[test]
fn random_pairs() {
    let count: usize = env::var("X25519_BATCH_PAIRS").map_or(20_000, |count| count.parse().unwrap());
    let seed: u64 = env::var("X25519_BATCH_SEED").map_or(74, |seed| seed.parse().unwrap());
    let mut rng = rng(seed);
    let backends = backends();
    let mut done = 0;
    while done < count {
        // Lengths that fill lanes, and leave some over.
        let length = (64 + done % 7).min(count - done);
        let (scalars, points) = (randoms(&mut rng, length), randoms(&mut rng, length));
        let products = expected(&scalars, &points);
        for x25519 in &backends {
            assert_eq!(multiply_pairs(*x25519, &scalars, &points), products);
        }
        done += length;
    }
    println!("{done} random pairs on each backend");
}

#[test]
fn the_default_is_the_best() {
    let best = backends().last().unwrap().batch_backend();
    assert_eq!(X25519::new().batch_backend(), best);
    assert_eq!(X25519::default().batch_backend(), best);
}
