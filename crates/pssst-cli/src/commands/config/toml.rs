//! Values as configuration files have them.

use pssst_service::Kind;

/// Returns the value of an option; `None` without one.
pub(super) fn value(kind: &Kind, values: &[String]) -> Option<String> {
    let scalars: Vec<_> = values.iter().map(|value| scalar(value)).collect();
    match (kind, scalars.as_slice()) {
        (_, []) => None,
        (Kind::Switch, _) => values.first().cloned(),
        (Kind::List(_), scalars) => Some(format!("[{}]", scalars.join(", "))),
        (Kind::One(_), [scalar, ..]) => Some(scalar.clone()),
    }
}

/// A number stays bare. JSON's strings are strings of TOML, too.
fn scalar(value: &str) -> String {
    let is_number = value.parse::<i64>().is_ok_and(|number| number.to_string() == value);
    if is_number { value.to_owned() } else { serde_json::json!(value).to_string() }
}
