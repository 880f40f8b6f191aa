//! Requests for the server's next key, when its directory says that the time has come.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use pssst_directory::{CurrentKey, DirectoryClient};

use pssst_bench::{Plan, Pool, share};

use super::args::Args;
use super::workload::workload;
use pssst_service::Failure;

use crate::args::no_randomness;
use pssst_service::runtime;
use pssst_service::stderr::notice;

/// Interval of the checks of the key in force.
const INTERVAL: Duration = Duration::from_millis(50);

/// Follows the directory in a thread of its own, as long as the program runs, and seals a pool for
/// each connection whenever the key is another one.
pub(super) fn start(directory: DirectoryClient, args: &Args, plan: &Plan, key: CurrentKey) -> Vec<Receiver<Pool>> {
    let (senders, receivers): (Vec<_>, Vec<_>) = (0..plan.connections).map(|_| mpsc::channel()).unzip();
    let (args, plan) = (args.clone(), plan.clone());
    thread::spawn(move || {
        let outcome = runtime::run(async {
            tokio::select! {
                never = directory.follow() => match never {},
                ended = renew(&directory, &args, &plan, key, &senders) => ended,
            }
        });
        if let Err(failure) = outcome {
            failure.report();
        }
    });
    receivers
}

async fn renew(
    directory: &DirectoryClient,
    args: &Args,
    plan: &Plan,
    mut key: CurrentKey,
    connections: &[Sender<Pool>],
) -> Result<(), Failure> {
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Ok(current) = directory.current_key() else { continue };
        if current == key {
            continue;
        }
        key = current;
        notice(format_args!("the server's key has changed to {}", key.key));
        let workload = workload(args, plan, &key)?;
        for (connection, sender) in (0..plan.connections).zip(connections) {
            let pool =
                Pool::seal(&workload, share(plan.prepared, connection, plan.connections)).map_err(no_randomness)?;
            if sender.send(pool).is_err() {
                return Ok(());
            }
        }
    }
}
