//! The server's side of one connection: key exchange, exactly one request, one response.
//!
//! ```text
//!  KeyLength ► Key ► AckLength ► AckKey ► Sealed ─Unseal► Opening ► AckSecret ► Header ► Body ─Request► Handling
//!                                                                                                        │ Reply
//!                     any refusal ► Over                 bad request ► Penalty ► Over ◄ AckReply
//! ```
//!
//! Bytes come in any pieces. Three total deadlines: the exchange, the request, the writing of the response. What is
//! wrong after decryption (padding, number, length) ends in one way only, at one time after the request began, so that
//! a peer cannot tell which it was.

use std::collections::VecDeque;

use leitstand_core::{
    machine::Machine,
    time::{Duration, Instant},
};

use super::{
    ACK, CLEAR_HEADER_BYTES, KEY_BYTES_MAX, NAK, REQUEST_BYTES_MAX, clear_header,
    crypto::{IV_BYTES, PeerKey, Secret},
    parse_clear_header,
};
use crate::id;

/// From the first byte of a request that does not decrypt to the close. Reasoning: above all that a correct refusal
/// takes, below what a patient attacker would care for.
const PENALTY: Duration = Duration::from_millis(500);

/// What a session is told once.
#[derive(Clone, Debug)]
pub struct Setup {
    /// PEM of the server's key.
    pub public_pem: Vec<u8>,
    /// Bytes of a ciphertext under the server's key.
    pub sealed_bytes: usize,
    /// Total for the key exchange.
    pub handshake: Duration,
    /// Total for the request, and again for the writing of the response.
    pub request: Duration,
    /// Whether the framings W1 and W2 are served.
    pub legacy: bool,
}

/// Something happened.
pub enum Input<'a> {
    /// The peer sent bytes.
    Bytes(&'a [u8]),
    /// The peer closed its side, or vanished.
    Eof,
    /// Answer to [`Output::Unseal`]; `None` when it does not open.
    Unsealed(Option<Secret>),
    /// Answer to [`Output::Request`].
    Reply(Vec<u8>),
}

/// Something to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Write these bytes in one call.
    Send(Vec<u8>),
    /// Open this with the private key, elsewhere: it takes milliseconds.
    Unseal(Vec<u8>),
    /// Keys are exchanged.
    Initialized,
    /// The text of the request.
    Request(Vec<u8>),
    /// The end.
    Close(End),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The response went out.
    Answered,
    /// The peer did not keep to the protocol.
    Protocol(&'static str),
    /// A deadline passed.
    Timeout(&'static str),
    /// The peer left.
    Gone,
}

/// How packets are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    /// 1.x to 2.1: length in clear, the vector never changes.
    W1,
    /// 3.1: length in clear, the next vector behind the body.
    W2,
    /// 4.x: encrypted length, the next vector behind the body.
    W3,
}

enum State {
    KeyLength,
    Key {
        length: usize,
    },
    AckLength {
        peer: PeerKey,
    },
    AckKey {
        peer: PeerKey,
    },
    Sealed {
        peer: PeerKey,
    },
    Opening {
        peer: PeerKey,
    },
    AckSecret {
        secret: Secret,
    },
    Header {
        secret: Secret,
    },
    Body {
        secret: Secret,
        length: usize,
        clear: bool,
    },
    Handling {
        secret: Secret,
        framing: Framing,
    },
    AckReply {
        body: Vec<u8>,
    },
    /// Nothing more is read; the close comes at `until`.
    Penalty {
        until: Instant,
        nak: bool,
    },
    Over,
}

/// One connection.
pub struct Session {
    setup: Setup,
    state: State,
    deadline: Instant,
    request_began: Option<Instant>,
    buffer: Vec<u8>,
    outputs: VecDeque<Output>,
}

impl Session {
    /// A connection accepted at `now`.
    #[must_use]
    pub fn new(now: Instant, setup: Setup) -> Self {
        Self {
            deadline: now + setup.handshake,
            setup,
            state: State::KeyLength,
            request_began: None,
            buffer: Vec::new(),
            outputs: VecDeque::new(),
        }
    }

    /// True from the first output of [`Output::Initialized`] on: the connection no longer counts as a handshake.
    #[must_use]
    pub fn is_initialized(&self) -> bool {
        matches!(
            self.state,
            State::Header { .. }
                | State::Body { .. }
                | State::Handling { .. }
                | State::AckReply { .. }
        )
    }

    fn send(&mut self, bytes: impl Into<Vec<u8>>) {
        self.outputs.push_back(Output::Send(bytes.into()));
    }

    fn close(&mut self, end: End) -> State {
        self.outputs.push_back(Output::Close(end));
        State::Over
    }

    fn refuse(&mut self, why: &'static str) -> State {
        self.send([NAK]);
        self.close(End::Protocol(why))
    }

