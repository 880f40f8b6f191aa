//! Throughput of a server on one core, one packet by itself and many together:
//! `cargo bench -p pssst --bench batches`
//!
//! Every backend, kind and batch size takes its turn in every round, so that all meet the same
//! machine; each figure is the median over the rounds, and each ratio that of the rounds' ratios.
//! The parts are the batch's X25519, and for each packet ML-KEM, hashes and AEAD, called directly.

mod parts;

use std::hint::black_box;

use parts::{
    Aead, Ends, F002_AHEAD, F002_ANONYMOUS, F002_ON_DEMAND, F003_AHEAD, F003_ANONYMOUS, F003_ON_DEMAND, KINDS, Kem,
    Kind, SUITE_1_ANONYMOUS, SUITE_1_AUTHENTICATED, ends, median, open_and_seal, open_batch_and_seal, time,
};
use pssst::{Refusal, Suite, SysRng, X25519, X25519Backend};
use x25519_batch::Product;

const ROUNDS: usize = 101;
/// Packets in each turn: the greatest batch, or several smaller ones.
const PACKETS: u8 = 64;
const MESSAGE_LEN: usize = 32;
const SIZES: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];

/// Goals for the ratios between kinds, at the greatest batch: a name, the kind whose time is
/// divided, the one that it is divided by, and the goal.
const GOALS: [(&str, Kind, Kind, &str); 7] = [
    ("f002, time of authenticated, Z2 ahead, beside anonymous", F002_AHEAD, F002_ANONYMOUS, "at most 1.1"),
    ("f002, Z2 ahead, transactions beside suite 1, authenticated", SUITE_1_AUTHENTICATED, F002_AHEAD, "at least 1.4"),
    ("f002, Z2 on demand, transactions beside suite 1, authenticated", SUITE_1_AUTHENTICATED, F002_ON_DEMAND, "none"),
    ("f002, anonymous, transactions beside suite 1, anonymous", SUITE_1_ANONYMOUS, F002_ANONYMOUS, "none"),
    ("f003, anonymous, transactions beside f002", F002_ANONYMOUS, F003_ANONYMOUS, "at least 0.5"),
    ("f003, authenticated, Z2 ahead, transactions beside f002", F002_AHEAD, F003_AHEAD, "at least 0.5"),
    ("f003, authenticated, Z2 on demand, transactions beside f002", F002_ON_DEMAND, F003_ON_DEMAND, "none"),
];

fn main() {
    // `cargo test --benches` runs this too, and wants to know only that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };

    let best = X25519::new();
    let mut rows: Vec<Row> = KINDS.into_iter().map(|kind| Row::new(best, kind, false)).collect();
    for kind in [SUITE_1_ANONYMOUS, F002_ANONYMOUS, F002_AHEAD, F003_AHEAD] {
        rows.push(Row::new(best, kind, true));
    }
    for backend in X25519Backend::ALL {
        if let Some(x25519) = X25519::with_backend(backend)
            && backend != best.batch_backend()
        {
            let kinds = [SUITE_1_AUTHENTICATED, F002_ANONYMOUS, F002_AHEAD, F003_AHEAD];
            rows.extend(kinds.map(|kind| Row::new(x25519, kind, false)));
        }
    }
    for _ in 0..rounds {
        rows.iter_mut().for_each(Row::measure);
    }

    println!("{MESSAGE_LEN} bytes, thousands per second: open_request, open_batch by batch size, each reply sealed");
    print!("{:<47} open_request", "");
    for size in SIZES {
        print!(" {size:>6}");
    }
    println!("   us at 64   parts, us   ratio");
    for row in &rows {
        row.print();
    }

    println!("\nratios, {:?}, batches of {PACKETS}", best.batch_backend());
    for (name, divided, divisor, goal) in GOALS {
        let times = |kind: Kind| rows.iter().find(|row| row.kind == kind && !row.is_junk).unwrap().times.iter();
        let ratios =
            times(divided).zip(times(divisor)).map(|(divided, divisor)| divided[SIZES.len()] / divisor[SIZES.len()]);
        println!("{:.3}  {name}; goal: {goal}", median(ratios.collect()));
    }
}

/// One line of the table: what it measures, and the times of all rounds in microseconds a packet.
struct Row {
    x25519: X25519,
    kind: Kind,
    /// Whether packets are refused: their t is wrong, or the tag of those that have none.
    is_junk: bool,
    ends: Ends,
    packets: Vec<Vec<u8>>,
    buffers: Vec<Vec<u8>>,
    reply: Vec<u8>,
    parts: Parts,
    times: Vec<[f64; SIZES.len() + 2]>,
}

