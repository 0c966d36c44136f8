//! The real binary as a child process.

use crate::http::{self, Reply};
use crate::sse::Stream;
use crate::wait;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use tempfile::TempDir;

/// The binary under test: `$LEITSTAND_BIN`, or the one beside the test executable, which `cargo test
/// --workspace` builds.
///
/// # Panics
/// When it is not there, with the command that builds it.
#[must_use]
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("LEITSTAND_BIN") {
        return path.into();
    }
    let test = std::env::current_exe().expect("path of the test executable");
    // target/<profile>/deps/it-<hash> -> target/<profile>/leitstand
    let path = test
        .ancestors()
        .nth(2)
        .expect("a target directory")
        .join("leitstand");
    assert!(
        path.is_file(),
        "{} is missing: run `cargo build -p leitstand`, or the tests with `cargo test --workspace`",
        path.display()
    );
    path
}

/// Runs a command to its end, with nothing on STDIN.
///
/// # Panics
/// When the binary cannot be started.
#[must_use]
pub fn leitstand(args: &[&str]) -> Output {
    leitstand_with(args, "")
}

/// As [`leitstand`], with text on STDIN.
///
/// # Panics
/// When the binary cannot be started.
#[must_use]
pub fn leitstand_with(args: &[&str], stdin: &str) -> Output {
    let mut child = quiet(Command::new(binary()).args(args))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting leitstand");
    // A command that does not read its STDIN may be gone already.
    let _ = child
        .stdin
        .take()
        .expect("piped")
        .write_all(stdin.as_bytes());
    child.wait_with_output().expect("waiting for leitstand")
}

/// Takes out of a child's environment what would change its behaviour.
fn quiet(command: &mut Command) -> &mut Command {
    command
        .env_remove("LEITSTAND_CONFIG")
        .env_remove("LEITSTAND_STATE")
        .env_remove("NOTIFY_SOCKET")
        .env_remove("JOURNAL_STREAM")
}

/// A running gateway.
pub struct Server {
    args: Vec<String>,
    env: Vec<(String, String)>,
    child: Option<Child>,
    addr: SocketAddr,
    tls: bool,
    dir: TempDir,
    output: Arc<Mutex<Printed>>,
    token: Option<String>,
}

#[derive(Default)]
struct Printed {
    /// Both streams in the order they came.
    all: Vec<String>,
    stdout: Vec<String>,
    stdout_closed: bool,
}

impl Server {
    /// The demo on a free port, its state below [`Server::dir`]`/state`.
    #[must_use]
    pub fn demo() -> Self {
        Self::demo_with(&[])
    }

    /// The demo with more arguments.
    #[must_use]
    pub fn demo_with(args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = dir.path().join("state").display().to_string();
        let mut all = vec!["demo", "--bind", "127.0.0.1:0", "--state", &state];
        all.extend(args);
        Self::start(dir, &all, Vec::new())
    }

