//! What each call costs, beside the calls it is made of:
//! `cargo bench -p pssst --bench transactions`

mod parts;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use parts::{Aead, KINDS, ends, open_and_seal};
use pssst::{Client, OVERHEAD, Suite, SysRng, UnsealedRequest};

const LENGTHS: [usize; 2] = [32, 1024];
/// Lengths of batches, all of messages of 32 bytes.
const SIZES: [u64; 4] = [1, 2, 8, 64];

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
    for (name, suite) in [("aes-128-gcm", Suite::X25519AesGcm128), ("aes-128-gcm-siv", Suite::X25519Aes128GcmSiv)] {
        for len in LENGTHS {
            let mut aead = Aead::new(suite, len);
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
    for (name, suite, authenticated) in KINDS {
        for len in LENGTHS {
            let (server, client) = ends(suite, authenticated);
            let (packet, _) = client.seal_request_to_vec(&mut SysRng, &vec![1; len]).unwrap();
            let (mut buffer, mut reply) = (packet.clone(), vec![0; len + OVERHEAD]);
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| open_and_seal(&server, &packet, &mut buffer, &mut reply));
            });
        }
    }
    group.finish();
}

fn client(c: &mut Criterion) {
    let mut group = c.benchmark_group("client: seal request");
    for (name, suite, authenticated) in KINDS {
        for len in LENGTHS {
            let (_, client) = ends(suite, authenticated);
            let (message, mut buffer) = (vec![1; len], vec![0; len + client.overhead()]);
            group.bench_function(BenchmarkId::new(name, len), |b| {
                b.iter(|| client.seal_request(&mut SysRng, &message, &mut buffer).unwrap().0.len());
            });
        }
    }
    group.finish();

    let mut group = c.benchmark_group("client: open reply");
    for (name, suite, authenticated) in KINDS {
        for len in LENGTHS {
            let (server, client) = ends(suite, authenticated);
            let (mut packet, pending) = client.seal_request_to_vec(&mut SysRng, &vec![1; len]).unwrap();
            let sealer = server.open_request(&mut packet).unwrap().into_reply_sealer();
            let reply = sealer.seal_to_vec(&vec![2; len]).unwrap();
            let mut buffer = reply.clone();
            group.bench_function(BenchmarkId::new(name, len), |b| {
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
    for (name, suite, authenticated) in KINDS {
        for size in SIZES {
            let (_, client) = ends(suite, authenticated);
            let mut buffers: Vec<_> = (0..size).map(|_| vec![0; 32 + client.overhead()]).collect();
            group.throughput(Throughput::Elements(size));
            group.bench_function(BenchmarkId::new(name, size), |b| {
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
    let (server, client) = ends(Suite::X25519AesGcm128, false);
    let (packet, _) = client.seal_request_to_vec(&mut SysRng, &[1; 32]).unwrap();
    let mut forged = packet.clone();
    forged[OVERHEAD] ^= 1;
    let mut reserved = packet.clone();
    reserved[1] = 1;
    for (name, mut packet) in [("51 bytes", packet[..51].to_vec()), ("reserved flags", reserved), ("a forgery", forged)]
    {
        group.bench_function(name, |b| {
            b.iter(|| server.open_request(black_box(&mut packet)).unwrap_err());
        });
    }
    group.finish();
}

criterion_group!(benches, parts_alone, server, client, client_batches, junk);
criterion_main!(benches);
