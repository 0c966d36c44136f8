//! What a request does, whatever way it came: CREATE, DESTROY, STAT, and verbs that an embedder adds.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use futures_util::FutureExt as _;
use leitstand_kit::BoxFuture;
use serde_json::json;

use crate::{
    admission::Refusal,
    engine::{Engine, NotCreated, Why, Wish},
    facts::{Cause, Fact, Kind, Verdict},
    id::ContainerId,
    wire::{
        request::{Malformed, Request},
        response::Response,
    },
};

/// A request and who made it.
#[derive(Clone, Debug)]
pub struct RequestCx {
    /// The client's address; `None` for a call from inside.
    pub peer: Option<IpAddr>,
    /// Number of its access token.
    pub owner: Option<i64>,
    /// What it asks for.
    pub request: Request,
}

/// A verb of an embedder.
pub type Routine = Arc<dyn Fn(RequestCx) -> BoxFuture<'static, Response> + Send + Sync>;

/// What to tell the client.
#[derive(Debug)]
pub enum Outcome {
    /// This.
    Respond(Response),
    /// This; the container dies unless it is delivered.
    Deliver(Response, ContainerId),
    /// Nothing: a handler closed it.
    Close,
}

/// The verbs.
#[derive(Clone)]
pub struct Verbs {
    engine: Engine,
    custom: Arc<RwLock<HashMap<String, Routine>>>,
}

impl Verbs {
    /// The three of the original.
    #[must_use]
    pub fn new(engine: Engine) -> Self {
        Self {
            engine,
            custom: Arc::default(),
        }
    }

    /// What they act on.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Adds or replaces a verb.
    pub fn set_handler<F, Fut>(&self, verb: &str, routine: F)
    where
        F: Fn(RequestCx) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let routine: Routine = Arc::new(move |cx| Box::pin(routine(cx)));
        self.custom
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(verb.into(), routine);
    }

    /// Removes a verb that was added.
    pub fn remove_handler(&self, verb: &str) {
        self.custom
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(verb);
    }

    fn fact(&self, kind: Kind, peer: Option<IpAddr>, data: serde_json::Value) -> Option<Outcome> {
        let mut fact = Fact::new(kind, Cause::Normal);
        fact.peer = peer;
        fact.data = data;
        match self.engine.facts().fire(fact) {
            Verdict::Continue => None,
            Verdict::Close => Some(Outcome::Close),
            Verdict::Respond(response) => Some(Outcome::Respond(response)),
        }
    }

    /// Executes a request, valid or not.
    pub async fn execute(
        &self,
        peer: Option<IpAddr>,
        request: Result<Request, Malformed>,
    ) -> Outcome {
        let errors = request.as_ref().err().map(|m| m.0.clone());
        let verb = request.as_ref().ok().map(|r| r.verb.clone());
        if let Some(cut) = self.fact(
            Kind::RequestReceived,
            peer,
            json!({"valid": errors.is_none(), "verb": verb}),
        ) {
            return cut;
        }
        let request = match request {
            Ok(request) => request,
            Err(Malformed(errors)) => return self.malformed(peer, &errors),
        };
        let owner = match self
            .engine
            .authorize(request.parameters.access_token.as_deref())
            .await
        {
            Ok(owner) => owner,
            Err(response) => {
                let cut = self.fact(
                    Kind::AuthenticationFailed,
                    peer,
                    json!({"reason": response.message}),
                );
                return cut.unwrap_or(Outcome::Respond(response));
            }
        };
        let cx = RequestCx {
            peer,
            owner,
            request,
        };
        let custom = {
            let all = self.custom.read().unwrap_or_else(PoisonError::into_inner);
            all.get(&cx.request.verb).cloned()
        };
        if let Some(routine) = custom {
            let answer = std::panic::AssertUnwindSafe(async move { routine(cx).await })
                .catch_unwind()
                .await;
            return Outcome::Respond(answer.unwrap_or_else(|_| {
                self.engine.failed(None, peer, "a verb panicked");
                Response::internal()
            }));
        }
        match cx.request.verb.as_str() {
            "STAT" => Outcome::Respond(self.stat()),
            "CREATE" => self.create(cx).await,
            "DESTROY" => self.destroy(cx).await,
            verb => {
                let cut = self.fact(Kind::VerbUnhandled, peer, json!({"verb": verb}));
                cut.unwrap_or(Outcome::Respond(Response::unhandled_verb()))
            }
        }
    }

    fn malformed(&self, peer: Option<IpAddr>, errors: &[String]) -> Outcome {
        // What a stranger sent is cut: it goes into the journal.
        let errors: Vec<String> = errors
            .iter()
            .take(8)
            .map(|e| e.chars().take(160).collect())
            .collect();
        let cut = self.fact(Kind::RequestMalformed, peer, json!({"errors": errors}));
        cut.unwrap_or(Outcome::Respond(Response::malformed()))
    }

    /// STAT, for whoever asks.
    #[must_use]
    pub fn stat(&self) -> Response {
        let statistics = self.engine.statistics();
        let mut data = json!({
            "version": env!("CARGO_PKG_VERSION"),
            "uptime": statistics.uptime_s,
            "available": statistics.available_containers,
            "backend": self.engine.backend_kind(),
        });
        match self.engine.probe() {
            Ok(probe) => {
                data["limits"] = probe.limits.into();
                if !probe.notes.is_empty() {
                    data["notes"] = probe.notes.into();
                }
            }
            Err(reason) => data["unavailable"] = reason.into(),
        }
        Response::ok(data)
    }

    async fn create(&self, cx: RequestCx) -> Outcome {
        let parameters = cx.request.parameters;
        let wish = Wish {
            owner: cx.owner,
            peer: cx.peer,
            profile: parameters.profile,
            backend: parameters.backend,
            ttl: parameters.ttl_s.map(Duration::from_secs),
            ssh_public_key: parameters.ssh_public_key,
            idempotency_key: parameters.idempotency_key,
        };
        match self.engine.create(wish).await {
            Ok(created) => Outcome::Deliver(Response::ok(created.data()), created.id),
            Err(NotCreated::Closed) => Outcome::Close,
            Err(NotCreated::Malformed(error)) => self.malformed(cx.peer, &[error.to_owned()]),
            Err(error) => Outcome::Respond(refusal(error)),
        }
    }

    async fn destroy(&self, cx: RequestCx) -> Outcome {
        let Some((id, token)) = cx.request.parameters.credentials else {
            return self.malformed(
                cx.peer,
                &["container_uuid, client_token: required".to_owned()],
            );
        };
        if self.engine.owns(id, &token) && self.engine.destroy(id, Why::Client, cx.peer).await {
            return Outcome::Respond(Response::ok(json!({})));
        }
        let cut = self.fact(
            Kind::AuthenticationFailed,
            cx.peer,
            json!({"reason": "DESTROY"}),
        );
        cut.unwrap_or(Outcome::Respond(Response::bad_authentication()))
    }
}

/// The text for a client.
#[must_use]
pub fn refusal(error: NotCreated) -> Response {
    match error {
        NotCreated::Refused(Refusal::Full) => Response::full(),
        NotCreated::Refused(Refusal::Quota) => {
            Response::unavailable("All containers of this access token are running")
        }
        NotCreated::Refused(Refusal::Rate) => {
            Response::unavailable("This access token starts containers too often")
        }
        NotCreated::Unavailable(reason) => Response::unavailable(&reason),
        NotCreated::Malformed(_) => Response::malformed(),
        NotCreated::Responded(response) => response,
        NotCreated::Closed | NotCreated::Failed(_) => Response::internal(),
    }
}
