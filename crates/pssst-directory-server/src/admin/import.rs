//! Import of clients: lines of JSON as `pssst clients export` writes them.

use std::collections::HashMap;

use pssst::PublicKey;
use pssst_identity::{IdentityStore, NewIdentity};
use pssst_support::byte_order_mark;
use serde::Serialize;

use super::access::Operator;
use super::failure::Failure;
use super::words::grouped;

/// Length of a text at most, in bytes.
pub(crate) const MAX_LEN: usize = 1024 * 1024;
/// Length of a form with a text at most, in bytes.
pub(crate) const MAX_FORM_LEN: usize = 2 * MAX_LEN;
/// Clients of a text at most: each is looked up, and all are added at once.
const MAX_CLIENTS: usize = 2000;
/// Faults that are named at most.
const MAX_FAULTS: usize = 100;

/// The clients that an import adds, or the faults that prevent it.
pub(super) struct Import {
    /// Those to add.
    pub(super) new: Vec<NewIdentity>,
    /// Number of clients that are enrolled already, with this key and name: they stay as they are.
    pub(super) known: usize,
    /// Of the first lines that have one.
    pub(super) faults: Vec<Fault>,
    pub(super) fault_count: usize,
}

/// Why a line cannot be imported.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Fault {
    /// Number of the line, from 1 on.
    pub(super) line: usize,
    pub(super) message: String,
}

impl Import {
    /// Reads a text and compares it with the store.
    pub(super) async fn read(operator: &Operator, mut text: String) -> Result<Self, Failure> {
        if text.len() > MAX_LEN {
            return Err(Failure::invalid("a text of more than 1 MiB is imported with `pssst clients import`"));
        }
        byte_order_mark::remove(&mut text);
        // Each key takes most of the time of an X25519.
        let mut read = tokio::task::spawn_blocking(move || parse(&text)).await??;
        let mut import = Self { new: Vec::new(), known: 0, faults: Vec::new(), fault_count: 0 };
        for (line, new) in std::mem::take(&mut read.clients) {
            match operator.store.get(new.key()).await? {
                Some(known) if known.name == new.name() => import.known += 1,
                Some(known) => read.faults.push(Fault {
                    line,
                    message: format!("the key is enrolled already, with the name {:?}", known.name),
                }),
                None => match operator.store.find_by_name(new.name()).await? {
                    Some(_) => read
                        .faults
                        .push(Fault { line, message: format!("another client has the name {:?}", new.name()) }),
                    None => import.new.push(new),
                },
            }
        }
        read.faults.sort_by_key(|fault| fault.line);
        import.fault_count = read.faults.len();
        read.faults.truncate(MAX_FAULTS);
        Ok(Self { faults: read.faults, ..import })
    }

    pub(super) fn is_possible(&self) -> bool {
        self.fault_count == 0
    }

    /// Adds all of the new clients, or none, and returns how many there are.
    pub(super) async fn carry_out(self, operator: &Operator) -> Result<usize, Failure> {
        if !self.is_possible() {
            let count = self.fault_count;
            return Err(Failure::invalid(format!("{} of the lines cannot be imported", grouped(count))));
        }
        Ok(operator.store.add_all(self.new).await?.len())
    }
}

#[derive(Default)]
struct Read {
    clients: Vec<(usize, NewIdentity)>,
    faults: Vec<Fault>,
}

/// Without the store.
fn parse(text: &str) -> Result<Read, Failure> {
    let mut read = Read::default();
    let (mut keys, mut names) = (HashMap::<PublicKey, usize>::new(), HashMap::<String, usize>::new());
    let lines = text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty());
    for (text, line) in lines {
        if read.clients.len() + read.faults.len() == MAX_CLIENTS {
            return Err(Failure::invalid(format!(
                "{} clients are imported at once at most; `pssst clients import` takes more",
                grouped(MAX_CLIENTS)
            )));
        }
        let new = match NewIdentity::from_json(text) {
            Ok(new) => new,
            Err(error) => {
                read.faults.push(Fault { line, message: error.to_string() });
                continue;
            }
        };
        let (same_key, same_name) = (keys.insert(*new.key(), line), names.insert(new.name().to_owned(), line));
        match same_key.map(|earlier| (earlier, "key")).or_else(|| same_name.map(|earlier| (earlier, "name"))) {
            Some((earlier, what)) => {
                read.faults.push(Fault { line, message: format!("line {earlier} has the same {what}") });
            }
            None => read.clients.push((line, new)),
        }
    }
    if read.clients.is_empty() && read.faults.is_empty() {
        return Err(Failure::invalid("the text has no clients: one JSON object per line is needed"));
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use pssst::SecretKey;

    use super::*;

    fn line(number: u8, name: &str) -> String {
        format!("{{\"key\":\"{}\",\"name\":\"{name}\"}}\n", SecretKey::from_bytes([number; 32]).public_key())
    }

    #[test]
    fn all_faults_are_named_by_their_line() {
        let text = [&line(1, "a"), "\n", "nonsense\n", &line(2, "a"), &line(1, "b"), "{}\n", &line(3, "c")].concat();
        let read = parse(&text).unwrap();
        assert_eq!(read.clients.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [1, 7]);
        let faults: Vec<_> = read.faults.iter().map(|fault| (fault.line, fault.message.as_str())).collect();
        assert_eq!(faults.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [3, 4, 5, 6]);
        assert_eq!((faults[1].1, faults[2].1), ("line 1 has the same name", "line 1 has the same key"));
        assert!(faults[3].1.contains("missing field `key`"), "{faults:?}");
    }

    #[test]
    fn an_import_has_a_bounded_number_of_clients() {
        let many = "x\n".repeat(MAX_CLIENTS);
        assert_eq!(parse(&many).unwrap().faults.len(), MAX_CLIENTS);
        assert!(parse(&format!("{many}x")).is_err());
        assert!(parse(" \n\n").is_err());
    }
}
