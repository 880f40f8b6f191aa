//! What answers the requests.

use std::any::Any;
use std::collections::VecDeque;
use std::error::Error;
use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use futures_util::stream::{FuturesUnordered, StreamExt};
use futures_util::{FutureExt, future};
use pssst_support::sync::lock;
use tower_service::Service;
use tracing::Instrument;

use super::context::{Failure, Finished, ReplyContext};
use super::{Reply, Request};

/// Answers the requests of a server: a function, or a service ([`Service`], the trait of tower).
///
/// A reply is optional: with `None` the server sends nothing, as clients of one-way messages
/// expect.
///
/// Handlers run on the worker's own thread, so they must not block it. A panic is caught, and costs
/// its request only.
///
/// **Under suite 1 a handler must answer the same request with the same bytes**: see [`Request`].
#[derive(Clone)]
pub struct Handler {
    make: Arc<dyn Fn() -> Box<dyn Handle> + Send + Sync>,
}

impl Handler {
    /// Returns the handler of a function that does not wait: the fastest way. It gets the message
    /// where it was decrypted, and replies are sealed and sent with the batch that their requests
    /// came in.
    ///
    /// ```
    /// use pssst_net::{Handler, Reply, Request};
    ///
    /// let echo = Handler::from_fn(|request: Request<&[u8]>| Some(Reply::copy_from(request.message())));
    /// let reports = Handler::from_fn(|request: Request<&[u8]>| {
    ///     println!("{} bytes from {:?}", request.message().len(), request.client_key());
    ///     None
    /// });
    /// ```
    pub fn from_fn(answer: impl Fn(Request<&[u8]>) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self { make: Arc::new(move || Box::new(Function(Arc::clone(&answer)))) }
    }

    /// Returns the handler of a service. Every worker gets a clone. Requests wait while it
    /// is not ready, and count as in flight
    /// ([`ServerBuilder::max_in_flight`](crate::ServerBuilder::max_in_flight)).
    ///
    /// Layers of tower work as they do elsewhere. With the feature `tower` the errors of its
    /// timeout and load-shedding layers count as
    /// [`HandlerTimedOut`](crate::DatagramOutcome::HandlerTimedOut) and
    /// [`Overloaded`](crate::DatagramOutcome::Overloaded), otherwise as
    /// [`HandlerFailed`](crate::DatagramOutcome::HandlerFailed).
    ///
    /// ```
    /// use pssst_net::{Handler, Reply, Request};
    ///
    /// let pause = std::time::Duration::from_millis(1);
    /// let handler = Handler::from_service(tower::service_fn(move |request: Request| async move {
    ///     // Whatever has to be awaited.
    ///     tokio::time::sleep(pause).await;
    ///     Ok::<_, std::io::Error>(Some(Reply::from(request.into_message())))
    /// }));
    /// ```
    pub fn from_service<S>(service: S) -> Self
    where
        S: Service<Request, Response = Option<Reply>, Error: Into<BoxError>, Future: 'static> + Clone + Send + 'static,
    {
        let service = Mutex::new(service);
        Self::per_worker(move || lock(&service).clone())
    }

    /// Returns the handler of a service that is made anew for every worker, on the worker's thread:
    /// for services that cannot be cloned, as with tower's rate limit, or be sent to another
    /// thread. What such a layer counts, it counts for each worker by itself.
    pub fn per_worker<S>(make: impl Fn() -> S + Send + Sync + 'static) -> Self
    where
        S: Service<Request, Response = Option<Reply>, Error: Into<BoxError>, Future: 'static> + 'static,
    {
        Self { make: Arc::new(move || Box::new(ServiceHandle::new(make()))) }
    }

    /// Calls `look` with each request before the handler.
    #[must_use]
    pub fn inspect(self, look: impl Fn(&Request<&[u8]>) + Send + Sync + 'static) -> Self {
        let look = Arc::new(look);
        Self { make: Arc::new(move || Box::new(Inspected { look: Arc::clone(&look), inner: self.make() })) }
    }

    pub(super) fn make(&self) -> Box<dyn Handle> {
        (self.make)()
    }

    /// Returns whether both are clones of one handler.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.make, &other.make)
    }
}

impl fmt::Debug for Handler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Handler").finish_non_exhaustive()
    }
}

/// A handler at work in one worker.
pub(super) trait Handle {
    /// Takes a request. Either it is finished at once, or `poll_finished` will say so later.
    fn start(&mut self, request: Request<&[u8]>, context: ReplyContext) -> Option<Finished>;

    /// Returns the next request that is finished.
    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished>;

    /// Requests that were taken and are not finished.
    fn in_flight(&self) -> usize;

    /// Gives them up.
    fn abandon(&mut self) -> Vec<ReplyContext>;
}

/// The error of any service.
type BoxError = Box<dyn Error + Send + Sync>;

fn failure(error: impl Into<BoxError>) -> Failure {
    let error = error.into();
    #[cfg(feature = "tower")]
    {
        if error.is::<tower::timeout::error::Elapsed>() {
            return Failure::TimedOut;
        }
        if error.is::<tower::load_shed::error::Overloaded>() {
            return Failure::Overloaded;
        }
    }
    tracing::debug!(%error, "the handler failed");
    Failure::Failed
}

