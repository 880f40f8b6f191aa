//! Which addresses a client knows, and which of them it uses.

use std::io;

use super::*;
use crate::client::tests::fake::Resolution;

#[tokio::test(start_paused = true)]
async fn a_server_that_moved_is_found() {
    let (net, client) = start(&[A]).await;
    net.state().resolutions = [Resolution::To(vec![B])].into();
    let request = begin(&client, "level?").await;
    tokio::time::sleep(millis(3010)).await;
    assert_eq!((net.destinations(), net.state().resolved), (vec![A, A, B], 3));
    net.deliver(1, echo(&net.sent()[2].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    // The next request knows.
    let request = begin(&client, "rain?").await;
    assert_eq!(net.destinations()[3], B);
    request.abort();
}

#[tokio::test(start_paused = true)]
async fn a_resolution_without_result_keeps_the_known_addresses() {
    for (resolution, resolved) in [
        (Resolution::Fails, 5),
        (Resolution::To(vec![]), 5),
        // The name servers get five seconds, and nobody waits for them, or asks again meanwhile.
        (Resolution::Hangs, 4),
    ] {
        let (net, client) = start(&[A, B]).await;
        net.state().resolutions = [resolution].into();
        assert_eq!(timeout(client.request("level?").await), (5, 0, None));
        assert_eq!(net.destinations(), [A, B, A, B, A]);
        assert_eq!(net.times(), [0, 1000, 3000, 7000, 15_000]);
        assert_eq!(net.state().resolved, resolved);
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_others_is_not_left_for_one_request() {
    let (net, client) = start(&[A, B]).await;
    let other = begin(&client, "rain?").await;
    net.deliver(0, echo(&net.sent()[0].packet));
    other.await.unwrap().unwrap();
    // It has nothing to say to this one, and answers another before each resend.
    let request = begin(&client, "level?").await;
    for pause in [1000, 2000, 4000, 8000] {
        tokio::time::sleep(millis(pause / 2)).await;
        let other = begin(&client, "rain?").await;
        let sent = net.sent().pop().unwrap();
        net.deliver(sent.socket, echo(&sent.packet));
        other.await.unwrap().unwrap();
        tokio::time::sleep(millis(pause / 2)).await;
    }
    tokio::time::sleep(millis(10)).await;
    assert!(net.destinations().iter().all(|destination| *destination == A));
    // All the same it leaves from fresh ports.
    assert_eq!((net.state().resolved, client.stats().paths_opened), (1, 4));
    request.abort();
}

#[tokio::test(start_paused = true)]
async fn requests_that_end_before_their_second_resend_leave_a_silent_port_too() {
    let (net, client) = start(&[A]).await;
    for _ in 0..3 {
        assert_eq!(timeout(client.request_within(millis(2500), "level?").await), (2, 0, None));
    }
    assert_eq!(net.sources(), [0, 0, 1, 1, 2, 2]);
    // Where something is heard, nothing changes.
    let request = begin(&client, "level?").await;
    let sent = net.sent().pop().unwrap();
    net.deliver(sent.socket, echo(&sent.packet));
    request.await.unwrap().unwrap();
    let request = begin(&client, "level?").await;
    assert_eq!(net.sent().pop().unwrap().socket, sent.socket);
    request.abort();
}

#[tokio::test(start_paused = true)]
async fn where_there_is_no_route_for_now_nobody_tries_all_the_time() {
    let (net, client) = start(&[A]).await;
    net.state().unreachable = [A].into();
    let requests: Vec<_> = (0..100)
        .map(|_| {
            tokio::spawn({
                let client = client.clone();
                async move { client.request("level?").await }
            })
        })
        .collect();
    for request in requests {
        assert_eq!(timeout(request.await.unwrap()), (5, 0, Some(io::ErrorKind::NetworkUnreachable)));
    }
    // Once for each resend after the first.
    assert_eq!(net.state().connects, 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn addresses_that_cannot_be_connected_are_skipped() {
    let net = Fake::new(&[A, B, C]);
    net.state().unreachable = [A].into();
    let client = connect(&net, builder()).await;
    assert_eq!(timeout(client.request("level?").await), (5, 0, None));
    assert_eq!(net.destinations(), [B, C, B, C, B]);

    let (net, client) = start(&[A]).await;
    net.state().unreachable = [A].into();
    assert_eq!(timeout(client.request("level?").await), (5, 0, Some(io::ErrorKind::NetworkUnreachable)));
    assert_eq!((net.sources(), client.stats().paths_opened), (vec![0; 5], 1));
}

#[tokio::test(start_paused = true)]
async fn a_client_needs_an_address_to_connect() {
    let cases = [
        (Resolution::To(vec![A, B]), io::ErrorKind::NetworkUnreachable),
        (Resolution::To(vec![]), io::ErrorKind::NotFound),
        (Resolution::Fails, io::ErrorKind::Other),
    ];
    for (resolution, expected) in cases {
        let net = Fake::new(&[]);
        net.state().resolutions = [resolution].into();
        net.state().unreachable = [A, B].into();
        match builder().connect_on(Arc::new(net.clone()), "server.example:45678").await {
            Err(Error::Network(error)) => assert_eq!(error.kind(), expected),
            other => panic!("{other:?}"),
        }
        assert_eq!(net.open_sockets(), 0);
    }
}
