//! The client's side, blocking, over anything that reads and writes. For tests, benches and the fuzzers' seeds.

use std::io::{self, Read, Write};

use super::{
    ACK, CLEAR_HEADER_BYTES, clear_header,
    crypto::{IV_BYTES, OwnKey, PeerKey, Secret},
    parse_clear_header,
};
use crate::id;

/// How packets are framed; see [`super::session`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// 1.x to 2.1.
    W1,
    /// 3.1.
    W2,
    /// 4.x.
    W3,
}

/// A connection after the key exchange.
pub struct Client<S> {
    stream: S,
    secret: Secret,
    framing: Framing,
}

fn refused(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("refused: {what}"))
}

impl<S: Read + Write> Client<S> {
    /// Exchanges keys.
    ///
    /// # Errors
    /// The connection broke, or the server does not keep to the protocol.
    pub fn connect(mut stream: S, key: &OwnKey, framing: Framing) -> io::Result<Self> {
        stream.write_all(&clear_header(key.public_pem().len()))?;
        ack(&mut stream, "length of the key")?;
        stream.write_all(key.public_pem())?;
        ack(&mut stream, "key")?;
        let mut header = [0; CLEAR_HEADER_BYTES];
        stream.read_exact(&mut header)?;
        let length = parse_clear_header(&header).ok_or_else(|| refused("server's header"))?;
        stream.write_all(&[ACK])?;
        let mut pem = vec![0; length.min(super::KEY_BYTES_MAX)];
        stream.read_exact(&mut pem)?;
        let peer = PeerKey::from_pem(&pem).map_err(|_| refused("server's key"))?;
        stream.write_all(&[ACK])?;
        let secret = Secret::from_bytes(&id::random::<48>()).map_err(|_| refused("random"))?;
        stream.write_all(&peer.seal(&secret).map_err(|_| refused("seal"))?)?;
        ack(&mut stream, "sealed key")?;
        let mut echo = vec![0; key.size()];
        stream.read_exact(&mut echo)?;
        let echoed = key.unseal(&echo).map_err(|_| refused("echo"))?;
        if echoed.to_bytes() != secret.to_bytes() {
            return Err(refused("another key came back"));
        }
        stream.write_all(&[ACK])?;
        Ok(Self {
            stream,
            secret,
            framing,
        })
    }

    /// Sends a packet.
    ///
    /// # Errors
    /// The connection broke, or the server refused the length.
    pub fn send(&mut self, text: &[u8]) -> io::Result<()> {
        let mut body = self.secret.encrypt(text).map_err(|_| refused("encrypt"))?;
        let next: [u8; IV_BYTES] = id::random();
        if self.framing != Framing::W1 {
            body.extend(next);
        }
        let header = match self.framing {
            Framing::W3 => {
                let length = body.len().to_string();
                self.secret
                    .encrypt(length.as_bytes())
                    .map_err(|_| refused("encrypt"))?
            }
            Framing::W1 | Framing::W2 => clear_header(body.len()).to_vec(),
        };
        self.stream.write_all(&header)?;
        ack(&mut self.stream, "length of the request")?;
        self.stream.write_all(&body)?;
        if self.framing != Framing::W1 {
            self.secret.set_iv(next);
        }
        Ok(())
    }

    /// Waits for a packet.
    ///
    /// # Errors
    /// The connection broke, or it is no packet.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        let length = if self.framing == Framing::W3 {
            let mut block = [0; 16];
            self.stream.read_exact(&mut block)?;
            let text = self.secret.decrypt(&block).map_err(|_| refused("header"))?;
            String::from_utf8(text)
                .ok()
                .and_then(|t| t.parse::<usize>().ok())
        } else {
            let mut header = [0; CLEAR_HEADER_BYTES];
            self.stream.read_exact(&mut header)?;
            parse_clear_header(&header)
        };
        let length = length
            .filter(|l| (16..1 << 20).contains(l))
            .ok_or_else(|| refused("length"))?;
        self.stream.write_all(&[ACK])?;
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        if self.framing == Framing::W1 {
            return self.secret.decrypt(&body).map_err(|_| refused("body"));
        }
        let (cipher, next) = body
            .split_last_chunk::<IV_BYTES>()
            .ok_or_else(|| refused("body"))?;
        let text = self.secret.decrypt(cipher).map_err(|_| refused("body"))?;
        self.secret.set_iv(*next);
        Ok(text)
    }

    /// A request and its response.
    ///
    /// # Errors
    /// As [`send`](Self::send) and [`receive`](Self::receive), or the response is no JSON.
    pub fn ask(&mut self, request: &serde_json::Value) -> io::Result<serde_json::Value> {
        self.send(request.to_string().as_bytes())?;
        serde_json::from_slice(&self.receive()?).map_err(io::Error::from)
    }

    /// The connection, for what no proper client would do.
    pub fn stream(&mut self) -> &mut S {
        &mut self.stream
    }
}

fn ack(stream: &mut impl Read, what: &str) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    if byte == [ACK] {
        Ok(())
    } else {
        Err(refused(what))
    }
}
