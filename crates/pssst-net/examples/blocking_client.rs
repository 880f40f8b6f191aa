//! A client for programs without async, shared by their threads.
//!
//!     cargo run -p pssst-net --example blocking_client

use std::thread;
use std::time::Duration;

use pssst_net::pssst::{SecretKey, SysRng};
use pssst_net::{Handler, Reply, Request, Server, ServerConfig, blocking};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = SecretKey::generate(&mut SysRng)?;
    let server_key = secret.public_key();
    let reverse = Handler::from_fn(|request: Request<&[u8]>| {
        Some(Reply::from(request.message().iter().rev().copied().collect::<Vec<u8>>()))
    });
    let server = Server::builder().bind("127.0.0.1:0")?.serve(ServerConfig::new(secret, reverse))?;

    let identity = SecretKey::generate(&mut SysRng)?;
    let client = blocking::Client::builder(server_key)
        .identity(&identity)
        .timeout(Duration::from_secs(5))
        .connect(server.local_addr().to_string())?;
    thread::scope(|scope| {
        for number in 0..4 {
            let client = &client;
            scope.spawn(move || {
                let reply = client.request(format!("{number} sllac")).expect("a reply");
                println!("{}", String::from_utf8_lossy(&reply));
                assert_eq!(reply, format!("calls {number}"));
            });
        }
    });

    drop(client);
    server.shutdown_blocking(Duration::from_secs(5));
    Ok(())
}