    /// The demo with more environment variables.
    #[must_use]
    pub fn demo_with_env(env: &[(&str, String)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let state = dir.path().join("state").display().to_string();
        let env = env
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.clone()))
            .collect();
        Self::start(
            dir,
            &["demo", "--bind", "127.0.0.1:0", "--state", &state],
            env,
        )
    }

    /// The demo in a temporary directory of its own choice, below [`Server::dir`]`/tmp`.
    #[must_use]
    pub fn demo_without_state() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let temp = dir.path().join("tmp");
        std::fs::create_dir(&temp).expect("a directory for temporary files");
        let env = vec![("TMPDIR".to_owned(), temp.display().to_string())];
        Self::start(dir, &["demo", "--bind", "127.0.0.1:0"], env)
    }

    /// `leitstand run` with this configuration, which is written to [`Server::dir`]`/leitstand.toml`.
    #[must_use]
    pub fn run(config: &str) -> Self {
        Self::run_with(config, &[])
    }

    /// As [`run`](Self::run), with more arguments. A `--bind` among them replaces the free loopback port.
    #[must_use]
    pub fn run_with(config: &str, args: &[&str]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        std::fs::write(dir.path().join("leitstand.toml"), config)
            .expect("writing the configuration");
        Self::run_in(dir, args)
    }

    /// As [`run_with`](Self::run_with), in a directory that holds a `leitstand.toml` and what it refers to.
    #[must_use]
    pub fn run_in(dir: TempDir, args: &[&str]) -> Self {
        let file = dir.path().join("leitstand.toml").display().to_string();
        let state = dir.path().join("state").display().to_string();
        let mut all = vec!["run", "--config", &file, "--state", &state];
        if !args.contains(&"--bind") {
            all.extend(["--bind", "127.0.0.1:0"]);
        }
        all.extend(args);
        Self::start(dir, &all, Vec::new())
    }

    fn start(dir: TempDir, args: &[&str], mut env: Vec<(String, String)>) -> Self {
        env.push(("LEITSTAND_LOG".into(), "info".into()));
        let mut server = Self {
            args: args.iter().map(ToString::to_string).collect(),
            env,
            child: None,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            tls: false,
            dir,
            output: Arc::default(),
            token: None,
        };
        server.spawn();
        server
    }

    fn spawn(&mut self) {
        let mut command = Command::new(binary());
        quiet(&mut command)
            .args(&self.args)
            .envs(self.env.iter().cloned())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("starting leitstand");
        self.output = Arc::default();
        capture(
            child.stdout.take().expect("piped"),
            Arc::clone(&self.output),
            true,
        );
        capture(
            child.stderr.take().expect("piped"),
            Arc::clone(&self.output),
            false,
        );
        self.child = Some(child);
        let output = Arc::clone(&self.output);
        (self.tls, self.addr) = wait::until("the server prints its address", || {
            let output = lock(&output);
            let found = output.stdout.iter().find_map(|line| address_in(line));
            assert!(
                found.is_some() || !output.stdout_closed,
                "the server ended before it listened:\n{}",
                output.all.join("\n")
            );
            found
        });
        if self.addr.ip().is_unspecified() {
            self.addr.set_ip(std::net::Ipv4Addr::LOCALHOST.into());
        }
    }

    /// Where it listens; an unspecified address is given as loopback.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address a browser opens, without a slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        let scheme = if self.tls { "https" } else { "http" };
        format!("{scheme}://{}", self.addr)
    }

    /// Its directory, removed at the end of the test.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its state directory.
    #[must_use]
    pub fn state_dir(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it is not running.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("running").id()
    }

    /// Everything printed so far by the present process, both streams.
    #[must_use]
    pub fn printed(&self) -> String {
        lock(&self.output).all.join("\n")
    }

    /// Lines on STDOUT so far.
    #[must_use]
    pub fn stdout_lines(&self) -> Vec<String> {
        lock(&self.output).stdout.clone()
    }

    /// Sends this bearer token with every request from now on.
    pub fn use_token(&mut self, token: Option<String>) {
        self.token = token;
    }

    /// The certificate that the gateway made for itself; to be trusted where it speaks TLS.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.state_dir().join("tls/site.pem")
    }

    /// A connection, inside TLS where the gateway speaks it.
    ///
    /// # Errors
    /// As the system reports, or when the certificate is not the gateway's own.
    pub fn connect(&self) -> std::io::Result<Box<dyn http::Connection>> {
        let certificate = self.certificate();
        http::connect_with(self.addr, self.tls.then_some(certificate.as_path()))
    }

    /// One request. The bearer token, if one is set, goes along.
    ///
    /// # Panics
    /// When no complete answer comes.
    #[must_use]
    pub fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&[u8]>,
    ) -> Reply {
        let bearer = self.token.as_ref().map(|t| format!("Bearer {t}"));
        let mut all = headers.to_vec();
        if let Some(bearer) = &bearer {
            all.push(("Authorization", bearer));
        }
        self.connect()
            .and_then(|c| http::request_over(c, self.addr, method, path, &all, body))
            .unwrap_or_else(|e| panic!("{method} {path}: {e}\n{}", self.printed()))
    }

    /// GET.
    #[must_use]
    pub fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], None)
    }

    /// POST of a JSON body.
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        self.request(
            "POST",
            path,
            &[("Content-Type", "application/json")],
            Some(body.as_bytes()),
        )
    }

    /// PUT of a JSON body.
    #[must_use]
    pub fn put(&self, path: &str, body: &Value) -> Reply {
        let body = body.to_string();
        self.request(
            "PUT",
            path,
            &[("Content-Type", "application/json")],
            Some(body.as_bytes()),
        )
    }

    /// The event stream, from now or after an event.
    #[must_use]
    pub fn stream(&self, path: &str, last_id: Option<u64>) -> Stream {
        let bearer = self.token.as_ref().map(|t| format!("Bearer {t}"));
        let headers: Vec<_> = bearer
            .iter()
            .map(|b| ("Authorization", b.as_str()))
            .collect();
        let connection = self.connect().expect("connecting to the event stream");
        Stream::open_over(connection, self.addr, path, last_id, &headers)
    }

    /// Reads `path` until `wanted` gives a value.
    ///
    /// # Panics
    /// When that takes longer than [`wait::PATIENCE`].
    pub fn wait_for<T>(
        &self,
        what: &str,
        path: &str,
        mut wanted: impl FnMut(&Value) -> Option<T>,
    ) -> T {
        wait::until(what, || {
            let reply = self.get(path);
            (reply.status == 200)
                .then(|| wanted(&reply.json()))
                .flatten()
        })
    }

    /// SIGKILL: no farewell, as when the power goes.
    pub fn kill_9(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// SIGTERM, and waits for the end.
    ///
    /// # Panics
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait_exit()
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When it is not running.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.pid())
            .ok()
            .and_then(rustix::process::Pid::from_raw)
            .expect("a process id");
        rustix::process::kill_process(pid, signal).expect("sending a signal");
    }

    /// Waits for the end of the process and of what it prints.
    ///
    /// # Panics
    /// When it does not end.
    pub fn wait_exit(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("running");
        let status = wait::until("the server ends", || {
            child.try_wait().expect("waiting for the server")
        });
        wait::until("the last line", || {
            lock(&self.output).stdout_closed.then_some(())
        });
        status
    }

    /// Starts again with the same arguments, at the port it had, after [`kill_9`](Self::kill_9) or
    /// [`stop`](Self::stop).
    ///
    /// # Panics
    /// When it is still running or does not come up.
    pub fn restart(&mut self) {
        assert!(self.child.is_none(), "still running");
        let at = self
            .args
            .iter()
            .position(|a| a == "--bind")
            .expect("every server is given a --bind");
        let port = self.addr.port();
        let host = self.args[at + 1]
            .rsplit_once(':')
            .map_or("127.0.0.1", |(host, _)| host)
            .to_owned();
        self.args[at + 1] = format!("{host}:{port}");
        self.args.retain(|a| a != "--rebootstrap");
        self.spawn();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill_9();
        if std::thread::panicking() {
            eprintln!(
                "--- leitstand {} printed:\n{}\n---",
                self.args.join(" "),
                self.printed()
            );
        }
    }
}

