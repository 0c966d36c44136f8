//! A module library in the gateway's own process, for tests of a library: a crash ends everything.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use leitstand_kit::BoxFuture;
use tokio::sync::{oneshot, watch};

use super::{
    contexts::Contexts,
    library::{Library, Unusable},
    runner::{CarNumber, Done, Gone, OffersOf, Runner, lock},
};
use crate::wire::host::{Reply, Request, reply, request::What};

type Pending = Arc<Mutex<BTreeMap<u64, oneshot::Sender<Done>>>>;

/// See the module's text.
pub(crate) struct Inline {
    contexts: Mutex<Option<Contexts>>,
    pending: Pending,
    next_call: AtomicU64,
    run: watch::Sender<Option<u64>>,
}

impl Inline {
    pub(crate) fn load(lib: &Path, module: i32, offers: OffersOf) -> Result<Self, Unusable> {
        let library = Box::leak(Box::new(Library::load(lib, module)?));
        let pending = Pending::default();
        let answers = pending.clone();
        let send = move |reply: Reply| match reply.what {
            Some(reply::What::Done(done)) => {
                if let Some(waiting) = lock(&answers).remove(&done.call) {
                    let _ = waiting.send(Done {
                        code: done.code,
                        supported: done.supported,
                        micros: done.micros,
                    });
                }
            }
            Some(reply::What::Command(command)) => {
                let found = lock(&offers).get(&command.car).cloned();
                if let Some((_, offers)) = found {
                    offers.offer(command.device.unwrap_or_default(), command.data);
                }
            }
            _ => {}
        };
        Ok(Self {
            contexts: Mutex::new(Some(Contexts::new(library, send))),
            pending,
            next_call: AtomicU64::new(1),
            run: watch::Sender::new(Some(1)),
        })
    }
}

impl Runner for Inline {
    fn run(&self) -> watch::Receiver<Option<u64>> {
        self.run.subscribe()
    }

    fn invoke(&self, car: CarNumber, what: What) -> BoxFuture<'_, Result<Done, Gone>> {
        let call = self.next_call.fetch_add(1, Ordering::Relaxed);
        let (answer, waiting) = oneshot::channel();
        lock(&self.pending).insert(call, answer);
        if let Some(contexts) = lock(&self.contexts).as_mut() {
            contexts.handle(Request {
                call,
                car,
                what: Some(what),
            });
        }
        Box::pin(async move { waiting.await.map_err(|_| Gone) })
    }

    fn kill(&self, _why: &str) {}

    fn stop(&self) -> BoxFuture<'_, ()> {
        let contexts = lock(&self.contexts).take();
        Box::pin(async move {
            let _ = tokio::task::spawn_blocking(move || drop(contexts)).await;
        })
    }
}
