//! Limits of a client: requests at a time, lengths of packets, nothing after its end.

use std::io::ErrorKind::{ConnectionRefused, PermissionDenied};

use super::*;
use crate::client::tests::fake::Sending;

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_in_flight_than_allowed() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_in_flight(3)).await;
    let mut requests = Vec::new();
    for number in 0..10 {
        requests.push(begin(&client, format!("gauge {number}?")).await);
    }
    for answered in 0..10 {
        let sent = net.sent();
        assert_eq!((sent.len(), client.in_flight()), ((answered + 3).min(10), (10 - answered).min(3)));
        net.deliver(0, echo(&sent[answered].packet));
        settle().await;
    }
    for (number, request) in requests.into_iter().enumerate() {
        assert_eq!(request.await.unwrap().unwrap(), format!("gauge {number}?"));
    }
}

#[tokio::test(start_paused = true)]
async fn at_least_one_request_is_allowed() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_in_flight(0)).await;
    assert_eq!(timeout(client.request("level?").await).0, 5);
    assert_eq!(connect(&net, builder().max_in_flight(usize::MAX)).await.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_given_up_leaves_its_place() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_in_flight(1)).await;
    let running = begin(&client, "running").await;
    let waiting = begin(&client, "waiting").await;
    let last = begin(&client, "last").await;
    assert_eq!((client.in_flight(), net.sent().len()), (1, 1));
    waiting.abort();
    running.abort();
    settle().await;
    assert_eq!((client.in_flight(), net.sent().len()), (1, 2));
    net.deliver(0, echo(&net.sent()[1].packet));
    assert_eq!(last.await.unwrap().unwrap(), "last");
    assert_eq!((client.in_flight(), client.stats().requests), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn messages_that_no_datagram_holds_are_not_sent() {
    let identity = SecretKey::from_bytes([0x1d; 32]);
    for (builder, overhead) in [(builder(), 52), (builder().identity(&identity), 92)] {
        for (max_datagram, longest) in [(None, 1232), (Some(200), 200), (Some(117), 117), (Some(usize::MAX), 65_507)] {
            let net = Fake::new(&[A]);
            let builder = builder.clone();
            let builder =
                if let Some(max_datagram) = max_datagram { builder.max_datagram(max_datagram) } else { builder };
            let client = connect(&net, builder).await;
            let limit = longest - overhead;
            assert_eq!(client.max_message_len(), limit);
            let too_long = vec![7; limit + 1];
            for outcome in [client.request(&too_long).await, client.send(&too_long).await.map(|()| Bytes::new())] {
                let error = outcome.unwrap_err();
                assert!(error.to_string().contains("max_datagram"), "{error}");
                assert!(
                    matches!(error, Error::TooLarge { message_len, limit: said } if (message_len, said) == (limit + 1, limit))
                );
            }
            assert_eq!((net.sent(), client.stats().requests, client.stats().one_way), (vec![], 0, 0));
            client.send(&too_long[1..]).await.unwrap();
            assert_eq!(net.sent()[0].packet.len(), longest);
            let request = begin(&client, too_long[1..].to_vec()).await;
            assert_eq!(net.sent()[1].packet.len(), longest);
            request.abort();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn not_even_an_empty_message_is_sent_in_a_longer_datagram_than_allowed() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_datagram(51)).await;
    assert!(matches!(client.request("").await, Err(Error::TooLarge { message_len: 0, limit: 0 })));
    assert!(matches!(client.send("").await, Err(Error::TooLarge { message_len: 0, limit: 0 })));
    assert_eq!(net.sent(), []);
}

#[tokio::test(start_paused = true)]
async fn what_wants_no_reply_is_sent_once() {
    let (net, client) = start(&[A, B]).await;
    client.send("23.5 C").await.unwrap();
    net.report(0, ConnectionRefused);
    tokio::time::sleep(seconds(100)).await;
    assert_eq!((net.times(), client.in_flight()), (vec![0], 0));
    assert_eq!(echo(&net.sent()[0].packet).len(), 28 + 6);
    // It is not owed, and not waited for.
    net.deliver(0, echo(&net.sent()[0].packet));
    settle().await;
    let stats = client.stats();
    assert_eq!((stats.one_way, stats.requests, stats.datagrams_sent, stats.unmatched_replies), (1, 0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_wants_no_reply_goes_to_an_address_that_takes_it_or_nowhere() {
    let (net, client) = start(&[A, B]).await;
    net.state().sending.insert(A, Sending::Fails(PermissionDenied));
    client.send("23.5 C").await.unwrap();
    assert_eq!((net.destinations(), client.stats().one_way), (vec![B], 1));
    net.state().sending.insert(B, Sending::Fails(ConnectionRefused));
    match client.send("23.5 C").await {
        Err(Error::Network(error)) => assert_eq!(error.kind(), PermissionDenied),
        other => panic!("{other:?}"),
    }
    assert_eq!((net.sent().len(), client.stats().one_way), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_finish_with_the_key_they_were_sealed_for() {
    let (net, client) = start(&[A]).await;
    let new_secret = SecretKey::from_bytes([0x77; 32]);
    let old = begin(&client, "old").await;
    client.set_server_key(new_secret.public_key()).unwrap();
    assert_eq!(client.server_key(), new_secret.public_key());
    let new = begin(&client, "new").await;
    // The old one is still sent again as it is.
    tokio::time::sleep(millis(1010)).await;
    let sent = net.sent();
    assert_eq!((sent.len(), &sent[2].packet), (4, &sent[0].packet));
    net.deliver(0, answer(&new_secret, &sent[1].packet, None));
    net.deliver(0, echo(&sent[0].packet));
    assert_eq!((old.await.unwrap().unwrap(), new.await.unwrap().unwrap()), ("old".into(), "new".into()));
    assert_eq!(client.stats().refused(), 0);
}

#[tokio::test(start_paused = true)]
async fn another_key_keeps_the_identity_and_the_suite() {
    let (identity, new_secret) = (SecretKey::from_bytes([0x1d; 32]), SecretKey::from_bytes([0x77; 32]));
    let net = Fake::new(&[A]);
    let suite = pssst::Suite::X25519AesGcm128;
    let client = connect(&net, builder().identity(&identity).suite(suite)).await;
    client.set_server_key(new_secret.public_key()).unwrap();
    client.send("23.5 C").await.unwrap();
    let mut packet = net.sent().pop().unwrap().packet;
    assert_eq!(packet[2..4], [0x00, 0x01]);
    let server = Server::new(new_secret);
    assert_eq!(server.open_request(&mut packet).unwrap().client_key(), Some(&identity.public_key()));
}

#[tokio::test(start_paused = true)]
async fn a_key_that_nobody_must_use_is_refused_and_the_old_one_stays() {
    let weak = PublicKey::from_bytes([0; 32]);
    let (net, client) = start(&[A]).await;
    assert!(matches!(
        client.set_server_key(weak),
        Err(Error::Protocol(pssst::Error::Refused(pssst::Refusal::WeakKey)))
    ));
    assert_eq!(client.server_key(), server_secret().public_key());
    let request = begin(&client, "level?").await;
    net.deliver(0, echo(&net.sent()[0].packet));
    assert_eq!(request.await.unwrap().unwrap(), "level?");
    let refused = Client::builder(weak).connect_on(Arc::new(net), "server.example:45678").await;
    assert!(matches!(refused, Err(Error::Protocol(pssst::Error::Refused(pssst::Refusal::WeakKey)))));
}

#[tokio::test(start_paused = true)]
async fn a_client_that_replaces_another_goes_on_counting() {
    let (net, old) = start(&[A]).await;
    let under_way = begin(&old, "old").await;
    let new = connect(&net, builder().replacing(&old)).await;
    let later = begin(&new, "new").await;
    for sent in net.sent() {
        net.deliver(sent.socket, echo(&sent.packet));
    }
    assert_eq!((under_way.await.unwrap().unwrap(), later.await.unwrap().unwrap()), ("old".into(), "new".into()));
    assert_eq!(old.stats(), new.stats());
    assert_eq!((new.stats().requests, new.stats().replies, new.stats().unmatched_replies), (2, 2, 0));
    // One that replaces none does not.
    assert_eq!(connect(&net, builder()).await.stats().requests, 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_on_after_the_end() {
    let net = Fake::new(&[A]);
    let client = connect(&net, builder().max_in_flight(1)).await;
    let running = begin(&client, "running").await;
    let waiting = begin(&client, "waiting").await;
    client.clone().close();
    for request in [running, waiting, begin(&client, "late").await] {
        assert!(matches!(request.await.unwrap(), Err(Error::Closed)));
    }
    assert!(matches!(client.send("23.5 C").await, Err(Error::Closed)));
    client.close();
    assert_eq!((net.now(), net.sent().len(), client.in_flight()), (0, 1, 0));
    assert_eq!((client.stats().requests, client.stats().one_way, client.stats().timeouts), (1, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn clients_and_their_futures_go_anywhere() {
    fn is_shared<T: Clone + Send + Sync + 'static>() {}
    fn is_sent<T: Send>(_: T) {}
    is_shared::<Client>();
    is_shared::<ClientBuilder>();
    let (_, client) = start(&[A]).await;
    is_sent(client.request("level?"));
    is_sent(client.request_within(seconds(1), vec![7]));
    is_sent(client.send("23.5 C"));
    is_sent(builder().connect("server.example:45678"));
}
