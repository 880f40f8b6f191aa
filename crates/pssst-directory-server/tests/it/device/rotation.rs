//! A server, a directory and a client, each by itself, through rotations of the server's keys.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use pssst::{SecretKey, Suite, SuiteSet, SysRng};
use pssst_directory_server::{Rotated, Schedule, ScheduleFile};
use pssst_net::{Client, DatagramOutcome, Handler, Reply, Request, Server, ServerConfig};
use pssst_test::{PATIENCE, until};

use crate::device::server::{Answer, TestServer};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long: a step of `cargo xtask ci full`"]
async fn rotations_lose_no_request() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("keys.json");
    let first = SecretKey::generate(&mut SysRng).unwrap();
    Schedule::new(first.clone(), Timestamp::now()).with_refresh_interval(SECOND).write(&path).unwrap();

    let file = Arc::new(ScheduleFile::open(&path, false).unwrap());
    let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
    let config = ServerConfig::new(file.server(SuiteSet::DATAGRAM).unwrap(), echo);
    let server = Arc::new(Server::builder().workers(1).bind("127.0.0.1:0").unwrap().serve(config).unwrap());
    let refresh_task = tokio::spawn({
        let (file, server) = (Arc::clone(&file), Arc::clone(&server));
        async move { file.keep_server(&server, SuiteSet::DATAGRAM).await }
    });

    // The directory has the file by itself.
    let published = ScheduleFile::open(&path, false).unwrap();
    let directory = TestServer::start(move |_| {
        drop(published.reload());
        let document = published.load().document(published.now(), SECOND, &[Suite::X25519Aes256GcmSiv]);
        Answer::ok(document.unwrap().to_json())
    })
    .await;

    let source = directory.client();
    source.fetch().await.unwrap();
    let client = Client::builder(source.server_key().unwrap());
    let client = client.connect(server.local_addr().to_string()).await.unwrap();
    let follower = tokio::spawn({
        let (source, client) = (source.clone(), client.clone());
        async move { source.keep_current(&client).await }
    });
    let load = tokio::spawn({
        let client = client.clone();
        async move {
            for number in 0_u64.. {
                let message = number.to_be_bytes();
                match client.request_within(PATIENCE, message).await {
                    Ok(reply) => assert_eq!(reply, message[..]),
                    Err(pssst_net::Error::Closed) => return number,
                    Err(error) => panic!("request {number}: {error}"),
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            unreachable!()
        }
    });

    let second = file.rotate(Rotated::All, 3 * SECOND, 4 * SECOND).unwrap().keys.remove(0);
    assert_eq!(client.server_key(), first.public_key());
    until("the client changes keys", async || client.server_key() == second).await;
    until("the old key is not accepted any more", async || server.server_keys() == [second.clone()]).await;

    // Someone breaks the file, and repairs it.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
    until("a torn file is noticed", async || file.error().is_some()).await;
    assert!(file.rotate(Rotated::All, 3 * SECOND, 4 * SECOND).is_err());
    assert_eq!(server.server_keys(), [second]);
    std::fs::write(&path, &whole).unwrap();
    until("a good file is noticed", async || file.error().is_none()).await;

    let third = file.rotate(Rotated::All, 3 * SECOND, 4 * SECOND).unwrap().keys.remove(0);
    until("the client changes keys", async || client.server_key() == third).await;
    until("the old key is not accepted any more", async || server.server_keys() == [third.clone()]).await;

    client.close();
    let requests = tokio::time::timeout(PATIENCE, load).await.unwrap().unwrap();
    assert!(requests > 100, "{requests}");
    follower.abort();
    refresh_task.abort();
    drop((follower.await, refresh_task.await));
    let stats = Arc::into_inner(server).unwrap().shutdown(PATIENCE).await;
    // Not even a packet was sealed for a key that the server did not hold.
    let refused: Vec<_> =
        stats.outcomes().filter(|(outcome, count)| *count > 0 && *outcome != DatagramOutcome::Replied).collect();
    assert!(refused.is_empty(), "{refused:?}");
    println!("{requests} requests, {} refreshes", directory.seen().len());
}
