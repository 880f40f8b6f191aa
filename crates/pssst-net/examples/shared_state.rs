//! State that all workers share, and clients that are known by their keys.
//!
//!     cargo run -p pssst-net --example shared_state

use std::collections::HashMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

use pssst_net::pssst::{KeyCheck, PublicKey, SecretKey, SysRng};
use pssst_net::{Client, Handler, Reply, Request, Server, ServerConfig};

/// What devices reported last, by their names. Read by every worker, so behind a lock that lets
/// readers share.
#[derive(Default)]
struct Readings(RwLock<HashMap<String, String>>);

struct Site {
    /// Enrolled devices. Every key was validated when it was put here.
    devices: HashMap<PublicKey, String>,
    readings: Readings,
}

impl Site {
    /// Takes "report VALUE" and answers "read NAME".
    fn answer(&self, request: &Request<&[u8]>) -> Option<Reply> {
        let name = self.devices.get(request.client_key()?)?;
        let message = str::from_utf8(request.message()).ok()?;
        let readings = &self.readings.0;
        match message.split_once(' ')? {
            ("report", value) => {
                readings.write().ok()?.insert(name.clone(), value.to_owned());
                Some(Reply::from("taken"))
            }
            ("read", name) => readings.read().ok()?.get(name).cloned().map(Reply::from),
            _ => None,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let secret = SecretKey::generate(&mut SysRng)?;
    let server_key = secret.public_key();
    let (gauge, display) = (SecretKey::generate(&mut SysRng)?, SecretKey::generate(&mut SysRng)?);
    let mut devices = HashMap::new();
    for (secret, name) in [(&gauge, "gauge 7"), (&display, "display")] {
        let key = secret.public_key();
        key.validate()?;
        devices.insert(key, name.to_owned());
    }

    let site = Arc::new(Site { devices, readings: Readings::default() });
    let enrolled = Arc::clone(&site);
    let handler = Handler::from_fn(move |request: Request<&[u8]>| site.answer(&request));
    // Only exactly these keys are served.
    let config = ServerConfig::new(secret, handler).client_check(move |key: &PublicKey| {
        if enrolled.devices.contains_key(key) { KeyCheck::Accept } else { KeyCheck::RejectUnknown }
    });
    let server = Server::builder().bind("127.0.0.1:0")?.serve(config)?;

    // A reading changes between two answers to one request, so suite 1 is not for this service.
    let connect = async |identity: &SecretKey| {
        Client::builder(server_key).identity(identity).connect(server.local_addr().to_string()).await
    };
    let (gauge, display) = (connect(&gauge).await?, connect(&display).await?);
    assert_eq!(gauge.request("report 2.41 m").await?, "taken");
    let reading = display.request("read gauge 7").await?;
    println!("gauge 7 reads {}", String::from_utf8_lossy(&reading));
    assert_eq!(reading, "2.41 m");

    server.shutdown(Duration::from_secs(5)).await;
    Ok(())
}
