//! Enrolment of a device's key, and the sealed exchanges that it has in common with renewals.

use std::time::Duration;

use pssst::{SecretKey, Suite, SysRng};
use pssst_identity::Token;
use zeroize::Zeroizing;

use super::{DirectoryClient, random_fraction};
use crate::{EnrollmentRequest, EnrollmentResponse, Error, Problem, Refusal};

pub(super) const SUITE: Suite = Suite::X25519Aes256GcmSivEnrollment;

/// How often a request is sent at most, with pauses of about 1, 2 and 4 seconds.
const ATTEMPTS: u32 = 4;

impl DirectoryClient {
    /// Enrols the public key of `identity` with a token, under the token's name or, if the token
    /// leaves it to the device, this one. The server's keys are fetched first.
    ///
    /// If the directory is unreachable or unavailable, the same request is sent again, up to three
    /// times. If there is still no answer, call this again with the same token and identity: the
    /// outcome is the same.
    ///
    /// # Errors
    /// The errors of [`DirectoryClient::fetch`]; [`Error::Refused`]; and [`Error::Protocol`] or
    /// [`Error::Syntax`] for an answer that was not made by a server of the pool.
    pub async fn enroll(
        &self,
        token: &Token,
        identity: &SecretKey,
        name: Option<&str>,
    ) -> Result<EnrollmentResponse, Error> {
        self.fetch().await?;
        //
        let client = pssst::Client::new(self.enrollment_key()?)?.with_suite(SUITE)?.with_identity(identity)?;
        let message = EnrollmentRequest { token: token.clone(), name: name.map(str::to_owned) }.to_json();
        let (packet, pending) = client.seal_request_to_vec(&mut SysRng, &message)?;

        let reply = self.post_sealed("/v1/enroll", &packet, EnrollmentResponse::MAX_LEN).await?;
        // Once it is open, the pre-shared key is in it.
        let mut reply = Zeroizing::new(reply);
        let enrolled = EnrollmentResponse::parse(pending.open(&mut reply)?)?;
        if enrolled.key == identity.public_key() {
            Ok(enrolled)
        } else {
            Err(Error::Syntax("the key that was enrolled"))
        }
    }

    /// Posts a sealed request until there is an answer, and returns the sealed reply.
    pub(super) async fn post_sealed(&self, path: &str, packet: &[u8], max_len: usize) -> Result<Vec<u8>, Error> {
        let mut pause = Duration::from_secs(1);
        for _ in 1..ATTEMPTS {
            match self.try_sealed(path, packet, max_len).await {
                Err(error) if may_pass(&error) => tracing::warn!(%error, path, "trying again at the directory"),
                outcome => return outcome,
            }
            tokio::time::sleep(pause.mul_f64(0.5 + random_fraction() / 2.0)).await;
            pause *= 2;
        }
        self.try_sealed(path, packet, max_len).await
    }

    /// Posts a sealed request once, and returns the sealed reply.
    pub(super) async fn try_sealed(&self, path: &str, packet: &[u8], max_len: usize) -> Result<Vec<u8>, Error> {
        let limit = max_len + SUITE.reply_overhead(false);
        let answer = self.shared.http.post(path, packet.to_vec(), limit).await?;
        if answer.status == 200 {
            return Ok(answer.body);
        }
        let problem = Problem::parse(&answer.body).map_err(|_| Error::Status(answer.status))?;
        Err(Error::Refused { refusal: problem.error, message: problem.message })
    }
}

/// Returns whether it may be otherwise in a moment.
fn may_pass(error: &Error) -> bool {
    match error {
        Error::Connection(_) | Error::Refused { refusal: Refusal::Unavailable, .. } => true,
        Error::Status(status) => *status >= 500,
        _ => false,
    }
}
