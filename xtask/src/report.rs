//! The result of a check.

/// Result of a check.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Things that are as they should be.
    pub(crate) passed: usize,
    /// One text for each fault.
    pub(crate) complaints: Vec<String>,
}

impl Report {
    /// Adds one thing with its faults.
    pub(crate) fn add(&mut self, complaints: Vec<String>) {
        self.passed += usize::from(complaints.is_empty());
        self.complaints.extend(complaints);
    }
}
