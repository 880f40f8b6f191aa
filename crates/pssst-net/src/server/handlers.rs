//! The handlers of one worker: the one in use, and those that finish what they have.

use std::future::poll_fn;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::{Context, Poll};

use super::Request;
use super::config::ActiveConfig;
use super::context::{Finished, ReplyContext};
use super::handler::Handle;
use super::stats::WorkerCounts;

/// The configuration in use with its handler, and the handlers that were replaced and still have
/// requests.
pub(super) struct Handlers {
    config: Arc<ActiveConfig>,
    current: Box<dyn Handle>,
    replaced: Vec<Box<dyn Handle>>,
    /// The newest configuration, if its handler could not be made.
    refused: Option<Arc<ActiveConfig>>,
}

impl Handlers {
    pub(super) fn new(config: Arc<ActiveConfig>) -> Self {
        Self { current: config.handler().make(), config, replaced: Vec::new(), refused: None }
    }

    /// Takes the newest configuration together with its handler, and returns the one to serve
    /// under.
    pub(super) fn configure(&mut self, newest: &Arc<ActiveConfig>, counts: &WorkerCounts) -> Arc<ActiveConfig> {
        self.replaced.retain(|handler| handler.in_flight() > 0);
        let is_known = |config: &Arc<ActiveConfig>| Arc::ptr_eq(config, newest);
        if is_known(&self.config) || self.refused.as_ref().is_some_and(is_known) {
            return Arc::clone(&self.config);
        }
        self.refused = None;
        if !newest.handler().is(self.config.handler()) {
            // The caller's code may panic.
            let Ok(made) = catch_unwind(AssertUnwindSafe(|| newest.handler().make())) else {
                counts.config_errors.add(1);
                tracing::error!("the new handler panicked while it was created; the old configuration stays in force");
                self.refused = Some(Arc::clone(newest));
                return Arc::clone(&self.config);
            };
            self.replaced.push(mem::replace(&mut self.current, made));
        }
        self.config = Arc::clone(newest);
        Arc::clone(newest)
    }

    /// Gives a request to the handler in use.
    pub(super) fn start(&mut self, request: Request<&[u8]>, context: ReplyContext) -> Option<Finished> {
        self.current.start(request, context)
    }

    /// Waits for the next request that any handler has finished.
    pub(super) async fn next_finished(&mut self) -> Finished {
        poll_fn(|cx| self.poll_finished(cx)).await
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let mut all = std::iter::once(&mut self.current).chain(&mut self.replaced);
        all.find_map(|handler| match handler.poll_finished(cx) {
            Poll::Ready(finished) => Some(Poll::Ready(finished)),
            Poll::Pending => None,
        })
        .unwrap_or(Poll::Pending)
    }

    /// Gives up what no handler has finished.
    pub(super) fn abandon(&mut self) -> Vec<ReplyContext> {
        let all = std::iter::once(&mut self.current).chain(&mut self.replaced);
        all.flat_map(|handler| handler.abandon()).collect()
    }
}