    fn penalty(&mut self, now: Instant, nak: bool) -> State {
        let began = self.request_began.unwrap_or(now);
        self.deadline = began + PENALTY;
        State::Penalty {
            until: self.deadline,
            nak,
        }
    }

    /// The first `n` bytes of the buffer, when they are there.
    fn take(&mut self, n: usize) -> Option<Vec<u8>> {
        (self.buffer.len() >= n).then(|| self.buffer.drain(..n).collect())
    }

    fn take_clear_header(&mut self) -> Option<[u8; CLEAR_HEADER_BYTES]> {
        self.take(CLEAR_HEADER_BYTES)?.try_into().ok()
    }

    /// One step with what is in the buffer; `Err` gives the state back when more bytes are needed.
    fn step(&mut self, now: Instant, state: State) -> Result<State, State> {
        Ok(match state {
            State::KeyLength => {
                let Some(header) = self.take_clear_header() else {
                    return Err(State::KeyLength);
                };
                match parse_clear_header(&header) {
                    Some(length) if length <= KEY_BYTES_MAX => {
                        self.send([ACK]);
                        State::Key { length }
                    }
                    _ => self.refuse("length of the key"),
                }
            }
            State::Key { length } => {
                let Some(pem) = self.take(length) else {
                    return Err(State::Key { length });
                };
                match PeerKey::from_pem(&pem) {
                    Ok(peer) => {
                        let mut answer = vec![ACK];
                        answer.extend(clear_header(self.setup.public_pem.len()));
                        self.send(answer);
                        State::AckLength { peer }
                    }
                    Err(_) => self.refuse("public key"),
                }
            }
            State::AckLength { peer } => match self.take(1).as_deref() {
                None => return Err(State::AckLength { peer }),
                Some([ACK]) => {
                    self.send(self.setup.public_pem.clone());
                    State::AckKey { peer }
                }
                Some(_) => self.close(End::Protocol("our key's length was refused")),
            },
            State::AckKey { peer } => match self.take(1).as_deref() {
                None => return Err(State::AckKey { peer }),
                Some([ACK]) => State::Sealed { peer },
                Some(_) => self.close(End::Protocol("our key was refused")),
            },
            State::Sealed { peer } => {
                let Some(sealed) = self.take(self.setup.sealed_bytes) else {
                    return Err(State::Sealed { peer });
                };
                self.outputs.push_back(Output::Unseal(sealed));
                State::Opening { peer }
            }
            State::AckSecret { secret } => match self.take(1).as_deref() {
                None => return Err(State::AckSecret { secret }),
                Some([ACK]) => {
                    self.deadline = now + self.setup.request;
                    self.outputs.push_back(Output::Initialized);
                    State::Header { secret }
                }
                Some(_) => self.close(End::Protocol("the echo of the key was refused")),
            },
            State::Header { secret } => return self.header(now, secret),
            State::Body {
                secret,
                length,
                clear,
            } => {
                let Some(body) = self.take(length) else {
                    return Err(State::Body {
                        secret,
                        length,
                        clear,
                    });
                };
                let opened = if clear {
                    open_clear(secret, &body)
                } else {
                    open_w3(secret, &body)
                };
                match opened {
                    Some((secret, framing, text)) => {
                        self.outputs.push_back(Output::Request(text));
                        State::Handling { secret, framing }
                    }
                    None => self.penalty(now, false),
                }
            }
            State::AckReply { body } => match self.take(1).as_deref() {
                None => return Err(State::AckReply { body }),
                Some([ACK]) => {
                    self.send(body);
                    self.close(End::Answered)
                }
                Some(_) => self.close(End::Protocol("the response's length was refused")),
            },
            State::Opening { .. }
            | State::Handling { .. }
            | State::Penalty { .. }
            | State::Over => return Err(state),
        })
    }

    fn header(&mut self, now: Instant, secret: Secret) -> Result<State, State> {
        if self.request_began.is_none() && !self.buffer.is_empty() {
            self.request_began = Some(now);
        }
        let clear = self.buffer.first_chunk().and_then(parse_clear_header);
        let length = if let Some(length) = clear {
            if !self.setup.legacy {
                return Ok(self.close(End::Protocol("framing of before 4.0 is switched off")));
            }
            drop(self.take(CLEAR_HEADER_BYTES));
            Some(length)
        } else {
            let Some(block) = self.take(16) else {
                return Err(State::Header { secret });
            };
            let text = secret
                .decrypt(&block)
                .ok()
                .and_then(|text| String::from_utf8(text).ok());
            // `parse` alone would take a sign.
            text.filter(|t| t.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|t| t.parse::<usize>().ok())
                .filter(|length| *length > IV_BYTES)
        };
        Ok(match length {
            Some(length) if length <= REQUEST_BYTES_MAX => {
                self.send([ACK]);
                State::Body {
                    secret,
                    length,
                    clear: clear.is_some(),
                }
            }
            _ => self.penalty(now, true),
        })
    }

