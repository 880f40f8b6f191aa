//! Documents from a directory: keys, answers of an enrolment, problems.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pssst_directory::{EnrollmentRequest, EnrollmentResponse, KeySet, Problem};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(document) = KeySet::parse(bytes) {
        // A document that was accepted is accepted again.
        assert_eq!(KeySet::parse(document.to_json().as_bytes()).expect("a valid document"), document);
    }
    // Either outcome is right.
    drop(EnrollmentRequest::parse(bytes));
    drop(EnrollmentResponse::parse(bytes));
    drop(Problem::parse(bytes));
});
