//! Admission control in front of every upstream: a limit on concurrent requests, the circuit
//! breaker, and the counters.
//!
//! It is a layer of tower. A request without a free slot is dropped at once: tower's own
//! limit, shared by several workers, keeps a place in its queue for a worker that may not come back
//! for it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pssst_net::{Reply, Request};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tower::load_shed::error::Overloaded;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service};
use tracing::{Instrument, Span};

use crate::circuit::{Circuit, Verdict};
use crate::client_id::{ClientId, Shares};
use crate::failure_log::FailureLog;
use crate::stats::{Counters, ExchangeOutcome, GatewayStats};
use crate::upstream::{Answer, Failure};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct AdmissionControl {
    slots: Arc<Semaphore>,
    shares: Arc<Shares>,
    circuit: Arc<Circuit>,
    counters: Arc<Counters>,
    log: FailureLog,
}

impl AdmissionControl {
    /// Controls the admission to this upstream.
    pub(crate) fn new(upstream: String, max_concurrency: usize, circuit: Circuit, counters: Arc<Counters>) -> Self {
        Self {
            slots: Arc::new(Semaphore::new(max_concurrency)),
            shares: Arc::default(),
            circuit: Arc::new(circuit),
            counters,
            log: FailureLog::new("upstream", upstream),
        }
    }

    pub(crate) fn stats(&self) -> GatewayStats {
        self.counters.snapshot(self.circuit.is_open())
    }

    pub(crate) fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// Puts admission control before an upstream.
#[derive(Clone)]
pub(crate) struct AdmissionLayer(pub(crate) Arc<AdmissionControl>);

impl<S> Layer<S> for AdmissionLayer {
    type Service = Admitted<S>;

    fn layer(&self, upstream: S) -> Admitted<S> {
        Admitted { admission: Arc::clone(&self.0), upstream }
    }
}

/// An upstream behind admission control.
pub(crate) struct Admitted<S> {
    admission: Arc<AdmissionControl>,
    upstream: S,
}

impl<S> Service<Request> for Admitted<S>
where
    S: Service<Request, Response = Answer, Error = BoxError, Future: 'static>,
{
    type Response = Option<Reply>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Option<Reply>, BoxError>>>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.upstream.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let admission = Arc::clone(&self.admission);
        let client = ClientId::of(&request);
        let share = admission.shares.take(client, admission.slots.available_permits());
        let Some((share, Ok(slot))) = share.map(|share| (share, Arc::clone(&admission.slots).try_acquire_owned()))
        else {
            admission.counters.count(ExchangeOutcome::Overloaded);
            return Box::pin(std::future::ready(Err(Overloaded::new().into())));
        };
        let Some(permit) = admission.circuit.enter(client) else {
            admission.counters.count(ExchangeOutcome::CircuitOpen);
            return Box::pin(std::future::ready(Err(Failure::new(ExchangeOutcome::CircuitOpen).into())));
        };
        let span = tracing::debug_span!("upstream", otel.kind = "client", outcome = tracing::field::Empty);
        let answer = span.in_scope(|| self.upstream.call(request)).instrument(span.clone());
        admission.counters.begin();
        let mut recorder =
            OutcomeRecorder { admission, span, outcome: ExchangeOutcome::Cancelled, start: Instant::now() };
        Box::pin(async move {
            let _taken = (slot, share);
            let recorder = &mut recorder;
            let (outcome, is_failure, answer) = match answer.await {
                Ok(Answer::Reply(reply)) => (ExchangeOutcome::Answered, false, Ok(Some(reply))),
                Ok(Answer::Delivered) => (ExchangeOutcome::Delivered, false, Ok(None)),
                Ok(Answer::Status { is_failure }) => {
                    let refused = ExchangeOutcome::StatusRefused;
                    (refused, is_failure, Err(Failure::new(refused).into()))
                }
                Err(error) => (outcome_of(&error), false, Err(error)),
            };
            recorder.outcome = outcome;
            let verdict = if is_failure { Verdict::Fails } else { Verdict::of(outcome) };
            match &answer {
                Err(cause) if verdict != Verdict::Works => recorder.admission.log.failed(cause),
                _ => recorder.admission.log.succeeded(),
            }
            permit.report(verdict);
            answer
        })
    }
}

fn outcome_of(error: &BoxError) -> ExchangeOutcome {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.outcome,
        None if error.is::<Elapsed>() => ExchangeOutcome::TimedOut,
        None => ExchangeOutcome::Broken,
    }
}

/// Counts the end of a request when dropped; unless a result is reported, the server has cancelled
/// it.
struct OutcomeRecorder {
    admission: Arc<AdmissionControl>,
    span: Span,
    outcome: ExchangeOutcome,
    start: Instant,
}

impl Drop for OutcomeRecorder {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome.name());
        self.admission.counters.end(self.outcome, self.start.elapsed());
    }
}
