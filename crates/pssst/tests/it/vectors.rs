//! The published vectors, which an independent program made: every case, byte for byte where the
//! case allows.

#[path = "../../examples/vectors/runner.rs"]
mod runner;

#[track_caller]
fn all_pass(json: &str, count: usize) {
    let report = runner::run(json).unwrap();
    assert!(report.failures.is_empty(), "{}", report.failures.join("\n"));
    assert_eq!(report.passed, count);
}

/// [R-01] [R-02] [R-07], and the refusals in their order
///
#[test]
fn suite_1() {
    all_pass(include_str!("../vectors/pssst-suite-1.json"), 107);
}

/// [R-01] [R-02] [R-07] [R-15] [R-16] [R-36] [R-38] [R-39] [R-40]
/// whether a pre-shared key was used, and the refusals in their order
///
#[test]
fn suite_f002() {
    all_pass(include_str!("../vectors/pssst-suite-f002.json"), 435);
}

/// What [`suite_f002`] shows, over X-Wing.
#[test]
fn suite_f003() {
    all_pass(include_str!("../vectors/pssst-suite-f003.json"), 158);
}

///
#[test]
fn suite_f0e1() {
    all_pass(include_str!("../vectors/pssst-suite-f0e1.json"), 8);
}

/// The runner itself notices what is wrong: one changed digit fails one case, by its id.
#[test]
fn a_changed_vector_fails() {
    let original = include_str!("../vectors/pssst-suite-1.json");
    for (digits, changed, failing) in [
        ("00000001704fe0b9", "00000001704fe0b8", "case 1 "),
        ("80000001704fe0b902c5284f7ea942872b802388b3838867ed786e954a4d82cb21523c390693046a", "00", "case 1 "),
        ("\"error\": \"ClientKeyAlias\"", "\"error\": \"DecryptFailed\"", "case 76 "),
    ] {
        assert!(original.contains(digits), "{digits}");
        let report = runner::run(&original.replacen(digits, changed, 1)).unwrap();
        assert_eq!(report.failures.len(), 1, "{digits}");
        assert!(report.failures[0].starts_with(failing), "{}", report.failures[0]);
    }
    let report = runner::run(&original.replace("\"numberOfTests\": 107", "\"numberOfTests\": 108")).unwrap();
    assert_eq!(report.failures, ["the file says 108 cases and holds 107"]);
}
