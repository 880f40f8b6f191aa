//! Throughput of a server on one core, one packet by itself and many together:
//! `cargo bench -p pssst --bench batches`
//!
//! Every backend, kind and batch size takes its turn in every round, so that all meet the same
//! machine; each figure is the median over the rounds. The parts are the batch's X25519, and for
//! each packet SHA-256 and AEAD, called directly.

mod parts;

use std::hint::black_box;

use parts::{Aead, ends, median, open_and_seal, open_batch_and_seal, time};
use pssst::{OVERHEAD, Refusal, Server, Suite, SysRng, X25519, X25519Backend};
use x25519_batch::Product;

const ROUNDS: usize = 101;
/// Packets in each turn: the greatest batch, or several smaller ones.
const PACKETS: u8 = 64;
const MESSAGE_LEN: usize = 32;
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Kind of packets: honest requests, or packets that no key opens.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Anonymous,
    Authenticated,
    Junk,
}

fn main() {
    // `cargo test --benches` runs this too, and wants to know only that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };

    let mut rows = Vec::new();
    for backend in X25519Backend::ALL {
        if let Some(x25519) = X25519::with_backend(backend) {
            let kinds = [Kind::Anonymous, Kind::Authenticated, Kind::Junk];
            rows.extend(kinds.map(|kind| Row::new(x25519, kind)));
        }
    }
    for _ in 0..rounds {
        rows.iter_mut().for_each(Row::measure);
    }

    println!(
        "suite 1, {MESSAGE_LEN} bytes, thousands per second: open_request, open_batch by batch size, each reply sealed"
    );
    print!("{:<24} open_request", "");
    for size in SIZES {
        print!(" {size:>6}");
    }
    println!("   us at 64   parts, us   ratio");
    for row in rows {
        row.print();
    }
}

/// One line of the table: what it measures, and the times of all rounds in microseconds a packet.
struct Row {
    x25519: X25519,
    kind: Kind,
    server: Server,
    packets: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
    reply: Vec<u8>,
    parts: Parts,
    times: Vec<[f64; SIZES.len() + 2]>,
}

impl Row {
    fn new(x25519: X25519, kind: Kind) -> Self {
        let (server, client) = ends(Suite::X25519AesGcm128, kind == Kind::Authenticated);
        let mut packets: Vec<_> =
            (0..PACKETS).map(|_| client.seal_request_to_vec(&mut SysRng, &[1; MESSAGE_LEN]).unwrap().0).collect();
        if kind == Kind::Junk {
            for packet in &mut packets {
                packet[OVERHEAD] ^= 1;
            }
        }
        Self {
            x25519,
            kind,
            server: server.with_x25519(x25519),
            buffers: packets.clone(),
            parts: Parts::new(x25519, &packets, kind),
            packets,
            reply: vec![0; MESSAGE_LEN + OVERHEAD],
            times: Vec::new(),
        }
    }

    /// One turn: `open_request`, every size of batch, and the parts.
    fn measure(&mut self) {
        let mut times = [0.0; SIZES.len() + 2];
        let Self { server, packets, buffers, reply, parts, kind, .. } = self;
        times[0] = time(1, &mut || {
            for (packet, buffer) in packets.iter().zip(&mut *buffers) {
                if *kind == Kind::Junk {
                    buffer.copy_from_slice(packet);
                    assert_eq!(server.open_request(buffer).err(), Some(Refusal::DecryptFailed));
                } else {
                    black_box(open_and_seal(server, packet, buffer, reply));
                }
            }
        });
        for (time_of_size, size) in times[1..].iter_mut().zip(SIZES) {
            *time_of_size = time(1, &mut || {
                for (packets, buffers) in packets.chunks(size).zip(buffers.chunks_mut(size)) {
                    let opened = open_batch_and_seal(server, packets, buffers, reply);
                    assert_eq!(opened, if *kind == Kind::Junk { 0 } else { packets.len() });
                }
            });
        }
        times[SIZES.len() + 1] = time(1, &mut || parts.compute());
        self.times.push(times.map(|time| time / f64::from(PACKETS)));
    }

    fn print(&self) {
        let column = |column: usize| median(self.times.iter().map(|times| times[column]).collect());
        let backend = format!("{:?}", self.x25519.batch_backend());
        let kind = match self.kind {
            Kind::Anonymous => "anonymous",
            Kind::Authenticated => "authenticated",
            Kind::Junk => "junk refused",
        };
        print!("{backend:<9} {kind:<14} {:>12.1}", 1e3 / column(0));
        for size in 1..=SIZES.len() {
            print!(" {:>6.1}", 1e3 / column(size));
        }
        let (whole, parts) = (SIZES.len(), SIZES.len() + 1);
        let ratio = median(self.times.iter().map(|times| times[whole] / times[parts]).collect());
        println!("   {:>8.2}   {:>9.2}   {ratio:>5.3}", column(whole), column(parts));
    }
}

/// Parts of a batch of the greatest size.
struct Parts {
    x25519: X25519,
    kind: Kind,
    points: Vec<[u8; 32]>,
    products: Vec<Product>,
    aead: Aead,
}

impl Parts {
    fn new(x25519: X25519, packets: &[Vec<u8>], kind: Kind) -> Self {
        Self {
            x25519,
            kind,
            points: packets.iter().map(|packet| *pssst::exchange_value(packet).unwrap()).collect(),
            products: vec![Product::default(); packets.len()],
            aead: Aead::new(Suite::X25519AesGcm128, MESSAGE_LEN),
        }
    }

    fn compute(&mut self) {
        self.x25519.multiply_points(&[5; 32], &self.points, &mut self.products).unwrap();
        if self.kind == Kind::Authenticated {
            self.x25519.multiply_pairs(&[[5; 32]; PACKETS as usize], &self.points, &mut self.products).unwrap();
        }
        for _ in &self.products {
            black_box(parts::sha256(black_box(&[1; 64])));
            if self.kind == Kind::Junk {
                black_box(&mut self.aead).refuse();
            } else {
                black_box(black_box(&mut self.aead).open_and_seal());
            }
        }
    }
}
