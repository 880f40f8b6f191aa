//! Errors that the network reports: hints, and nothing more.

use std::io::ErrorKind::{ConnectionRefused, HostUnreachable, PermissionDenied};

use super::*;
use crate::client::tests::fake::Sending;

#[tokio::test(start_paused = true)]
async fn after_an_error_the_request_goes_to_the_next_address_at_once() {
    let (net, client) = start(&[A, B, C]).await;
    let request = begin(&client, "level?").await;
    net.report(0, ConnectionRefused);
    settle().await;
    net.report(1, HostUnreachable);
    settle().await;
    assert_eq!((net.destinations(), net.times()), (vec![A, B, C], vec![0, 0, 1]));
    net.deliver(2, echo(&net.sent()[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    assert_eq!((client.stats().receive_errors, client.stats().retransmits), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn with_no_address_left_the_schedule_goes_on() {
    let (net, client) = start(&[A, B]).await;
    let request = begin(&client, "level?").await;
    net.report(0, ConnectionRefused);
    settle().await;
    for _ in 0..3 {
        net.report(1, HostUnreachable);
        settle().await;
    }
    assert_eq!((net.destinations(), request.is_finished()), (vec![A, B], false));
    // Hints are good for each round.
    tokio::time::sleep(seconds(1)).await;
    net.report(2, ConnectionRefused);
    let outcome = request.await.unwrap();
    assert_eq!(timeout(outcome), (7, 0, Some(ConnectionRefused)));
    assert_eq!(net.destinations(), [A, B, A, B, A, B, A]);
    assert_eq!(net.times(), [0, 0, 1000, 1004, 3000, 7000, 15_000]);
}

#[tokio::test(start_paused = true)]
async fn a_lone_address_is_tried_on_schedule_whatever_the_network_says() {
    let (net, client) = start(&[A]).await;
    let request = begin(&client, "level?").await;
    net.report(0, ConnectionRefused);
    assert_eq!(timeout(request.await.unwrap()), (5, 0, Some(ConnectionRefused)));
    assert_eq!(net.times(), [0, 1000, 3000, 7000, 15_000]);
    assert_eq!((client.stats().receive_errors, client.stats().paths_opened), (1, 4));
}

/// A datagram of ICMP costs its sender nothing.
#[tokio::test(start_paused = true)]
async fn a_flood_of_errors_delays_no_reply() {
    let (net, client) = start(&[A]).await;
    let request = begin(&client, "level?").await;
    let before = tokio::time::Instant::now();
    for _ in 0..60 {
        net.report(0, ConnectionRefused);
    }
    net.deliver(0, echo(&net.sent()[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    assert_eq!(before.elapsed(), millis(0));
    assert_eq!(client.stats().receive_errors, 60);
}

#[tokio::test(start_paused = true)]
async fn the_true_reply_is_taken_after_a_forged_error() {
    for addresses in [&[A][..], &[A, B]] {
        let (net, client) = start(addresses).await;
        let request = begin(&client, "level?").await;
        net.report(0, ConnectionRefused);
        settle().await;
        net.deliver(0, echo(&net.sent()[0].packet));
        assert_eq!(request.await.unwrap().unwrap(), "level?");
        assert_eq!(net.now(), 1);
        assert_eq!((net.sent().len(), net.open_sockets()), (addresses.len(), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn endless_errors_do_not_keep_the_client_busy() {
    let (net, client) = start(&[A]).await;
    let request = begin(&client, "level?").await;
    net.set_storm(0, Some(ConnectionRefused));
    tokio::time::sleep(millis(900)).await;
    assert!((50..=7000).contains(&net.polls(0)), "{} polls", net.polls(0));
    // It is still listened to.
    net.set_storm(0, None);
    net.deliver(0, echo(&net.sent()[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    assert!(net.now() <= 910);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_sent_is_sent_to_the_next_address_at_once() {
    let (net, client) = start(&[A, B]).await;
    net.state().sending.insert(A, Sending::Fails(PermissionDenied));
    let request = begin(&client, "level?").await;
    assert_eq!((net.destinations(), net.times(), client.stats().send_errors), (vec![B], vec![0], 2));
    net.deliver(1, echo(&net.sent()[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    assert_eq!((client.stats().datagrams_sent, client.stats().retransmits), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_can_be_sent_nowhere_is_tried_on_schedule() {
    let (net, client) = start(&[A]).await;
    net.state().sending.insert(A, Sending::Fails(PermissionDenied));
    assert_eq!(timeout(client.request_within(seconds(10), "level?").await), (0, 0, Some(PermissionDenied)));
    assert_eq!(client.stats().send_errors, 2 * 4);
    // It works again.
    let request = begin(&client, "rain?").await;
    net.state().sending.clear();
    tokio::time::sleep(millis(1010)).await;
    let sent = net.sent();
    assert_eq!((sent.len(), sent[0].at, client.stats().retransmits), (1, 11_000, 0));
    net.deliver(sent[0].socket, echo(&sent[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "rain?");
}

/// The system hands such an error to whatever call comes first, sending or receiving.
#[tokio::test(start_paused = true)]
async fn an_error_that_sending_tells_of_an_earlier_packet_is_a_hint_too() {
    let (net, client) = start(&[A, B]).await;
    net.state().sending.insert(A, Sending::FailsOnce(ConnectionRefused));
    let request = begin(&client, "level?").await;
    assert_eq!((net.destinations(), net.times()), (vec![A, B], vec![0, 0]));
    assert_eq!(timeout(request.await.unwrap()).2, Some(ConnectionRefused));
}

#[tokio::test(start_paused = true)]
async fn every_request_is_told_of_an_error() {
    let (net, client) = start(&[A]).await;
    let requests = [begin(&client, "level?").await, begin(&client, "rain?").await];
    net.report(0, ConnectionRefused);
    for request in requests {
        assert_eq!(timeout(request.await.unwrap()), (5, 0, Some(ConnectionRefused)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_has_the_last_error() {
    let (net, client) = start(&[A]).await;
    let requests = [begin(&client, "level?").await, begin(&client, "rain?").await];
    // One after the first packet, one after the second.
    for error in [ConnectionRefused, HostUnreachable] {
        net.report(0, error);
        tokio::time::sleep(millis(1010)).await;
    }
    let outcome = client.request_within(millis(500), "level?").await;
    // Errors of the time before are not its own.
    assert_eq!(timeout(outcome), (1, 0, None));
    for request in requests {
        assert_eq!(timeout(request.await.unwrap()).2, Some(HostUnreachable));
    }
}

#[tokio::test(start_paused = true)]
async fn a_hint_opens_no_socket_to_an_address_that_was_tried() {
    let (net, client) = start(&[A, B]).await;
    net.state().unreachable = [B].into();
    let request = begin(&client, "level?").await;
    for _ in 0..10 {
        net.report(0, ConnectionRefused);
        settle().await;
    }
    assert_eq!((client.stats().paths_opened, net.sent().len()), (1, 1));
    request.abort();
}

#[tokio::test(start_paused = true)]
async fn a_thousand_requests_that_are_told_of_an_error_open_one_socket() {
    let (net, client) = start(&[A, B]).await;
    let mut requests = Vec::new();
    for _ in 0..1000 {
        requests.push(begin(&client, "level?").await);
    }
    net.report(0, ConnectionRefused);
    settle().await;
    assert_eq!((net.sent().len(), client.stats().paths_opened), (2000, 2));
    net.report(1, ConnectionRefused);
    settle().await;
    assert_eq!((net.sent().len(), client.stats().paths_opened), (2000, 2));
}

/// One after the other, too: all find the sockets that the first has opened. They still move on to
/// fresh ones, together.
#[tokio::test(start_paused = true)]
async fn however_many_requests_find_nobody_they_share_a_socket_for_each_address() {
    let (net, client) = start(&[A, B]).await;
    net.state().sending = [(A, Sending::Refused), (B, Sending::Refused)].into();
    let mut requests = Vec::new();
    for _ in 0..900 {
        requests.push(begin(&client, "level?").await);
        settle().await;
    }
    assert_eq!(client.stats().paths_opened, 2);
    tokio::time::sleep(seconds(30)).await;
    assert_eq!((net.sent().len(), client.in_flight()), (2 * 5 * 900, 900));
    // Each of five rounds takes both addresses.
    let sockets = net.open_sockets();
    assert!((5..=10).contains(&sockets) && client.stats().paths_opened == sockets as u64, "{sockets} sockets");
    for request in requests {
        assert_eq!(timeout(request.await.unwrap()), (10, 0, Some(ConnectionRefused)));
    }
    assert_eq!(net.open_sockets(), 1);
}

#[tokio::test(start_paused = true)]
async fn requests_begin_where_nobody_refused() {
    let (net, client) = start(&[A, B]).await;
    net.state().sending.insert(A, Sending::Refused);
    let mut requests = vec![begin(&client, "level?").await];
    settle().await;
    requests.push(begin(&client, "rain?").await);
    assert_eq!(net.destinations(), [A, B, B]);
    // They swap.
    net.state().sending = [(B, Sending::Refused)].into();
    requests.push(begin(&client, "wind?").await);
    settle().await;
    requests.push(begin(&client, "snow?").await);
    // The second learns of it too, and has not tried A.
    assert_eq!(net.destinations()[3..], [B, A, A, A]);
    assert_eq!(client.stats().paths_opened, 2);
}
