//! A handler that awaits, behind layers of tower: a timeout, a limit on what runs at once, and a
//! rate.
//!
//!     cargo run -p pssst-net --example tower_stack

use std::time::Duration;

use pssst_net::pssst::{SecretKey, SysRng};
use pssst_net::{Client, DatagramOutcome, Error, Handler, Reply, Request, Server, ServerConfig};
use tower::{BoxError, ServiceBuilder};

/// Looks a valve up in a database that is slow at times.
async fn look_up(request: Request) -> Result<Option<Reply>, BoxError> {
    match request.message() {
        b"valve 7" => Ok(Some(Reply::from("open"))),
        b"valve 8" => {
            tokio::time::sleep(Duration::from_secs(60)).await;
            Ok(Some(Reply::from("shut")))
        }
        _ => Err("no such valve".into()),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = SecretKey::generate(&mut SysRng)?;
    let server_key = secret.public_key();

    // Tower's rate limit cannot be cloned, so each worker makes its own stack: the rate is a
    // worker's. Load is shed where the rate is exceeded; without `load_shed` requests would wait,
    // up to `max_in_flight`.
    let handler = Handler::per_worker(|| {
        ServiceBuilder::new()
            .load_shed()
            .rate_limit(1000, Duration::from_secs(1))
            .concurrency_limit(100)
            .timeout(Duration::from_millis(200))
            .service_fn(look_up)
    });
    let server = Server::builder().workers(1).max_in_flight(500).bind("127.0.0.1:0")?;
    let server = server.serve(ServerConfig::new(secret, handler))?;

    // The answer of a database may change between two tries of one request, so suite 1 is not for
    // this handler.
    let client =
        Client::builder(server_key).timeout(Duration::from_secs(1)).connect(server.local_addr().to_string()).await?;
    assert_eq!(client.request("valve 7").await?, "open");
    for message in ["valve 8", "valve 9"] {
        // Errors are not sent over the network: the client gets no reply.
        assert!(matches!(client.request(message).await, Err(Error::Timeout { .. })));
    }

    let stats = server.shutdown(Duration::from_secs(5)).await;
    for (outcome, count) in stats.outcomes().filter(|(_, count)| *count > 0) {
        println!("{}: {count}", outcome.name());
    }
    assert!(stats.count(DatagramOutcome::HandlerTimedOut) >= 1 && stats.count(DatagramOutcome::HandlerFailed) >= 1);
    Ok(())
}
