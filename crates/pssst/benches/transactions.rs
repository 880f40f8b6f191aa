//! What each call costs, beside the calls it is made of:
//! `cargo bench -p pssst --bench transactions`

mod parts;

use std::hint::black_box;

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parts::{
    Aead, F002_AHEAD, F002_ANONYMOUS, F003_AHEAD, Identity, KINDS, Kem, Kind, SUITE_1_ANONYMOUS, ends, open_and_seal,
};
use pssst::{Client, SysRng, UnsealedRequest};

const LENGTHS: [usize; 2] = [32, 1024];
/// Lengths of batches, all of messages of 32 bytes.
const SIZES: [u64; 4] = [1, 2, 8, 64];

/// At a client Z2 is always there.
fn client_kinds() -> impl Iterator<Item = (String, Kind)> {
    let kinds = KINDS.into_iter().filter(|kind| kind.identity != Identity::OnDemand || *kind == KINDS[1]);
    kinds.map(|kind| (kind.name.replace(", Z2 ahead", ""), kind))
}

fn parts_alone(c: &mut Criterion) {
    let (scalar, point) = ([5; 32], parts::x25519_base(&[9; 32]));
    let mut group = c.benchmark_group("parts");
    group.bench_function("x25519, any point", |b| {
        b.iter(|| parts::x25519(black_box(&scalar), black_box(&point)));
    });
    group.bench_function("x25519, base point", |b| {
        b.iter(|| parts::x25519_base(black_box(&scalar)));
    });
    group.bench_function("sha-256 of 64 B", |b| b.iter(|| parts::sha256(black_box(&[1; 64]))));
    let (request, _) = ends(F003_AHEAD).client.seal_request_to_vec(&mut SysRng, &[1; 32]).unwrap();
    let kem = Kem::new(&request);
    group.bench_function("ML-KEM-768, decapsulation, and X-Wing's hash", |b| b.iter(|| black_box(&kem).decapsulate()));
    for (name, kind) in [("aes-128-gcm", SUITE_1_ANONYMOUS), ("aes-256-gcm-siv", F002_ANONYMOUS)] {
        for len in LENGTHS {
            let mut aead = Aead::new(kind, len);
            group.bench_function(BenchmarkId::new(format!("{name} set-up + open + seal"), len), |b| {
                b.iter(|| black_box(&mut aead).open_and_seal());
            });
        }
    }
    let key = pssst::PublicKey::from_bytes(point);
    group.bench_function("validation of a client key", |b| b.iter(|| black_box(&key).validate()));
    group.finish();
}

fn server(c: &mut Criterion) {
    let mut group = c.benchmark_group("server: open request + seal reply");
    for kind in KINDS {
        for len in LENGTHS.map(|len| kind.message_len(len)) {
            let ends = ends(kind);
            let (packet, _) = ends.client.seal_request_to_vec(&mut SysRng, &vec![1; len]).unwrap();
            let (mut buffer, mut reply) = (packet.clone(), vec![0; 2048]);
            group.bench_function(BenchmarkId::new(kind.name, len), |b| {
                b.iter(|| open_and_seal(&ends, &packet, &mut buffer, &mut reply));
            });
        }
    }
    group.finish();
}

fn client(c: &mut Criterion) {
    let mut group = c.benchmark_group("client: seal request");
    for (name, kind) in client_kinds().filter(|(_, kind)| !kind.is_fresh) {
        for len in LENGTHS.map(|len| kind.message_len(len)) {
            let client = ends(kind).client;
            let (message, mut buffer) = (vec![1; len], vec![0; client.packet_len(len).unwrap()]);
            group.bench_function(BenchmarkId::new(&name, len), |b| {
                b.iter(|| client.seal_request(&mut SysRng, &message, &mut buffer).unwrap().0.len());
            });
        }
    }
    group.finish();

    let mut group = c.benchmark_group("client: open reply");
    for (name, kind) in client_kinds().filter(|(_, kind)| !kind.is_authenticated() || kind.is_padded) {
        for len in LENGTHS.map(|len| kind.message_len(len)) {
            let ends = ends(kind);
            let (mut packet, pending) = ends.client.seal_request_to_vec(&mut SysRng, &vec![1; len]).unwrap();
            let request = ends.server.open_request_with(&mut packet, &ends.clients).unwrap();
            let reply = request.into_reply_sealer().seal_to_vec(&mut SysRng, &vec![2; len]).unwrap();
            let mut buffer = reply.clone();
            group.bench_function(BenchmarkId::new(&name, len), |b| {
                b.iter(|| {
                    buffer.copy_from_slice(&reply);
                    pending.open(&mut buffer).unwrap().len()
                });
            });
        }
    }
    group.finish();
}

/// The other end of batches is in `batches.rs`.
fn client_batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("client: seal batch");
    for (name, kind) in client_kinds().filter(|(_, kind)| !kind.is_fresh && !kind.is_padded) {
        for size in SIZES {
            let client = ends(kind).client;
            let mut buffers: Vec<_> = (0..size).map(|_| vec![0; 32 + client.overhead()]).collect();
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::new(&name, size), |b| {
                b.iter(|| {
                    let requests = buffers.iter_mut().map(|buffer| UnsealedRequest {
                        client: black_box(&client),
                        message: &[1; 32],
                        buffer,
                    });
                    Client::seal_batch(&mut SysRng, requests, |_, sealed| {
                        black_box(sealed.unwrap().1);
                    });
                });
            });
        }
    }
    group.finish();
}

fn junk(c: &mut Criterion) {
    let mut group = c.benchmark_group("server: refuse");
    let mut refuse = |name: &str, kind: Kind, change: &dyn Fn(&mut Vec<u8>)| {
        let ends = ends(kind);
        let (mut packet, _) = ends.client.seal_request_to_vec(&mut SysRng, &[1; 32]).unwrap();
        change(&mut packet);
        group.bench_function(name, |b| {
            b.iter(|| ends.server.open_request_with(black_box(&mut packet), &ends.clients).unwrap_err());
        });
    };
    let bend_claim = |packet: &mut Vec<u8>| {
        let place = packet.len() - 32 - 17;
        packet[place] ^= 1;
    };
    let bend_tag = |packet: &mut Vec<u8>| *packet.last_mut().unwrap() ^= 1;
    refuse("51 bytes", F002_ANONYMOUS, &|packet| packet.truncate(51));
    refuse("reserved flags", F002_ANONYMOUS, &|packet| packet[1] = 1);
    refuse("suite 1, a forgery", SUITE_1_ANONYMOUS, &bend_tag);
    refuse("f002, a forgery", F002_AHEAD, &bend_claim);
    refuse("f002, a forgery that has another request's front", F002_AHEAD, &bend_tag);
    refuse("f003, a forgery", F003_AHEAD, &bend_claim);
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1));
    targets = parts_alone, server, client, client_batches, junk
}
criterion_main!(benches);
