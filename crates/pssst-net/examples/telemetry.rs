//! One-way reports: a device sends and forgets, and the server answers nothing.
//!
//!     cargo run -p pssst-net --example telemetry

use std::sync::mpsc;
use std::time::Duration;

use pssst_net::pssst::{SecretKey, SysRng};
use pssst_net::{Client, DatagramOutcome, Handler, Request, Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = SecretKey::generate(&mut SysRng)?;
    let server_key = secret.public_key();

    // Workers must not wait, so they hand reports over to the thread that stores them; what does
    // not fit is dropped.
    let (reports, store) = mpsc::sync_channel(1000);
    let handler = Handler::from_fn(move |request: Request<&[u8]>| {
        drop(reports.try_send(request.to_owned()));
        None
    });
    let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, handler))?;

    let device = SecretKey::generate(&mut SysRng)?;
    let client = Client::builder(server_key).identity(&device).connect(server.local_addr().to_string()).await?;
    // The number lets the store notice reports that were lost, came twice, or are replayed: the
    // network may do all of it.
    for number in 0..10 {
        client.send(format!("{number}: 23.5 C")).await?;
    }

    for _ in 0..10 {
        let report = store.recv_timeout(Duration::from_secs(5))?;
        println!("{:?} from {:?}", report.message(), report.client_key());
        assert_eq!(report.client_key(), Some(&device.public_key()));
    }
    let stats = server.shutdown(Duration::from_secs(5)).await;
    assert_eq!((stats.count(DatagramOutcome::NoReply), stats.count(DatagramOutcome::Replied)), (10, 0));
    Ok(())
}
