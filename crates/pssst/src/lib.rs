//! PSSST, Packet Security for Stateless Server Transactions: one small encrypted datagram to any
//! server of a pool that keeps nothing about its clients, and at most one encrypted datagram back.
//!
//! There is no handshake, no session, and no state in a load balancer. A client may prove who it is
//! within that same packet, and no one on the path learns which client it was.
//!
//! This crate is the protocol and nothing else: no socket, clock, file or thread. It works in the
//! caller's buffers, so it runs under any runtime, on a microcontroller, or in a simulator. The
//! repository's `docs/specification.md` has the rules that it follows; ids such as `[R-18]` in
//! these pages refer to them.
//!
//! # A transaction
//!
//! ```
//! use pssst::{Client, SecretKey, Server, SysRng};
//!
//! // The server's key pair. The public key reaches clients by another, heavier channel.
//! let server_secret = SecretKey::generate(&mut SysRng)?;
//! let server_key = server_secret.public_key();
//!
//! // The client seals a request: 52 bytes more than its message, or 92 when it proves who it is.
//! let identity = SecretKey::generate(&mut SysRng)?;
//! let client = Client::new(server_key)?.with_identity(&identity)?;
//! let mut datagram = [0; 1232];
//! let (packet, pending) = client.seal_request(&mut SysRng, b"valve 7?", &mut datagram)?;
//!
//! // Any server that holds the key opens it, in place, and may answer it once.
//! let server = Server::new(server_secret);
//! let request = server.open_request(packet)?;
//! assert_eq!(request.message(), b"valve 7?");
//! assert_eq!(request.client_key(), Some(&identity.public_key()));
//! let mut answer = [0; 1232];
//! let reply = request.into_reply_sealer().seal(&mut SysRng, b"open", &mut answer)?;
//!
//! // Whatever else arrives is refused, and the true reply is still taken.
//! assert_eq!(pending.open(&mut [0x80; 60]), Err(pssst::Refusal::ReservedFlags { bits: 0x0080 }));
//! assert_eq!(pending.open(reply)?, b"open");
//! # Ok::<(), pssst::Error>(())
//! ```
//!
//! # One request, one answer
//!
//! **Read this before you write a handler.** A client that gets no reply sends the same bytes
//! again, and an attacker can repeat them at any time. A server without state cannot detect this,
//! so it answers again: **a handler must be safe to repeat**. All answers to one request are sealed
//! under the same key and nonce, unless they are fresh replies ([`Client::with_fresh_replies`]).
//!
//! Under suites 0xf002 and 0xf003, the defaults, two different answers show that they differ, and
//! nothing else.
//!
//! Under suite 1 ([`Suite::X25519AesGcm128`], for peers that are other implementations) they are
//! fatal. AES-GCM breaks: the two ciphertexts show how the messages differ, the two tags reveal the
//! authentication key, and with it anyone can forge a third reply that the waiting client accepts.
//! The test `two_answers` carries out the attack. So, under suite 1, **a handler answers the same
//! request with the same bytes**, on every server of the pool and at any later time. Being
//! idempotent is not enough. If all your clients are this implementation's, switch suite 1 off:
//! [`Server::with_suites`].
//!
//! # What it is not
//!
//! * **Not a replay filter at the server.** Any request may arrive again, now or next year.
//! * **Not forward secrecy against the server's key**, except for fresh replies. Anyone who takes
//!   the server's secret key reads the past. (Anyone who takes a client's key reads nothing, not
//!   even that client's own packets.)
//! * **Not a distribution of keys.**
//! * **Not signatures.** A holder of the server's secret key can pose as any client towards that
//!   server.
//! * **Not a disguise.** Times, addresses, the suite and the flags are visible, and so are sizes
//!   unless you pad: [`Client::with_padding`].
//!
//! # Many at once
//!
//! Nearly all of a packet's cost is X25519. A CPU with AVX-512 IFMA or AVX2 computes it for many
//! packets side by side, in a fifth or two thirds of the time each. So pass all waiting packets to
//! [`Server::open_batch`], and seal many requests, to one server or many, with
//! [`Client::seal_batch`]. Outcomes and bytes equal those of single calls; a single packet costs
//! the same as without a batch.
//!
//! CPU features are detected once; [`X25519`] reports the selected backends, and can select others:
//!
//! ```
//! use pssst::X25519;
//!
//! let x25519 = X25519::new();
//! println!("{:?}, in batches {:?}", x25519.single_backend(), x25519.batch_backend());
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! |---|---|
//! | `std` (default) | the operating system's randomness ([`SysRng`]), and single X25519 in assembly on x86-64 and aarch64 |
//! | `pem` (default) | keys as PEM documents, as OpenSSL reads and writes them |
//! | `alloc` | methods that return `Vec` and `String` |
//! | `pq` | suite 0xf003 with its X-Wing keys: X25519 and ML-KEM-768 |
//! | `serde` | public keys in documents, as text |
//!
//! Without any of them the crate is `no_std` and never allocates. Batches need no feature.

#![no_std]
#![warn(clippy::alloc_instead_of_core, clippy::std_instead_of_core)]
#![warn(clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

pub use batch::BATCH_LEN;
pub use client::{Client, Padding, PendingReply, UnsealedRequest};
pub use error::{Error, Refusal};
#[cfg(feature = "std")]
pub use getrandom::SysRng;
pub use key::{KEY_LEN, PublicKey, SecretKey};
pub use key_text::{Fingerprint, XWingKeyHash};
pub use keyring::Keyring;
pub use packet::{EXCHANGE_VALUE_LEN, HEADER_LEN, Header, TAG_LEN, TRANSACTION_ID_LEN, transaction_id};
pub use psk::{PreSharedKey, PskMaster};
pub use rand_core;
pub use server::{
    ClientCheck, ClientClaim, FreshReplies, KeyCheck, RecordedReply, RecordedRequest, ReplyPadding, ReplySealer,
    Request, Server, SharedSecret,
};
pub use server_key::{ServerKey, ServerSecretKey};
pub use suite::{Suite, SuiteSet};
pub use x25519_batch::{Backend as X25519Backend, Product, X25519};
#[cfg(feature = "pq")]
pub use xwing::{XWING_PUBLIC_KEY_LEN, XWingPublicKey, XWingSecretKey};

#[cfg(feature = "alloc")]
extern crate alloc;
#[cfg(any(feature = "std", test))]
extern crate std;

mod agreement;
mod batch;
mod client;
mod error;
#[cfg(feature = "pq")]
mod kem;
mod key;
pub mod key_text;
mod keyring;
mod packet;
#[cfg(feature = "pem")]
mod pem;
mod psk;
mod server;
mod server_key;
mod suite;
#[cfg(feature = "serde")]
mod text;
#[cfg(test)]
mod work;
#[cfg(feature = "pq")]
mod xwing;
