//! Every backend beside other crates, published vectors and the kernel's word on the CPU.

mod classes;
mod common;
#[cfg(all(target_os = "linux", target_arch = "x86_64", not(miri)))]
mod detection;
mod lanes;
mod rfc7748;
#[cfg(target_os = "linux")]
mod wiping;
mod wycheproof;
