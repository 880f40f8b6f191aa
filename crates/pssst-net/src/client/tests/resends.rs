//! When a request is sent again and from where, and when it ends.

use super::*;
use crate::client::tests::fake::{Resolution, Sending};

#[tokio::test(start_paused = true)]
async fn the_same_bytes_are_sent_again_on_schedule_until_the_deadline() {
    for (fraction, schedule) in [
        (0.0, [0, 1000, 3000, 7000, 15_000]),
        (0.5, [0, 1250, 3750, 8750, 18_750]),
        (1.0, [0, 1500, 4500, 10_500, 22_500]),
    ] {
        for max_retransmits in 0..=4 {
            let net = Fake::new(&[A]);
            net.state().fractions = vec![fraction];
            let client = connect(&net, builder().retry(Retry { max_retransmits, ..Retry::default() })).await;
            let outcome = client.request("level?").await;
            assert_eq!(net.now(), 60_000);
            assert_eq!(timeout(outcome), (max_retransmits + 1, 0, None));
            let sent = net.sent();
            assert_eq!(net.times(), schedule[..sent.len()]);
            assert_eq!(sent.len(), max_retransmits as usize + 1);
            assert!(sent.iter().all(|each| each.packet == sent[0].packet));
            let stats = client.stats();
            assert_eq!((stats.requests, stats.timeouts, stats.replies), (1, 1, 0));
            assert_eq!(
                (stats.datagrams_sent, stats.retransmits),
                (u64::from(max_retransmits) + 1, u64::from(max_retransmits))
            );
            assert_eq!(client.in_flight(), 0);
        }
    }
}

