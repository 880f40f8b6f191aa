//! Renewal of a client's secrets: its pre-shared key, and what it shares with the server's keys.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Extension, FromRequest, Request, State};
use axum::http::StatusCode;
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use pssst::{PreSharedKey, PublicKey};
use pssst_directory::{Refusal, RenewalRequest, Renewed};
use pssst_identity::{Identity, IdentityStore, NewAuditEntry, State as ClientState};
use zeroize::Zeroizing;

use crate::answers::{is_current, issue_psk, problem};
use crate::peer::Peer;
use crate::state::{DEVICE, Shared};
use crate::stats::DirectoryEvent;
use crate::{RenewalRefusal, Schedule};

/// One answer to all refusals: an answer for each cause would tell a thief what is missing.
const REFUSED: &str = "the request is not a renewal of a client that is served, with all that it has to prove, sealed for \
                       this pool";

pub(crate) async fn renew(
    State(shared): State<Arc<Shared>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Response {
    if !shared.renewals.admit(peer.address) {
        shared.counters.add_renewal_refusal(RenewalRefusal::RateLimited);
        let problem = problem(Refusal::RateLimited, "too many requests: try again later");
        return ([(RETRY_AFTER, "10")], problem).into_response();
    }
    match try_renew(&shared, request).await {
        Ok(reply) => {
            shared.counters.add(DirectoryEvent::Renewed);
            ([(CONTENT_TYPE, "application/octet-stream")], reply).into_response()
        }
        Err(refused) => refused.answer(&shared, &peer),
    }
}

/// Returns the sealed reply.
async fn try_renew(shared: &Shared, request: Request) -> Result<Vec<u8>, Refused> {
    let body = Bytes::from_request(request, &()).await.map_err(|rejection| {
        let is_too_long = rejection.status() == StatusCode::PAYLOAD_TOO_LARGE;
        Refused { status: is_too_long.then_some(StatusCode::PAYLOAD_TOO_LARGE), ..Refused::invalid() }
    })?;
    // Once it is open, the pre-shared key is in it.
    let mut packet = Zeroizing::new(Vec::from(body));
    let server = shared.opener.load_full();
    let opened = server.open_request(&mut packet).map_err(|_| Refused::invalid())?;
    let key = opened.client_key().copied().ok_or_else(Refused::invalid)?;
    let key_index = opened.server_key_index();
    let request = RenewalRequest::parse(opened.message()).map_err(|_| Refused::invalid())?;

    let client = shared.store.get(&key).await.map_err(|error| {
        tracing::error!(%error, "a renewal failed");
        Refused::by(RenewalRefusal::Unavailable, key)
    })?;
    let (schedule, now) = (shared.schedule.load(), shared.schedule.now());
    if !is_current(&server, key_index, &schedule, now) {
        return Err(Refused::invalid());
    }
    let client = admit(client, request.psk.as_ref(), &schedule, now).map_err(|cause| Refused::by(cause, key))?;
    let psk = issue_psk(schedule.current_psk_master(now), &client);
    let shared_secrets = if request.wants_shared_secrets { schedule.shared_secrets(&key, now) } else { Vec::new() };

    // Before the answer, which may be lost. A key that the client has already is not issued.
    if let Some(issued) = psk.as_ref().filter(|issued| request.psk.as_ref() != Some(&issued.psk))
        && shared.issued_psks.is_new(key, issued.master)
    {
        let entry = NewAuditEntry::psk_issued(&client, &issued.master.to_string());
        shared.record(&shared.store.with_actor(DEVICE), entry).await;
    }
    let renewed = Renewed { key, psk, shared_secrets }.to_json();
    opened.into_reply_sealer().seal_to_vec(&mut pssst::SysRng, &renewed).map_err(|error| {
        tracing::error!(%error, "the reply to a renewal cannot be sealed");
        Refused::by(RenewalRefusal::Unavailable, key)
    })
}

/// Returns the client that proved its key if it is served, and has presented the pre-shared key
/// that it must use: otherwise a thief of its secret key would fetch that here.
fn admit(
    client: Option<Identity>,
    psk: Option<&PreSharedKey>,
    schedule: &Schedule,
    now: Timestamp,
) -> Result<Identity, RenewalRefusal> {
    let client = client.ok_or(RenewalRefusal::UnknownClient)?;
    match client.state {
        ClientState::Enrolled => {}
        ClientState::Suspended => return Err(RenewalRefusal::Suspended),
        _ => return Err(RenewalRefusal::Revoked),
    }
    if client.expires.is_some_and(|expires| expires <= now) {
        return Err(RenewalRefusal::Expired);
    }
    if client.requires_psk {
        let psk = psk.ok_or(RenewalRefusal::MissingPsk)?;
        // In constant time each, and all of them.
        let masters = schedule.accepted_psk_masters(now);
        let is_accepted = masters.fold(false, |found, master| found | (master.psk(&client.key) == *psk));
        if !is_accepted {
            return Err(RenewalRefusal::WrongPsk);
        }
    }
    Ok(client)
}

/// A renewal that did not take place.
struct Refused {
    cause: RenewalRefusal,
    /// Instead of the refusal's own.
    status: Option<StatusCode>,
    /// The key that was proved.
    client_key: Option<PublicKey>,
}

impl Refused {
    const fn invalid() -> Self {
        Self { cause: RenewalRefusal::InvalidRequest, status: None, client_key: None }
    }

    const fn by(cause: RenewalRefusal, client_key: PublicKey) -> Self {
        Self { cause, status: None, client_key: Some(client_key) }
    }

    /// Counts the refusal, and answers the client. The audit log has a sum each minute: a thief, or
    /// a client that was revoked, asks again and again.
    fn answer(self, shared: &Shared, peer: &Peer) -> Response {
        shared.counters.add_renewal_refusal(self.cause);
        // A failure of the directory is not a refusal of the client.
        if self.cause == RenewalRefusal::Unavailable {
            return problem(Refusal::Unavailable, "the directory is unavailable: try again later");
        }
        shared.refused_renewals.add(peer.address, self.client_key);
        let key = self.client_key.map(tracing::field::display);
        tracing::info!(cause = self.cause.name(), key, from = %peer.address, "a renewal was refused");
        let mut response = problem(Refusal::InvalidRequest, REFUSED);
        if let Some(status) = self.status {
            *response.status_mut() = status;
        }
        response
    }
}
