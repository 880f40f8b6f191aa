//! The file of the steps.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// Steps that are run together.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(rename_all = "lowercase")]
pub(super) enum Tier {
    Fast,
    Full,
    Root,
    Long,
}

impl Tier {
    pub(super) const ALL: [Self; 4] = [Self::Fast, Self::Full, Self::Root, Self::Long];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Full => "full",
            Self::Root => "root",
            Self::Long => "long",
        }
    }
}

/// One check.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) tier: Tier,
    /// For bash.
    pub(super) run: String,
    /// Names of earlier steps.
    #[serde(default)]
    pub(super) needs: Vec<String>,
    /// Runs beside the next steps, until one needs it.
    #[serde(default)]
    pub(super) background: bool,
}

/// A check that no machine of CI can run.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NotRun {
    pub(super) what: String,
    pub(super) because: String,
    /// For bash: ends with 0 where the check can run.
    pub(super) possible: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Plan {
    /// Seconds on two idle cores.
    pub(super) budget: BTreeMap<Tier, u64>,
    #[serde(rename = "step")]
    pub(super) steps: Vec<Step>,
    #[serde(rename = "not-run", default)]
    pub(super) not_run: Vec<NotRun>,
}

impl Plan {
    /// # Errors
    /// For text that is not such a file, a name that is there twice, and a need that is not the
    /// name of an earlier step.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let plan: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for (index, step) in plan.steps.iter().enumerate() {
            let earlier = &plan.steps[..index];
            let is_earlier = |name: &str| earlier.iter().any(|other| other.name == name);
            if is_earlier(&step.name) || Tier::ALL.iter().any(|tier| tier.name() == step.name) {
                return Err(format!("the name {} is taken", step.name));
            }
            if let Some(missing) = step.needs.iter().find(|need| !is_earlier(need)) {
                return Err(format!("{} needs {missing}, which is not an earlier step", step.name));
            }
        }
        Ok(plan)
    }

    /// Returns the steps of these tiers and names, with all that they need, in the order of the
    /// file.
    ///
    /// # Errors
    /// Without a name, and for a name that is neither a tier's nor a step's.
    pub(super) fn select(&self, names: &[&str]) -> Result<Vec<&Step>, String> {
        let mut wanted: Vec<&str> = Vec::new();
        for name in names {
            let before = wanted.len();
            let steps = self.steps.iter().filter(|step| step.name == *name || step.tier.name() == *name);
            wanted.extend(steps.map(|step| &step.name[..]));
            if wanted.len() == before {
                return Err(format!("{name} is neither a tier nor a step: `cargo xtask ci list` prints them"));
            }
        }
        if wanted.is_empty() {
            return Err("name tiers (fast, full, root, long) or steps: `cargo xtask ci list` prints them".into());
        }
        // A step needs earlier steps only, so that one pass from the end finds all.
        let mut selected: Vec<_> = Vec::new();
        for step in self.steps.iter().rev() {
            if wanted.contains(&&step.name[..]) {
                wanted.extend(step.needs.iter().map(|need| &need[..]));
                selected.push(step);
            }
        }
        selected.reverse();
        Ok(selected)
    }
}

/// The tiers, their budgets and their steps.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for tier in Tier::ALL {
            match self.budget.get(&tier) {
                Some(seconds) => writeln!(f, "{} ({seconds} s)", tier.name())?,
                None => writeln!(f, "{} (by hand)", tier.name())?,
            }
            for step in self.steps.iter().filter(|step| step.tier == tier) {
                writeln!(f, "    {}", step.name)?;
            }
        }
        self.not_run.iter().try_for_each(|entry| writeln!(f, "{entry}"))
    }
}

impl fmt::Display for NotRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not run: {}, because {}", self.what, self.because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: &str = r#"
        [budget]
        fast = 300
        [[step]]
        name = "build"
        tier = "full"
        background = true
        run = "true"
        [[step]]
        name = "formatting"
        tier = "fast"
        run = "true"
        [[step]]
        name = "package"
        tier = "root"
        needs = ["build"]
        run = "true"
        [[step]]
        name = "units"
        tier = "root"
        needs = ["package"]
        run = "true"
    "#;

    fn selected(names: &[&str]) -> Result<Vec<String>, String> {
        Plan::parse(PLAN)?.select(names).map(|steps| steps.iter().map(|step| step.name.clone()).collect())
    }

    #[test]
    fn tiers_and_steps_are_selected_with_what_they_need() {
        assert_eq!(selected(&["fast"]).unwrap(), ["formatting"]);
        assert_eq!(selected(&["units"]).unwrap(), ["build", "package", "units"]);
        assert_eq!(selected(&["root", "fast"]).unwrap(), ["build", "formatting", "package", "units"]);
        for names in [&[][..], &["slow"], &["fast", "unit"], &["long"]] {
            selected(names).unwrap_err();
        }
    }

    #[test]
    fn plans_that_cannot_be_run_are_refused() {
        for (right, wrong) in [
            ("needs = [\"package\"]", "needs = [\"container\"]"),
            ("needs = [\"build\"]", "needs = [\"units\"]"),
            ("name = \"package\"", "name = \"build\""),
            ("name = \"package\"", "name = \"fast\""),
            ("tier = \"fast\"", "tier = \"slow\""),
            ("background", "backgruond"),
        ] {
            assert!(PLAN.contains(right));
            Plan::parse(&PLAN.replace(right, wrong)).unwrap_err();
        }
    }

    #[test]
    fn the_plan_of_this_repository_is_right() {
        let plan = Plan::parse(include_str!("../../../.ci/steps.toml")).unwrap();
        let seconds: u64 = plan.budget.values().sum();
        assert!(seconds <= 2400, "{seconds} s in all");
        assert!(plan.to_string().starts_with("fast (540 s)\n    formatting\n"), "{plan}");
    }
}
