//! How clients are printed.

use std::io::{self, Write};

use pssst_identity::{Identity, IdentityStore, ListQuery, RefusedClient};
use pssst_service::Failure;

use crate::args::format::seconds;
use crate::args::store::failure;

/// Hands pages to `each` until that is enough for it.
pub(super) async fn for_each_page(
    store: &dyn IdentityStore,
    mut query: ListQuery,
    mut each: impl FnMut(&[Identity]) -> Result<bool, Failure>,
) -> Result<(), Failure> {
    query.limit = 1000;
    loop {
        let page = store.list(&query).await.map_err(|error| failure(&error))?;
        if !each(&page.identities)? || page.next.is_none() {
            return Ok(());
        }
        query.after = page.next;
    }
}

pub(super) fn as_line(out: &mut impl Write, identity: &Identity) -> io::Result<()> {
    let Identity { name, state, key, labels, requires_psk, .. } = identity;
    let psk = if *requires_psk { " psk" } else { "" };
    write!(out, "{name:<24} {state:<9} {} {key}{psk}", key.fingerprint())?;
    labels.iter().try_for_each(|(name, value)| write!(out, " {name}={value}"))?;
    writeln!(out)
}

pub(super) fn as_json(out: &mut impl Write, identity: &Identity) -> io::Result<()> {
    serde_json::to_writer(&mut *out, identity)?;
    writeln!(out)
}

pub(super) fn in_full(out: &mut impl Write, identity: &Identity) -> io::Result<()> {
    let Identity { name, state, key, labels, created, changed, expires, requires_psk, .. } = identity;
    let fingerprint = key.fingerprint();
    writeln!(out, "name         {name}\nkey          {key}\nfingerprint  {fingerprint}\nstate        {state}")?;
    writeln!(out, "created      {}\nchanged      {}", seconds(*created), seconds(*changed))?;
    match expires {
        Some(expires) => writeln!(out, "expires      {}", seconds(*expires))?,
        None => writeln!(out, "expires      never")?,
    }
    writeln!(out, "psk          {}", if *requires_psk { "required" } else { "not required" })?;
    labels.iter().try_for_each(|(name, value)| writeln!(out, "label        {name}={value}"))
}

pub(super) fn refused_as_line(out: &mut impl Write, client: &RefusedClient) -> io::Result<()> {
    let RefusedClient { key, name, cause, requests, last, .. } = client;
    let (name, last) = (name.as_deref().unwrap_or("-"), seconds(*last));
    writeln!(out, "{name:<24} {cause:<12} {requests:>8} {last} {} {key}", key.fingerprint())
}

pub(super) fn refused_as_json(out: &mut impl Write, client: &RefusedClient) -> io::Result<()> {
    let RefusedClient { key, name, cause, requests, first, last, .. } = client;
    let (key, cause) = (key.to_string(), cause.name());
    let fields = serde_json::json!({
        "key": key, "name": name, "cause": cause, "requests": requests, "first": first, "last": last
    });
    writeln!(out, "{fields}")
}

/// Writes to standard output, at once.
pub(super) fn print(write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut stdout = io::stdout();
    write(&mut text)
        .and_then(|()| stdout.write_all(&text))
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::output(&error))
}
