//! Clients that are gone when their replies come. A socket that gets their ports gets
//! these replies.

use std::net::{Ipv4Addr, UdpSocket};

use crate::alone;
use crate::common::*;

const V4: Ipv4Addr = Ipv4Addr::LOCALHOST;

#[test]
fn clients_that_leave_end_nothing() {
    let _alone = alone();
    let server = builder().bind((V4, 0)).unwrap().serve(config(echo())).unwrap();
    for _ in 0..2000 {
        // Gone before the reply comes: the system tells the server so.
        let (packet, _) = sealed(&anonymous(), b"");
        UdpSocket::bind((V4, 0)).unwrap().send_to(&packet, server.local_addr()).unwrap();
    }
    wait_for(&server, |stats| {
        stats.received + stats.kernel_drops.unwrap_or_default() == 2000 && stats.in_flight() == 0
    });
    let (reply, _) = ask(&socket(V4), server.local_addr(), &anonymous(), b"still there?");
    assert_eq!(reply, b"still there?");
    let stats = server.shutdown_blocking(PATIENCE);
    assert_eq!(stats.received + stats.kernel_drops.unwrap_or_default(), 2001);
}
