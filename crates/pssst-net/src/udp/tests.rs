use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::batch::is_answerable;
use super::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

fn batch_socket(address: impl Into<IpAddr>) -> BatchSocket {
    BatchSocket::new(UdpSocket::bind((address.into(), 0)).unwrap()).unwrap()
}

/// All datagrams of this number.
async fn receive_all(socket: &BatchSocket, batch: &mut ReceiveBatch, number: usize) -> Vec<Option<Vec<u8>>> {
    let mut all = Vec::new();
    while all.len() < number {
        let patience = std::time::Duration::from_secs(20);
        tokio::time::timeout(patience, socket.receive(batch)).await.expect("all of them").unwrap();
        all.extend(batch.datagrams().map(|datagram| datagram.bytes.map(|bytes| bytes.to_vec())));
    }
    all
}

#[tokio::test]
async fn as_many_as_wait_are_received_at_once() {
    let socket = batch_socket(V4);
    let sender = UdpSocket::bind((V4, 0)).unwrap();
    for number in 0..100_u8 {
        sender.send_to(&[number; 3], socket.local_addr().unwrap()).unwrap();
    }
    let mut batch = ReceiveBatch::new(64, 10);
    socket.receive(&mut batch).await.unwrap();
    assert_eq!(batch.len(), 64);
    let first: Vec<_> = batch.datagrams().map(|datagram| datagram.bytes.unwrap()[0]).collect();
    assert_eq!(first, (0..64).collect::<Vec<_>>());
    assert!(batch.datagrams().all(|datagram| datagram.peer == sender.local_addr().unwrap()));
    socket.try_receive(&mut batch).unwrap();
    assert_eq!(batch.len(), 36);
    assert_eq!(socket.try_receive(&mut batch).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    assert!(batch.is_empty());
}

#[tokio::test]
async fn datagrams_longer_than_the_buffers_are_known_as_such() {
    let socket = batch_socket(V4);
    let sender = UdpSocket::bind((V4, 0)).unwrap();
    for len in [0, 99, 100, 101, 102, 60_000, 1] {
        sender.send_to(&vec![7; len], socket.local_addr().unwrap()).unwrap();
    }
    let all = receive_all(&socket, &mut ReceiveBatch::new(64, 100), 7).await;
    let lens: Vec<_> = all.iter().map(|bytes| bytes.as_ref().map(Vec::len)).collect();
    assert_eq!(lens, [Some(0), Some(99), Some(100), None, None, None, Some(1)]);
}

/// The kernel would write as much as fits of a burst that it had put together, and say nothing.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn a_burst_of_segments_arrives_as_its_datagrams() {
    let socket = batch_socket(V4);
    let sender = UdpSocket::bind((V4, 0)).unwrap();
    let state = UdpSocketState::new((&sender).into()).unwrap();
    let contents: Vec<u8> = (0..16).flat_map(|number| [number; 500]).collect();
    let transmit = quinn_udp::Transmit {
        destination: socket.local_addr().unwrap(),
        ecn: None,
        contents: &contents,
        segment_size: Some(500),
        src_ip: None,
    };
    state.try_send((&sender).into(), &transmit).unwrap();
    let all = receive_all(&socket, &mut ReceiveBatch::new(64, 2048), 16).await;
    for (number, bytes) in (0..).zip(all) {
        assert_eq!(bytes.unwrap(), [number; 500]);
    }
}

/// A bad destination in a batch keeps no other from getting its datagram.
#[tokio::test]
async fn one_destination_that_is_refused_keeps_no_other_from_being_sent_to() {
    let receiver = batch_socket(V4);
    let good = receiver.local_addr().unwrap();
    // No port; no permission to broadcast; another family.
    let bad = [(V4, 0).into(), (Ipv4Addr::BROADCAST, 9).into(), (Ipv6Addr::LOCALHOST, good.port()).into()];
    for listen in [V4, Ipv4Addr::UNSPECIFIED] {
        let mut socket = batch_socket(listen);
        let mut batch = SendBatch::new();
        let destinations = [bad[0], good, bad[1], bad[2], good, good, bad[0]];
        for (number, destination) in (0_u8..).zip(destinations) {
            batch.push(destination, Some(V4.into()), 3, number).fill(number);
        }
        let mut outcomes = Vec::new();
        socket.send(&mut batch, |number, outcome| outcomes.push((number, outcome.is_ok()))).await;
        outcomes.sort_unstable();
        assert_eq!(outcomes, [(0, false), (1, true), (2, false), (3, false), (4, true), (5, true), (6, false)]);
        assert!(batch.is_empty());
        let all = receive_all(&receiver, &mut ReceiveBatch::new(64, 10), 3).await;
        assert_eq!(all, [Some(vec![1; 3]), Some(vec![4; 3]), Some(vec![5; 3])]);
    }
}

