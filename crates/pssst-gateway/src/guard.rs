//! What stands before every upstream: a limit on how much is asked at a time, the circuit breaker, and the counts.
//!
//! As a layer of tower. The limit tries for a permit and takes no for an answer: tower's own limit, shared by several workers,
//! keeps a place in the queue for a worker that may not come back for it.

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

use crate::circuit::Circuit;
use crate::stats::{Counts, GatewayOutcome, GatewayStats};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct Guard {
    permits: Arc<Semaphore>,
    circuit: Arc<Circuit>,
    counts: Arc<Counts>,
}

impl Guard {
    pub(crate) fn new(max_concurrency: usize, circuit: Circuit, counts: Arc<Counts>) -> Self {
        Self { permits: Arc::new(Semaphore::new(max_concurrency)), circuit: Arc::new(circuit), counts }
    }

    pub(crate) fn stats(&self) -> GatewayStats {
        self.counts.snapshot(self.circuit.is_open())
    }

    /// For whoever goes on with them.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }
}

/// Puts the guard before an upstream.
#[derive(Clone)]
pub(crate) struct GuardLayer(pub(crate) Arc<Guard>);

impl<S> Layer<S> for GuardLayer {
    type Service = Guarded<S>;

    fn layer(&self, upstream: S) -> Guarded<S> {
        Guarded { guard: Arc::clone(&self.0), upstream }
    }
}

/// An upstream behind its guard.
pub(crate) struct Guarded<S> {
    guard: Arc<Guard>,
    upstream: S,
}

/// Why an upstream gave no answer.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) GatewayOutcome);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "upstream: {}", self.0.name())
    }
}

impl std::error::Error for Failure {}

/// What an upstream's answer means.
#[derive(Debug)]
pub(crate) enum Answer {
    Reply(Reply),
    Delivered,
    /// A status that is no reply; whether it says that the upstream itself has failed.
    Status {
        is_failure: bool,
    },
}

impl<S> Service<Request> for Guarded<S>
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
        let guard = Arc::clone(&self.guard);
        let Ok(permit) = Arc::clone(&guard.permits).try_acquire_owned() else {
            guard.counts.count(GatewayOutcome::Overloaded);
            return Box::pin(std::future::ready(Err(Overloaded::new().into())));
        };
        let Some(pass) = guard.circuit.enter() else {
            guard.counts.count(GatewayOutcome::CircuitOpen);
            return Box::pin(std::future::ready(Err(Failure(GatewayOutcome::CircuitOpen).into())));
        };
        let span = tracing::debug_span!("upstream", otel.kind = "client", outcome = tracing::field::Empty);
        let answer = span.in_scope(|| self.upstream.call(request)).instrument(span.clone());
        guard.counts.begin();
        let mut ending = Ending { guard, span, outcome: GatewayOutcome::Abandoned, start: Instant::now() };
        Box::pin(async move {
            let _permit = permit;
            let ending = &mut ending;
            let (outcome, is_failure, answer) = match answer.await {
                Ok(Answer::Reply(reply)) => (GatewayOutcome::Answered, false, Ok(Some(reply))),
                Ok(Answer::Delivered) => (GatewayOutcome::Delivered, false, Ok(None)),
                Ok(Answer::Status { is_failure }) => {
                    let refused = GatewayOutcome::StatusRefused;
                    (refused, is_failure, Err(Failure(refused).into()))
                }
                Err(error) => {
                    let outcome = outcome_of(&error);
                    // An answer that is too long shows that the upstream is well.
                    (outcome, outcome != GatewayOutcome::TooLarge, Err(error))
                }
            };
            ending.outcome = outcome;
            if is_failure {
                pass.failed();
            } else {
                pass.succeeded();
            }
            answer
        })
    }
}

fn outcome_of(error: &BoxError) -> GatewayOutcome {
    match error.downcast_ref::<Failure>() {
        Some(failure) => failure.0,
        None if error.is::<Elapsed>() => GatewayOutcome::TimedOut,
        None => GatewayOutcome::Broken,
    }
}

/// Counts when a request ends, however it does.
struct Ending {
    guard: Arc<Guard>,
    span: Span,
    outcome: GatewayOutcome,
    start: Instant,
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.span.record("outcome", self.outcome.name());
        self.guard.counts.end(self.outcome, self.start.elapsed());
    }
}