impl Row {
    fn new(x25519: X25519, kind: Kind, is_junk: bool) -> Self {
        let mut ends = ends(kind);
        ends.server = ends.server.with_x25519(x25519);
        let seal = |_| ends.client.seal_request_to_vec(&mut SysRng, &[1; MESSAGE_LEN]).unwrap().0;
        let mut packets: Vec<_> = (0..PACKETS).map(seal).collect();
        if is_junk {
            for packet in &mut packets {
                let place = packet.len() - MESSAGE_LEN - 17;
                packet[if kind.is_authenticated() { place } else { place + 1 }] ^= 1;
            }
        }
        Self {
            x25519,
            kind,
            is_junk,
            buffers: packets.clone(),
            parts: Parts::new(x25519, &packets, kind, is_junk),
            ends,
            packets,
            reply: vec![0; 2048],
            times: Vec::new(),
        }
    }

    /// One turn: `open_request`, every size of batch, and the parts.
    fn measure(&mut self) {
        let mut times = [0.0; SIZES.len() + 2];
        let Self { ends, packets, buffers, reply, parts, is_junk, .. } = self;
        times[0] = time(1, &mut || {
            for (packet, buffer) in packets.iter().zip(&mut *buffers) {
                if *is_junk {
                    buffer.copy_from_slice(packet);
                    let outcome = ends.server.open_request_with(buffer, &ends.clients);
                    assert_eq!(outcome.err(), Some(Refusal::DecryptFailed));
                } else {
                    black_box(open_and_seal(ends, packet, buffer, reply));
                }
            }
        });
        for (time_of_size, size) in times[1..].iter_mut().zip(SIZES) {
            *time_of_size = time(1, &mut || {
                for (packets, buffers) in packets.chunks(size).zip(buffers.chunks_mut(size)) {
                    let opened = open_batch_and_seal(ends, packets, buffers, reply);
                    assert_eq!(opened, if *is_junk { 0 } else { packets.len() });
                }
            });
        }
        times[SIZES.len() + 1] = time(1, &mut || parts.compute());
        self.times.push(times.map(|time| time / f64::from(PACKETS)));
    }

    fn print(&self) {
        let column = |column: usize| median(self.times.iter().map(|times| times[column]).collect());
        let backend = format!("{:?}", self.x25519.batch_backend());
        let name = if self.is_junk { format!("{}, junk", self.kind.name) } else { self.kind.name.to_owned() };
        print!("{backend:<9} {name:<37} {:>12.1}", 1e3 / column(0));
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
    is_junk: bool,
    points: Vec<[u8; 32]>,
    products: Vec<Product>,
    kem: Option<Kem>,
    aead: Aead,
}

impl Parts {
    fn new(x25519: X25519, packets: &[Vec<u8>], kind: Kind, is_junk: bool) -> Self {
        Self {
            x25519,
            kind,
            is_junk,
            points: packets.iter().map(|packet| *packet[4..].first_chunk().unwrap()).collect(),
            products: vec![Product::default(); packets.len()],
            kem: (kind.suite == Suite::XWingAes256GcmSiv).then(|| Kem::new(&packets[0])),
            aead: Aead::new(kind, kind.body_len(MESSAGE_LEN)),
        }
    }

    fn compute(&mut self) {
        let refuses_early = self.is_junk && self.kind.is_authenticated();
        self.x25519.multiply_points(&[5; 32], &self.points, &mut self.products).unwrap();
        let others = if refuses_early { 0 } else { self.kind.multiplications() - 1 } + usize::from(self.kind.is_fresh);
        for _ in 0..others {
            self.x25519.multiply_pairs(&[[5; 32]; PACKETS as usize], &self.points, &mut self.products).unwrap();
        }
        if self.kind.is_fresh {
            let mut base = [0; 32];
            base[0] = 9;
            let points = [base; PACKETS as usize];
            self.x25519.multiply_pairs(&[[5; 32]; PACKETS as usize], &points, &mut self.products).unwrap();
        }
        let hashed = self.kind.hashed();
        let hashed = if refuses_early { &hashed[..3] } else { hashed };
        for _ in &self.products {
            black_box(self.kem.as_ref().map(Kem::decapsulate));
            for len in hashed {
                black_box(parts::sha256(black_box(&[1; 136][..*len])));
            }
            if refuses_early {
                continue;
            }
            if self.is_junk {
                black_box(&mut self.aead).refuse();
            } else {
                black_box(black_box(&mut self.aead).open_and_seal());
            }
        }
    }
}
