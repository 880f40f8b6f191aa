//! What CI checks: the steps of `.ci/steps.toml`, by tier or by name.
//!
//! Every step runs even if one before it failed.

use std::error::Error;
use std::fs;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use self::output::{Counts, excerpt};
use self::plan::{Plan, Step, Tier};

mod output;
mod plan;

/// The file of the steps, from the root of the repository.
const STEPS: &str = ".ci/steps.toml";

/// Before every script. Programs of `scripts/install-tools` come first.
const PRELUDE: &str = r#"
exec 2>&1
set -euo pipefail
export CARGO_TERM_COLOR=never DEBIAN_FRONTEND=noninteractive PATH="$PWD/target/tools/bin:$PATH"
# Programs are looked for where cargo puts them by default.
unset CARGO_TARGET_DIR
as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi; }
"#;

/// What became of a script.
struct Outcome {
    is_success: bool,
    output: String,
    time: Duration,
}

/// What became of all steps so far.
#[derive(Default)]
struct Summary {
    counts: Counts,
    times: Vec<(Tier, String, Duration)>,
    failures: Vec<String>,
}

/// Runs the steps of these tiers and names, or prints all of them for `list`. Returns whether all
/// passed.
///
/// # Errors
/// For a name that is neither a tier's nor a step's, and for a file of steps that is not right.
pub(crate) fn run(root: &Path, names: &[&str]) -> Result<bool, Box<dyn Error>> {
    let text = fs::read_to_string(root.join(STEPS)).map_err(|error| format!("{STEPS}: {error}"))?;
    let plan = Plan::parse(&text).map_err(|error| format!("{STEPS}: {error}"))?;
    if names == ["list"] {
        print!("{plan}");
        return Ok(true);
    }
    let mut summary = Summary::default();
    let mut background: Vec<(&Step, JoinHandle<Outcome>)> = Vec::new();
    for step in plan.select(names)? {
        for (earlier, outcome) in background.extract_if(.., |(earlier, _)| step.needs.contains(&earlier.name)) {
            summary.add_background(earlier, outcome);
        }
        if step.background {
            println!("\n=== {}, in the background", step.name);
            let (root, script) = (root.to_owned(), step.run.clone());
            background.push((step, thread::spawn(move || execute(&root, &script, |_| {}))));
        } else {
            println!("\n=== {}", step.name);
            summary.add(step, &execute(root, &step.run, |line| println!("{line}")));
        }
    }
    for (step, outcome) in background {
        summary.add_background(step, outcome);
    }
    if names.contains(&Tier::Full.name()) {
        summary.compare_with_reality(root, &plan);
    }
    summary.print(&plan, names);
    Ok(summary.counts.failed == 0)
}

/// Runs a script in the folder `root`, and hands each line that it prints to `print`.
fn execute(root: &Path, script: &str, print: impl Fn(&str)) -> Outcome {
    let start = Instant::now();
    let mut output = String::new();
    let result = (|| {
        let (reader, writer) = io::pipe()?;
        let mut bash = Command::new("bash");
        bash.arg("-c").arg(format!("{PRELUDE}{script}")).current_dir(root);
        let mut child = bash.stdin(Stdio::null()).stdout(writer).spawn()?;
        // Its copy of the pipe would keep the reader waiting.
        drop(bash);
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            print(&line);
            output.push_str(&line);
            output.push('\n');
        }
        child.wait()
    })();
    if let Err(error) = &result {
        output.extend(["error: bash: ", &error.to_string(), "\n"]);
    }
    Outcome { is_success: result.is_ok_and(|status| status.success()), output, time: start.elapsed() }
}

impl Summary {
    fn add(&mut self, step: &Step, outcome: &Outcome) {
        let counts = Counts::of_step(&outcome.output, outcome.is_success);
        self.counts += counts;
        self.times.push((step.tier, step.name.clone(), outcome.time));
        if counts.failed > 0 {
            println!("=== FAILED: {}", step.name);
            self.failures.push(format!("=== FAILED: {}\n{}", step.name, excerpt(&outcome.output)));
        }
    }

    /// Waits for a step, and prints its output. Its time counts as far as it was waited for.
    fn add_background(&mut self, step: &Step, outcome: JoinHandle<Outcome>) {
        println!("\n=== {}, from the background", step.name);
        let start = Instant::now();
        let mut outcome = outcome.join().unwrap_or_else(|_| Outcome {
            is_success: false,
            output: "error: its thread panicked\n".into(),
            time: Duration::ZERO,
        });
        print!("{}", outcome.output);
        println!("it took {} s", outcome.time.as_secs());
        outcome.time = start.elapsed();
        self.add(step, &outcome);
    }

    /// Says what is not run, and fails for what can be run here after all.
    fn compare_with_reality(&mut self, root: &Path, plan: &Plan) {
        println!();
        for entry in &plan.not_run {
            println!("{entry}");
            if execute(root, &entry.possible, |_| {}).is_success {
                self.counts.failed += 1;
                let what = &entry.what;
                self.failures.push(format!("=== FAILED: {what}: it can run here, so make it a step of {STEPS}"));
            } else {
                self.counts.passed += 1;
            }
        }
    }

    fn print(&self, plan: &Plan, names: &[&str]) {
        println!();
        for (_, name, time) in &self.times {
            println!("{:>6} s  {name}", time.as_secs());
        }
        for (tier, budget) in plan.budget.iter().filter(|(tier, _)| names.contains(&tier.name())) {
            let time: Duration = self.times.iter().filter(|(of, ..)| of == tier).map(|(.., time)| *time).sum();
            println!("{:>6} s  of the budget of {budget} s for {}", time.as_secs(), tier.name());
        }
        self.failures.iter().for_each(|failure| println!("\n{failure}"));
        println!("\n{} passed, {} failed", self.counts.passed, self.counts.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_ends_at_its_first_failure_and_all_that_it_printed_is_kept() {
        let root = Path::new(".");
        let outcome = execute(root, "echo one; echo two >&2; false; echo three", |_| {});
        assert_eq!((outcome.is_success, &outcome.output[..]), (false, "one\ntwo\n"));
        assert!(execute(root, "echo fine", |line| assert_eq!(line, "fine")).is_success);
        assert!(!execute(root, "false | true", |_| {}).is_success);
    }

    #[test]
    fn what_can_run_after_all_fails() {
        let plan = |possible: &str| {
            let entry = format!("[budget]\n[[not-run]]\nwhat = \"a\"\nbecause = \"b\"\npossible = \"{possible}\"\n");
            Plan::parse(&format!("step = []\n{entry}")).unwrap()
        };
        let mut summary = Summary::default();
        summary.compare_with_reality(Path::new("."), &plan("false"));
        assert_eq!(summary.counts, Counts { passed: 1, failed: 0 });
        summary.compare_with_reality(Path::new("."), &plan("true"));
        assert_eq!(summary.counts, Counts { passed: 1, failed: 1 });
    }
}