/// The panic hook has reported the panic.
fn failure_of_panic(_: Box<dyn Any + Send>) -> Failure {
    Failure::Failed
}

struct Inspected<F> {
    look: Arc<F>,
    inner: Box<dyn Handle>,
}

impl<F: Fn(&Request<&[u8]>)> Handle for Inspected<F> {
    fn start(&mut self, request: Request<&[u8]>, context: ReplyContext) -> Option<Finished> {
        match catch_unwind(AssertUnwindSafe(|| (self.look)(&request))) {
            Ok(()) => self.inner.start(request, context),
            Err(panic) => Some(Finished { context, outcome: Err(failure_of_panic(panic)) }),
        }
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        self.inner.poll_finished(cx)
    }

    fn in_flight(&self) -> usize {
        self.inner.in_flight()
    }

    fn abandon(&mut self) -> Vec<ReplyContext> {
        self.inner.abandon()
    }
}

struct Function<F>(Arc<F>);

impl<F: Fn(Request<&[u8]>) -> Option<Reply>> Handle for Function<F> {
    fn start(&mut self, request: Request<&[u8]>, context: ReplyContext) -> Option<Finished> {
        let outcome = catch_unwind(AssertUnwindSafe(|| (self.0)(request))).map_err(failure_of_panic);
        Some(Finished { context, outcome })
    }

    fn poll_finished(&mut self, _: &mut Context<'_>) -> Poll<Finished> {
        Poll::Pending
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn abandon(&mut self) -> Vec<ReplyContext> {
        Vec::new()
    }
}

/// A service, the requests that wait until it is ready, and those that it works on.
struct ServiceHandle<S: Service<Request>> {
    service: S,
    waiting: VecDeque<(Request, ReplyContext)>,
    running: FuturesUnordered<Call>,
}

type Outcome = Result<Option<Reply>, Failure>;

/// A running call. The reply context is kept beside the future so that it survives cancellation.
struct Call {
    context: Option<ReplyContext>,
    answer: Pin<Box<dyn Future<Output = Outcome>>>,
}

impl Future for Call {
    type Output = Option<Finished>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = ready!(self.answer.as_mut().poll(cx));
        Poll::Ready(self.context.take().map(|context| Finished { context, outcome }))
    }
}

impl<S> ServiceHandle<S>
where
    S: Service<Request, Response = Option<Reply>, Error: Into<BoxError>, Future: 'static>,
{
    fn new(service: S) -> Self {
        Self { service, waiting: VecDeque::new(), running: FuturesUnordered::new() }
    }

    /// Hands waiting requests to the service while it is ready. `Some` is a request that it
    /// refused.
    fn start_waiting(&mut self, cx: &mut Context<'_>) -> Option<Finished> {
        while !self.waiting.is_empty() {
            let ready = catch_unwind(AssertUnwindSafe(|| self.service.poll_ready(cx)));
            let refused = match ready {
                Ok(Poll::Pending) => return None,
                Ok(Poll::Ready(Ok(()))) => None,
                Ok(Poll::Ready(Err(error))) => Some(failure(error)),
                Err(panic) => Some(failure_of_panic(panic)),
            };
            let (request, context) = self.waiting.pop_front()?;
            match refused {
                None => {
                    let answer = self.call(request);
                    self.running.push(Call { answer, context: Some(context) });
                }
                Some(failure) => return Some(Finished { context, outcome: Err(failure) }),
            }
        }
        None
    }

    fn call(&mut self, request: Request) -> Pin<Box<dyn Future<Output = Outcome>>> {
        let span = tracing::debug_span!(
            "request",
            otel.kind = "server",
            peer = %request.peer(),
            suite = request.suite().number(),
            is_authenticated = request.client_key().is_some(),
        );
        match catch_unwind(AssertUnwindSafe(|| span.in_scope(|| self.service.call(request)))) {
            Ok(answer) => Box::pin(
                AssertUnwindSafe(answer)
                    .catch_unwind()
                    .map(|outcome| match outcome {
                        Ok(answer) => answer.map_err(failure),
                        Err(panic) => Err(failure_of_panic(panic)),
                    })
                    .instrument(span),
            ),
            Err(panic) => Box::pin(future::ready(Err(failure_of_panic(panic)))),
        }
    }
}

impl<S> Handle for ServiceHandle<S>
where
    S: Service<Request, Response = Option<Reply>, Error: Into<BoxError>, Future: 'static>,
{
    fn start(&mut self, request: Request<&[u8]>, context: ReplyContext) -> Option<Finished> {
        self.waiting.push_back((request.to_owned(), context));
        None
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        loop {
            if let Some(refused) = self.start_waiting(cx) {
                return Poll::Ready(refused);
            }
            match self.running.poll_next_unpin(cx) {
                Poll::Ready(Some(Some(finished))) => return Poll::Ready(finished),
                Poll::Ready(Some(None)) => {}
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn in_flight(&self) -> usize {
        self.waiting.len() + self.running.len()
    }

    fn abandon(&mut self) -> Vec<ReplyContext> {
        let waiting = self.waiting.drain(..).map(|(_, context)| context);
        let running = std::mem::take(&mut self.running);
        waiting.chain(running.into_iter().filter_map(|mut call| call.context.take())).collect()
    }
}
