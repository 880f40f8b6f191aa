//! The vector units of x86-64. The only unsafe code of the workspace is in these files.

pub(crate) mod avx2;
pub(crate) mod ifma;
