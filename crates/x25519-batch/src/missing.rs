//! What stands for the backends that a target does not have. There is no value of either type.

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
pub(crate) use lanes::MissingLanes;
#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
pub(crate) use single::MissingSingle;

#[cfg(not(all(feature = "std", any(target_arch = "x86_64", target_arch = "aarch64"), not(miri))))]
mod single {
    use crate::arithmetic::Single;
    use crate::product::Product;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum MissingSingle {}

    impl Single for MissingSingle {
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
}

#[cfg(not(all(target_arch = "x86_64", not(miri))))]
mod lanes {
    use crate::arithmetic::Lanes;
    use crate::batch::Scalars;
    use crate::product::Product;
    use crate::subgroup::PointClass;

    #[derive(Clone, Copy, Debug)]
    pub(crate) enum MissingLanes {}

    impl Lanes for MissingLanes {
        const COUNT: usize = 1;
        const FEWEST: usize = 1;

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
}
