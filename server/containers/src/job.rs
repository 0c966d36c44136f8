//! A sandboxed job for other services: a container that lives as long as one command.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    backend::{Attach, Exit, Session},
    engine::{Engine, NotCreated, Why, Wish},
    view::JobView,
};

/// What to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// For the shell of the container.
    pub command: String,
    /// Its standard input.
    pub input: Vec<u8>,
    /// Profile by name; the default when left out.
    pub profile: Option<String>,
    /// It is ended after this.
    pub within: Duration,
    /// Bytes of its output that are kept; what comes after is dropped.
    pub output_max: usize,
}

impl Default for Job {
    fn default() -> Self {
        Self {
            command: String::new(),
            input: Vec::new(),
            profile: None,
            within: Duration::from_secs(60),
            output_max: 64 * 1024,
        }
    }
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// No container: try later, or never on this machine.
    #[error("no container: {0}")]
    NoContainer(String),
    /// The command could not be started.
    #[error("starting the command: {0}")]
    NotStarted(String),
}

/// The handle. Cheap to clone.
#[derive(Clone)]
pub struct Jobs(Engine);

impl Jobs {
    pub(crate) fn new(engine: Engine) -> Self {
        Self(engine)
    }

    /// Runs a job to its end, or to its time. It takes one of the places, like every container.
    ///
    /// # Errors
    /// There was no container, or no command in it.
    pub async fn run(&self, job: Job) -> Result<JobView, JobError> {
        let began = std::time::Instant::now();
        let wish = Wish {
            profile: job.profile.clone(),
            // Its own time and a little: the watchdog ends what this future could not because it was dropped.
            ttl: Some(job.within + Duration::from_secs(10)),
            ..Wish::default()
        };
        let created = self.0.create(wish).await.map_err(|e| {
            JobError::NoContainer(match e {
                NotCreated::Unavailable(reason) | NotCreated::Failed(reason) => reason,
                NotCreated::Refused(_) => "all places are taken".into(),
                other => format!("{other:?}"),
            })
        })?;
        let result = self.attached(&job, created.id, began).await;
        self.0.destroy(created.id, Why::Client, None).await;
        result
    }

    async fn attached(
        &self,
        job: &Job,
        id: crate::id::ContainerId,
        began: std::time::Instant,
    ) -> Result<JobView, JobError> {
        let container = self
            .0
            .get(id)
            .ok_or_else(|| JobError::NoContainer("it ended at once".into()))?;
        let attach = Attach {
            command: Some(job.command.clone()),
            ..Attach::default()
        };
        let session = container
            .guest
            .attach(attach)
            .await
            .map_err(|e| JobError::NotStarted(e.to_string()))?;
        let Session {
            mut input,
            output,
            errors,
            exit,
            ..
        } = session;
        let feed = async {
            // A command that does not read its input is its own affair.
            let _ = input.write_all(&job.input).await;
            let _ = input.shutdown().await;
        };
        let mut text = Vec::new();
        let mut trouble = Vec::new();
        let keep = job.output_max as u64;
        let read = async {
            let mut output = output.take(keep);
            let errors = errors.unwrap_or_else(|| Box::new(tokio::io::empty()));
            let mut errors = errors.take(keep);
            let _ = tokio::join!(
                output.read_to_end(&mut text),
                errors.read_to_end(&mut trouble)
            );
        };
        let run = async {
            let ((), ()) = tokio::join!(feed, read);
            exit.await
        };
        let ended = tokio::time::timeout(job.within, run).await;
        let status = match ended {
            Ok(Ok(Exit::Code(code))) => Some(code),
            _ => None,
        };
        text.extend(trouble);
        text.truncate(job.output_max);
        Ok(JobView {
            command: job.command.clone(),
            output: String::from_utf8_lossy(&text).into_owned(),
            status,
            took_ms: began.elapsed().as_millis() as u64,
        })
    }
}
