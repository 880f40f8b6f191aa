//! The smallest server and the smallest client.
//!
//!     cargo run -p pssst-net --example echo

use std::time::Duration;

use pssst_net::pssst::{SecretKey, SysRng};
use pssst_net::{Client, Handler, Reply, Request, Server, ServerConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Clients get the public key by another, heavier channel.
    let secret = SecretKey::generate(&mut SysRng)?;
    let server_key = secret.public_key();

    // A function answers at once, with the batch that its request came in. The same request always
    // gets the same bytes.
    let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
    let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, echo))?;

    let client = Client::builder(server_key).connect(server.local_addr().to_string()).await?;
    let reply = client.request("hello").await?;
    println!("{}", String::from_utf8_lossy(&reply));
    assert_eq!(reply, "hello");

    let stats = server.shutdown(Duration::from_secs(5)).await;
    println!("{} datagrams received, {} requests", stats.received, stats.requests());
    Ok(())
}
