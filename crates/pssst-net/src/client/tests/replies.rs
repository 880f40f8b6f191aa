//! What arrives, true or not.

use pssst::Suite;

use super::*;

/// Everything that is wrong with a packet, and the cause it is refused for, or "stray". From the
/// request, its true reply and the reply to another request.
fn wrong_packets(request: &[u8], reply: &[u8], other: &[u8]) -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let changed = |place: usize, bits: u8| {
        let mut packet = reply.to_vec();
        packet[place] ^= bits;
        packet
    };
    let other_suite = |suite: u16| [&reply[..2], &suite.to_be_bytes(), &reply[4..]].concat();
    let suite = u16::from_be_bytes([reply[2], reply[3]]);
    let front = if suite == 1 { 36 } else { 12 };
    let shortest = front + 16;
    vec![
        ("nothing", vec![], "truncated"),
        ("a byte", vec![0], "truncated"),
        ("too short for any packet", reply[..shortest - 1].to_vec(), "truncated"),
        ("cut by a byte", reply[..reply.len() - 1].to_vec(), "decrypt_failed"),
        ("cut to an empty message", reply[..shortest].to_vec(), "decrypt_failed"),
        ("a byte longer", [reply, &[0]].concat(), "decrypt_failed"),
        ("another message", changed(front, 1), "decrypt_failed"),
        ("another tag", changed(reply.len() - 1, 0x80), "decrypt_failed"),
        ("the body of another reply", [&reply[..front], &other[front..]].concat(), "decrypt_failed"),
        ("the request itself", request.to_vec(), "not_reply"),
        ("a reply flagged as a request", changed(0, 0x80), "not_reply"),
        ("with client authentication the other way", changed(0, 0x40), "reply_mismatch"),
        ("a reserved bit", changed(1, 1), "reserved_flags"),
        ("the other reserved bits", changed(0, 0x07), "reserved_flags"),
        ("suite 0", other_suite(0), "unsupported_suite"),
        ("the other suite", other_suite(suite ^ 0xf000), "unsupported_suite"),
        ("an unknown suite", other_suite(2), "unsupported_suite"),
        ("another exchange value", changed(4, 1), "stray"),
        ("junk", vec![0xa5; 100], "stray"),
        ("much junk", vec![0xff; 65_507], "stray"),
    ]
}

#[tokio::test(start_paused = true)]
async fn whatever_is_wrong_is_counted_and_the_true_reply_still_taken() {
    for suite in [Suite::X25519AesGcm128, Suite::X25519Aes256GcmSiv] {
        for identity in [None, Some(SecretKey::from_bytes([0x1d; 32]))] {
            let net = Fake::new(&[A]);
            let builder = builder().suite(suite);
            let builder = if let Some(identity) = &identity { builder.identity(identity) } else { builder };
            let client = connect(&net, builder).await;
            let other = begin(&client, "level?").await;
            let other_reply = echo(&net.sent()[0].packet);
            net.deliver(0, other_reply.clone());
            other.await.unwrap().unwrap();

            let request = begin(&client, "level?").await;
            let sent = net.sent().pop().unwrap().packet;
            let reply = echo(&sent);
            let cases = wrong_packets(&sent, &reply, &other_reply);
            for (what, packet, cause) in &cases {
                let before = client.stats();
                net.deliver(0, packet.clone());
                settle().await;
                let after = client.stats();
                let is_stray = *cause == "stray";
                assert_eq!(after.unmatched_replies - before.unmatched_replies, u64::from(is_stray), "{what}");
                assert_eq!(after.refused() - before.refused(), u64::from(!is_stray), "{what}");
                if !is_stray {
                    assert_eq!(refused(&after, cause) - refused(&before, cause), 1, "{what} is not {cause}");
                }
                assert!(!request.is_finished(), "{what} ended the request");
            }
            net.deliver(0, reply);
            assert_eq!(request.await.unwrap().unwrap(), "level?");
            assert_eq!((client.stats().replies, client.stats().datagrams_sent, client.in_flight()), (2, 2, 0));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_timeout_tells_how_many_packets_claimed_to_be_the_reply() {
    let (net, client) = start(&[A]).await;
    let request = begin(&client, "level?").await;
    let sent = net.sent().pop().unwrap().packet;
    for (_, packet, _) in wrong_packets(&sent, &echo(&sent), &echo(&sent)[..].repeat(2)) {
        net.deliver(0, packet);
    }
    // Three are too short to claim anything, and three match no request.
    assert_eq!(timeout(request.await.unwrap()), (5, 14, None));
}

#[tokio::test(start_paused = true)]
async fn replies_that_come_twice_or_late_are_strays() {
    let (net, client) = start(&[A]).await;
    let request = begin(&client, "level?").await;
    let reply = echo(&net.sent()[0].packet);
    net.deliver(0, reply.clone());
    net.deliver(0, reply.clone());
    request.await.unwrap().unwrap();
    settle().await;
    assert_eq!((client.stats().replies, client.stats().unmatched_replies), (1, 1));

    let late = begin(&client, "rain?").await;
    late.abort();
    settle().await;
    net.deliver(0, echo(&net.sent()[1].packet));
    settle().await;
    assert_eq!((client.stats().replies, client.stats().unmatched_replies), (1, 2));
    assert_eq!(client.stats().refused(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_request_gets_its_own_reply_though_they_come_in_reverse() {
    let (net, client) = start(&[A]).await;
    let mut requests = Vec::new();
    for number in 0..500 {
        requests.push(begin(&client, format!("gauge {number}?")).await);
    }
    assert_eq!(client.in_flight(), 500);
    for sent in net.sent().iter().rev() {
        net.deliver(sent.socket, echo(&sent.packet));
    }
    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap().unwrap(), format!("gauge {number}?"));
    }
    let stats = client.stats();
    assert_eq!((stats.replies, stats.datagrams_sent, stats.paths_opened, stats.refused()), (500, 500, 1, 0));
    assert_eq!((client.in_flight(), net.now()), (0, 0));
}

/// The exchange value of the one with the body of the other.
#[tokio::test(start_paused = true)]
async fn swapped_replies_end_neither_request() {
    let (net, client) = start(&[A]).await;
    let requests = [begin(&client, "level?").await, begin(&client, "rain?").await];
    let [one, other] = [0, 1].map(|place| echo(&net.sent()[place].packet));
    net.deliver(0, [&one[..12], &other[12..]].concat());
    net.deliver(0, [&other[..12], &one[12..]].concat());
    settle().await;
    assert_eq!((refused(&client.stats(), "decrypt_failed"), client.in_flight()), (2, 2));
    net.deliver(0, other);
    net.deliver(0, one);
    let [one, other] = requests;
    assert_eq!((one.await.unwrap().unwrap(), other.await.unwrap().unwrap()), ("level?".into(), "rain?".into()));
}

#[tokio::test(start_paused = true)]
async fn replies_may_be_empty_or_fill_a_datagram() {
    let (net, client) = start(&[A]).await;
    for len in [0, 1, 65_507 - 28] {
        let request = begin(&client, "level?").await;
        let sent = net.sent().pop().unwrap();
        net.deliver(0, answer(&server_secret(), &sent.packet, Some(&vec![7; len])));
        assert_eq!(request.await.unwrap().unwrap(), vec![7; len]);
    }
}