/// Equal bytes from two addresses would tell that both are one client's.
#[tokio::test(start_paused = true)]
async fn another_ip_address_sends_other_bytes_and_takes_the_reply_to_either() {
    for answered in [0, 3] {
        let (net, client) = start(&[A]).await;
        let request = begin(&client, "level?").await;
        tokio::time::sleep(millis(1500)).await;
        net.state().local_ip = [192, 0, 2, 7].into();
        tokio::time::sleep(seconds(10)).await;
        let sent = net.sent();
        assert_eq!(net.sources(), [0, 0, 1, 2]);
        assert_eq!(sent[0].packet, sent[1].packet);
        assert_ne!(sent[1].packet[4..36], sent[2].packet[4..36]);
        assert_eq!(sent[2].packet, sent[3].packet);
        assert_eq!(client.in_flight(), 1);
        let reply = answer(&server_secret(), &sent[answered].packet, Some(b"205"));
        net.deliver(sent[answered].socket, reply.clone());
        assert_eq!(request.await.unwrap().unwrap(), "205");
        assert_eq!((client.in_flight(), client.stats().requests), (0, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_schedule() {
    let (net, client) = start(&[A]).await;
    let outcome = client.request_within(millis(6999), "level?").await;
    assert_eq!((timeout(outcome), net.now()), ((3, 0, None), 6999));
    tokio::time::sleep(seconds(60)).await;
    assert_eq!(net.times(), [0, 1000, 3000]);
}

#[tokio::test(start_paused = true)]
async fn a_request_may_take_more_or_less_time_than_the_client_grants() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().timeout(seconds(5))).await;
    for (time, ended) in [(Some(2), 2), (None, 7), (Some(9), 16), (Some(0), 16)] {
        let outcome = match time {
            Some(time) => client.request_within(seconds(time), "level?").await,
            None => client.request("level?").await,
        };
        assert!(timeout(outcome).0 > 0);
        assert_eq!(net.now(), ended * 1000);
    }
    let endless = tokio::spawn({
        let client = client.clone();
        async move { client.request_within(Duration::MAX, "level?").await }
    });
    tokio::time::sleep(seconds(1_000_000)).await;
    let sent = net.sent().pop().unwrap();
    net.deliver(sent.socket, echo(&sent.packet));
    assert_eq!(endless.await.unwrap().unwrap(), "level?");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_for_a_place() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_in_flight(1)).await;
    let holder = begin(&client, "first").await;
    let outcome = client.request_within(seconds(5), "second").await;
    assert_eq!((timeout(outcome), net.now()), ((0, 0, None), 5000));
    assert_eq!((client.stats().requests, client.in_flight()), (1, 1));
    assert_eq!(timeout(holder.await.unwrap()), (5, 0, None));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_name_server() {
    let (net, client) = start(&[A]).await;
    net.state().resolutions = [Resolution::Hangs].into();
    let outcome = client.request_within(millis(3500), "level?").await;
    assert_eq!((timeout(outcome), net.now()), ((3, 0, None), 3500));
    assert_eq!(net.times(), [0, 1000, 3000]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_for_room_in_the_socket() {
    let (net, client) = start(&[A]).await;
    net.state().sending.insert(A, Sending::Hangs);
    let outcome = client.request_within(seconds(5), "level?").await;
    assert_eq!((timeout(outcome), net.now(), client.in_flight()), ((0, 0, None), 5000, 0));
    let outcome = client.send("23.5 C").await;
    assert_eq!((timeout(outcome.map(|()| Bytes::new())), net.now()), ((0, 0, None), 65_000));
    assert_eq!((client.stats().datagrams_sent, client.stats().one_way), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn the_first_resend_stays_and_later_ones_leave_from_fresh_sockets() {
    let (net, client) = start(&[A]).await;
    assert_eq!(timeout(client.request("level?").await).0, 5);
    assert_eq!(net.sources(), [0, 0, 1, 2, 3]);
    assert_eq!(net.destinations(), [A; 5]);
    assert_eq!(client.stats().paths_opened, 4);
}

#[tokio::test(start_paused = true)]
async fn the_first_resend_goes_to_the_next_address_if_none_ever_answered() {
    let (net, client) = start(&[A, B]).await;
    assert_eq!(timeout(client.request("level?").await).0, 5);
    assert_eq!(net.destinations(), [A, B, A, B, A]);
    assert_eq!(net.sources(), [0, 1, 2, 3, 4]);
    assert_eq!(net.times(), [0, 1000, 3000, 7000, 15_000]);
}

#[tokio::test(start_paused = true)]
async fn the_first_resend_stays_with_an_address_that_has_answered() {
    let (net, client) = start(&[A, B]).await;
    let answered = begin(&client, "level?").await;
    net.deliver(0, echo(&net.sent()[0].packet));
    answered.await.unwrap().unwrap();
    assert_eq!(timeout(client.request("rain?").await).0, 5);
    assert_eq!(net.destinations()[1..], [A, A, B, A, B]);
    assert_eq!(net.sources()[1..], [0, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn forgeries_are_no_answer_of_an_address() {
    let (net, client) = start(&[A, B]).await;
    let request = begin(&client, "level?").await;
    let mut forged = echo(&net.sent()[0].packet);
    forged[20] ^= 1;
    net.deliver(0, forged);
    assert_eq!(timeout(request.await.unwrap()), (5, 1, None));
    assert_eq!(net.destinations()[..2], [A, B]);
}

#[tokio::test(start_paused = true)]
async fn a_reply_is_taken_on_any_socket_that_its_request_left_from() {
    for addresses in [&[A][..], &[A, B], &[A, B, C]] {
        for packets in 1..=5 {
            for place in 0..packets {
                let (net, client) = start(addresses).await;
                let request = begin(&client, "level?").await;
                tokio::time::sleep(millis([0, 1000, 3000, 7000, 15_000][packets - 1] + 10)).await;
                let sent = net.sent();
                assert_eq!(sent.len(), packets);
                net.deliver(sent[place].socket, echo(&sent[0].packet));
                settle().await;
                assert!(request.is_finished());
                assert_eq!(request.await.unwrap().unwrap(), "level?");
                assert_eq!(net.open_sockets(), 1);
            }
        }
    }
}

/// However their pauses differ.
#[tokio::test(start_paused = true)]
async fn a_thousand_stalled_requests_open_one_socket_a_round() {
    for (addresses, fractions, opened) in [
        (&[A][..], vec![0.5], 4),
        (&[A], (0..1000).map(|part| f64::from(part) / 1000.0).collect(), 4),
        (&[A, B], (0..1000).map(|part| f64::from(part) / 1000.0).collect(), 5),
    ] {
        let net = Fake::new(addresses);
        net.state().fractions = fractions;
        let client = connect(&net, builder()).await;
        let requests: Vec<_> = (0..1000)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.request("level?").await })
            })
            .collect();
        tokio::time::sleep(seconds(30)).await;
        assert_eq!((client.in_flight(), net.sent().len(), net.open_sockets()), (1000, 5000, opened));
        assert_eq!(client.stats().paths_opened, opened as u64);
        for request in requests {
            assert_eq!(timeout(request.await.unwrap()).0, 5);
        }
        assert_eq!(net.open_sockets(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn sockets_are_closed_when_nobody_waits_on_them() {
    let (net, client) = start(&[A]).await;
    let earlier = begin(&client, "earlier").await;
    tokio::time::sleep(seconds(16)).await;
    assert_eq!((net.open_sockets(), net.sources()), (4, vec![0, 0, 1, 2, 3]));
    // Leaves from the newest, and keeps it open.
    let later = begin(&client, "later").await;
    assert_eq!(net.sources()[5], 3);
    earlier.abort();
    settle().await;
    assert_eq!((net.open_sockets(), client.in_flight()), (1, 1));
    tokio::time::sleep(seconds(4)).await;
    assert_eq!(net.open_sockets(), 2);
    later.abort();
    settle().await;
    assert_eq!((net.open_sockets(), client.in_flight()), (1, 0));
    drop(client);
    settle().await;
    assert_eq!(net.open_sockets(), 0);
}
