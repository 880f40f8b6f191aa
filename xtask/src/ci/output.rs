//! The output of a step: its counts of tests, and what a person reads of a failure.

use std::ops::AddAssign;
use std::sync::LazyLock;

use regex::Regex;

/// Lines of a failure that are shown again at the end.
const EXCERPT_LINES: usize = 12;

/// Tests of a step.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: u64,
    pub(super) failed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

impl Counts {
    /// Counts the tests that a step reports, or else the step itself.
    ///
    /// A step that reports that it ran no test has failed: its tests have other names by now.
    pub(super) fn of_step(output: &str, is_success: bool) -> Self {
        /// A summary by cargo, by nextest, or by our own scripts.
        static SUMMARY: LazyLock<Regex> = LazyLock::new(|| {
            let summary = r"(?m)^(?:test result: \w+\. | *Summary \[.*\] .* run: )?\d+ passed\b.*$";
            Regex::new(summary).expect("the pattern is valid")
        });
        static COUNT: LazyLock<Regex> = LazyLock::new(|| {
            Regex::new(r"(\d+) (?:(passed)|failed|timed out|exec failed)\b").expect("the pattern is valid")
        });
        let mut counts = Self::default();
        let mut is_counted = false;
        for summary in SUMMARY.find_iter(output) {
            is_counted = true;
            for count in COUNT.captures_iter(summary.as_str()) {
                let number = count[1].parse().unwrap_or(0);
                *if count.get(2).is_some() { &mut counts.passed } else { &mut counts.failed } += number;
            }
        }
        match (counts, is_success) {
            (Self { failed: 0, .. }, false) => counts.failed = 1,
            (Self { passed: 0, failed: 0 }, true) if is_counted => counts.failed = 1,
            (Self { passed: 0, failed: 0 }, true) => counts.passed = 1,
            _ => {}
        }
        counts
    }
}

/// Returns what a person looks for first: the names of failed tests, or else the last lines.
pub(super) fn excerpt(output: &str) -> String {
    static FAILURE: LazyLock<Regex> = LazyLock::new(|| {
        let failure = r"^(test .* FAILED| +(FAIL|TIMEOUT) |FAILED|not ok|error)|panicked at";
        Regex::new(failure).expect("the pattern is valid")
    });
    let failures: Vec<_> = output.lines().filter(|line| FAILURE.is_match(line)).collect();
    let lines = if failures.is_empty() { output.lines().collect() } else { failures };
    lines[lines.len().saturating_sub(EXCERPT_LINES)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn assert_counts(output: &str, is_success: bool, passed: u64, failed: u64) {
        assert_eq!(Counts::of_step(output, is_success), Counts { passed, failed }, "{output}");
    }

    #[test]
    fn summaries_of_all_runners_are_counted() {
        let cargo = "test result: ok. 3 passed; 0 failed; 1 ignored\ntest result: FAILED. 2 passed; 1 failed; 0 ig\n";
        assert_counts(cargo, false, 5, 1);
        let nextest =
            "     Summary [  23.4s] 777/778 tests run: 774 passed (1 slow), 1 failed, 2 timed out, 3 skipped\n";
        assert_counts(nextest, false, 774, 3);
        assert_counts("     Summary [   0.1s] 1 test run: 1 passed, 9 skipped\n9 passed, 0 failed\n", true, 10, 0);
    }

    #[test]
    fn a_step_without_tests_is_one_and_a_step_that_ran_none_has_failed() {
        assert_counts("nothing\n", true, 1, 0);
        assert_counts("nothing\n", false, 0, 1);
        assert_counts("test result: ok. 0 passed; 0 failed; 12 filtered out\n", true, 0, 1);
        assert_counts("5 passed, 0 failed\n", false, 5, 1);
    }

    #[test]
    fn an_excerpt_has_the_failed_tests_or_the_end() {
        assert_eq!(
            excerpt("test a ... ok\ntest b ... FAILED\nthread panicked at x\nend\n"),
            "test b ... FAILED\nthread panicked at x"
        );
        let lines: Vec<_> = (0..20).map(|line| line.to_string()).collect();
        assert_eq!(excerpt(&lines.join("\n")).lines().collect::<Vec<_>>(), lines[8..]);
    }
}
