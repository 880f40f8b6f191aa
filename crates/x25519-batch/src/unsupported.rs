//! Stand-ins for the backends that a target does not have. Neither type has a value.

#![allow(dead_code, reason = "each target lacks other backends, or none")]

use crate::arithmetic::{Lanes, Single};
use crate::batch::Scalars;
use crate::product::Product;
use crate::subgroup::PointClass;

#[derive(Clone, Copy, Debug)]
pub(crate) enum UnsupportedSingle {}

impl Single for UnsupportedSingle {
    fn detect() -> Option<Self> {
        None
    }

    fn multiply(self, _: &[u8; 32], _: &[u8; 32]) -> Product {
        match self {}
    }

    fn multiply_base(self, _: &[u8; 32]) -> [u8; 32] {
        match self {}
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum UnsupportedLanes {}

impl Lanes for UnsupportedLanes {
    const COUNT: usize = 1;
    const MIN_BATCH: usize = 1;

    fn detect() -> Option<Self> {
        None
    }

    fn multiply(self, _: Scalars<'_>, _: &[[u8; 32]], _: &mut [Product]) {
        match self {}
    }

    fn classify(self, _: &[[u8; 32]], _: &mut [PointClass]) {
        match self {}
    }
}