fn lock(output: &Mutex<Printed>) -> MutexGuard<'_, Printed> {
    output
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn capture(stream: impl Read + Send + 'static, output: Arc<Mutex<Printed>>, is_stdout: bool) {
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stream);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(n) if n > 0) {
            let text = String::from_utf8_lossy(&line).trim_end().to_owned();
            line.clear();
            let mut output = lock(&output);
            if is_stdout {
                output.stdout.push(text.clone());
            }
            output.all.push(text);
        }
        if is_stdout {
            lock(&output).stdout_closed = true;
        }
    });
}

/// Whether it speaks TLS, and where.
fn address_in(line: &str) -> Option<(bool, SocketAddr)> {
    let (before, rest) = line.split_once("://")?;
    let end = rest
        .find(|c: char| c == '/' || c.is_whitespace())
        .unwrap_or(rest.len());
    Some((before.ends_with("https"), rest[..end].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_in_a_sentence() {
        let at = SocketAddr::from(([127, 0, 0, 1], 4711));
        let expected = Some((false, at));
        assert_eq!(
            address_in("Open http://127.0.0.1:4711/ in a browser"),
            expected
        );
        assert_eq!(address_in("listening: http://127.0.0.1:4711"), expected);
        assert_eq!(
            address_in("Listening on https://127.0.0.1:4711"),
            Some((true, at))
        );
        assert_eq!(address_in("leitstand: 0.1.0"), None);
    }
}
