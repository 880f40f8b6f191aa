//! The services that can be configured.

use pssst_service::{Failure, Program};

/// Returns whether there is a service with this name.
pub(super) fn service(name: &str, program: &Program) -> Result<(), Failure> {
    if program.services.contains(&name) {
        return Ok(());
    }
    let remedy = format!("give one of {}", program.services.join(", "));
    Err(Failure::usage(format!("there is no service {name:?}"), remedy))
}