    /// Header now, body after the peer's acknowledge.
    fn reply(&mut self, now: Instant, mut secret: Secret, framing: Framing, text: &[u8]) -> State {
        let Ok(mut body) = secret.encrypt(text) else {
            return self.close(End::Protocol("encryption failed"));
        };
        if framing != Framing::W1 {
            let next: [u8; IV_BYTES] = id::random();
            body.extend(next);
            let header = match framing {
                Framing::W3 => secret.encrypt(body.len().to_string().as_bytes()),
                Framing::W1 | Framing::W2 => Ok(clear_header(body.len()).to_vec()),
            };
            secret.set_iv(next);
            let Ok(header) = header else {
                return self.close(End::Protocol("encryption failed"));
            };
            self.send(header);
        } else {
            self.send(clear_header(body.len()));
        }
        self.deadline = now + self.setup.request;
        State::AckReply { body }
    }

    fn run(&mut self, now: Instant) {
        loop {
            let state = std::mem::replace(&mut self.state, State::Over);
            match self.step(now, state) {
                Ok(next) => self.state = next,
                Err(same) => {
                    self.state = same;
                    return;
                }
            }
        }
    }
}

/// Body and next vector of W3.
fn open_w3(mut secret: Secret, body: &[u8]) -> Option<(Secret, Framing, Vec<u8>)> {
    let (cipher, next) = body.split_last_chunk::<IV_BYTES>()?;
    let text = secret.decrypt(cipher).ok()?;
    secret.set_iv(*next);
    Some((secret, Framing::W3, text))
}

/// W1 and W2 look alike up to here: the one that makes JSON is it.
fn open_clear(mut secret: Secret, body: &[u8]) -> Option<(Secret, Framing, Vec<u8>)> {
    let json = |text: &Vec<u8>| serde_json::from_slice::<serde::de::IgnoredAny>(text).is_ok();
    if let Ok(text) = secret.decrypt(body)
        && json(&text)
    {
        return Some((secret, Framing::W1, text));
    }
    let (cipher, next) = body.split_last_chunk::<IV_BYTES>()?;
    let text = secret.decrypt(cipher).ok()?;
    secret.set_iv(*next);
    Some((secret, Framing::W2, text))
}

impl Machine for Session {
    type Input<'a> = Input<'a>;
    type Output = Output;

    fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Bytes(bytes) => {
                // What comes while nothing is expected is bounded by one request; the protocol has no second one.
                let room = (REQUEST_BYTES_MAX + 64).saturating_sub(self.buffer.len());
                match self.state {
                    State::Over | State::Penalty { .. } => {}
                    _ if bytes.len() > room => {
                        self.state = self.close(End::Protocol("too many bytes"))
                    }
                    _ => self.buffer.extend_from_slice(bytes),
                }
            }
            Input::Eof => {
                if !matches!(self.state, State::Over) {
                    self.state = self.close(End::Gone);
                }
            }
            Input::Unsealed(secret) => {
                self.state = match (std::mem::replace(&mut self.state, State::Over), secret) {
                    (State::Opening { peer }, Some(secret)) => match peer.seal(&secret) {
                        Ok(echo) => {
                            let mut answer = vec![ACK];
                            answer.extend(echo);
                            self.send(answer);
                            State::AckSecret { secret }
                        }
                        Err(_) => self.refuse("the echo of the key"),
                    },
                    (State::Opening { .. }, None) => self.refuse("sealed key"),
                    (other, _) => other,
                }
            }
            Input::Reply(text) => {
                self.state = match std::mem::replace(&mut self.state, State::Over) {
                    State::Handling { secret, framing } => self.reply(now, secret, framing, &text),
                    other => other,
                }
            }
        }
        self.run(now);
    }

    fn handle_timeout(&mut self, now: Instant) {
        if now < self.deadline {
            return;
        }
        let end = match &self.state {
            State::Over | State::Handling { .. } => return,
            State::Penalty { nak, .. } => {
                if *nak {
                    self.send([NAK]);
                }
                End::Protocol("unreadable request")
            }
            State::Header { .. } | State::Body { .. } => End::Timeout("request"),
            State::AckReply { .. } => End::Timeout("response"),
            _ => End::Timeout("key exchange"),
        };
        self.state = self.close(end);
    }

    fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    fn poll_timeout(&self) -> Option<Instant> {
        match &self.state {
            // The work on a request has its own bound, outside.
            State::Over | State::Handling { .. } => None,
            State::Penalty { until, .. } => Some(*until),
            _ => Some(self.deadline),
        }
    }
}

#[cfg(test)]
mod tests;