/// More than one system call takes, from several addresses.
#[tokio::test]
#[cfg(target_os = "linux")]
async fn batches_of_any_length_leave_from_the_addresses_they_should() {
    let receiver = batch_socket(V4);
    let mut socket = batch_socket(Ipv4Addr::UNSPECIFIED);
    let source = |number: u8| Ipv4Addr::new(127, 0, 0, 1 + number % 3);
    for len in [1, 2, 63, 64, 65, 200_u8] {
        let mut batch = SendBatch::new();
        for number in 0..len {
            batch.push(receiver.local_addr().unwrap(), Some(source(number).into()), 1, ()).fill(number);
        }
        let mut sent = 0;
        socket.send(&mut batch, |(), outcome| sent += u8::from(outcome.is_ok())).await;
        assert_eq!(sent, len);
        let mut arrived = ReceiveBatch::new(64, 10);
        let mut left = len;
        while left > 0 {
            receiver.receive(&mut arrived).await.unwrap();
            for datagram in arrived.datagrams() {
                assert_eq!(datagram.peer.ip(), source(datagram.bytes.unwrap()[0]));
                left -= 1;
            }
        }
    }
}

#[tokio::test]
async fn local_addresses_are_told_where_they_are_needed() {
    let sender = UdpSocket::bind((V4, 0)).unwrap();
    for (listen, expected) in [(V4, None), (Ipv4Addr::UNSPECIFIED, Some(IpAddr::from(V4)))] {
        let socket = batch_socket(listen);
        sender.send_to(&[1], (V4, socket.local_addr().unwrap().port())).unwrap();
        let mut batch = ReceiveBatch::new(1, 10);
        socket.receive(&mut batch).await.unwrap();
        assert_eq!(batch.datagrams().next().unwrap().local, expected);
    }
}

#[test]
fn what_was_sent_to_a_group_is_not_answered_under_its_address() {
    for (address, expected) in [
        ("127.0.0.1", true),
        ("::1", true),
        ("::ffff:192.0.2.1", true),
        ("224.0.0.1", false),
        ("ff02::1", false),
        ("255.255.255.255", false),
        ("::ffff:255.255.255.255", false),
    ] {
        assert_eq!(is_answerable(address.parse().unwrap()), expected, "{address}");
    }
}

#[tokio::test]
async fn what_is_shown_has_no_contents() {
    let socket = batch_socket(V4);
    UdpSocket::bind((V4, 0)).unwrap().send_to(b"secret", socket.local_addr().unwrap()).unwrap();
    let mut received = ReceiveBatch::new(1, 10);
    socket.receive(&mut received).await.unwrap();
    let mut batch = SendBatch::new();
    batch.push(socket.local_addr().unwrap(), None, 6, ()).copy_from_slice(b"secret");
    let others = format!("{received:?} {batch:?} {socket:?}");
    let shown = format!("{others} {:?}", received.datagrams().next().unwrap());
    crate::log_capture::assert_absent(&shown, &[b"secret"]);
    assert!(shown.contains("len: Some(6)"), "{shown}");
}

#[test]
fn the_datagram_added_last_can_be_taken_back() {
    let to = SocketAddr::new(V4.into(), 1);
    let mut batch = SendBatch::new();
    batch.push(to, None, 3, 'a').fill(1);
    batch.push(to, None, 5, 'b').fill(2);
    assert_eq!((batch.pop(), batch.len()), (Some('b'), 1));
    assert_eq!(batch.push(to, None, 4, 'c'), [0; 4]);
    assert_eq!((batch.pop(), batch.pop(), batch.pop()), (Some('c'), Some('a'), None));
}
