//! Overhead of the protocol over the cryptography it is made of:
//! `cargo bench -p pssst --bench overhead`
//!
//! A server's open + seal and its parts, called directly, take turns in short rounds, so that both
//! meet the same machine. The ratio is the median over the rounds; single times on a shared machine
//! mean little.

mod parts;

use std::hint::black_box;

use parts::{Aead, KINDS, Kem, Kind, ends, median, open_and_seal, time};
use pssst::{Suite, SysRng};

const ROUNDS: usize = 301;
const CALLS: u32 = 20;

fn main() {
    // `cargo test --benches` runs this too, and wants to know only that it works.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };

    println!("server, open + seal                    bytes   parts, us   crate, us   ratio");
    for kind in KINDS {
        for len in [32, 1024].map(|len| kind.message_len(len)) {
            measure(kind, len, rounds);
        }
    }
}

fn measure(kind: Kind, len: usize, rounds: usize) {
    let ends = ends(kind);
    let (packet, _) = ends.client.seal_request_to_vec(&mut SysRng, &vec![1; len]).unwrap();
    let (mut buffer, mut reply) = (packet.clone(), vec![0; 2048]);
    let mut whole = || {
        black_box(open_and_seal(&ends, &packet, &mut buffer, &mut reply));
    };

    // Without the 64 bytes of suite 1's proof, which only the request has: that favours the parts.
    let mut aead = Aead::new(kind, kind.body_len(len));
    let kem = (kind.suite == Suite::XWingAes256GcmSiv).then(|| Kem::new(&packet));
    let (scalar, point) = ([5; 32], parts::x25519_base(&[9; 32]));
    let mut parts = || {
        for _ in 0..kind.multiplications() + usize::from(kind.is_fresh) {
            black_box(parts::x25519(black_box(&scalar), black_box(&point)));
        }
        if kind.is_fresh {
            black_box(parts::x25519_base(black_box(&scalar)));
        }
        black_box(kem.as_ref().map(Kem::decapsulate));
        for len in kind.hashed() {
            black_box(parts::sha256(black_box(&[1; 136][..*len])));
        }
        black_box(black_box(&mut aead).open_and_seal());
    };

    let rows: Vec<[f64; 3]> = (0..rounds)
        .map(|_| {
            let (parts, whole) = (time(CALLS, &mut parts), time(CALLS, &mut whole));
            [parts, whole, whole / parts]
        })
        .collect();
    let [parts, whole, ratio] = [0, 1, 2].map(|column| median(rows.iter().map(|row| row[column]).collect()));
    println!("{:<38} {len:>5}   {parts:>9.2}   {whole:>9.2}   {ratio:>5.3}", kind.name);
}
