//! A small HTTP/1.1 client: one request a connection, every byte in the caller's hand.

use crate::tls;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

/// An answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// Status code.
    pub status: u16,
    /// Header names in lower case, in order.
    pub headers: Vec<(String, String)>,
    /// The body, without transfer coding.
    pub body: Vec<u8>,
}

impl Reply {
    /// The first header of this name (lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    }

    /// The body as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it is none; the message shows the answer.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("no JSON ({e}) in answer {}: {}", self.status, self.text()))
    }

    /// The JSON body of a 2xx answer.
    ///
    /// # Panics
    /// On any other status.
    #[must_use]
    pub fn ok(&self) -> Value {
        assert!(
            (200..300).contains(&self.status),
            "status {}: {}",
            self.status,
            self.text()
        );
        if self.body.is_empty() {
            Value::Null
        } else {
            self.json()
        }
    }

    /// The `code` of a problem document, after checking that it is one with this status.
    ///
    /// # Panics
    /// When the answer is no problem document of that status.
    #[must_use]
    pub fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.text()
        );
        let body = self.json();
        assert_eq!(body["status"], status, "{body}");
        body["code"]
            .as_str()
            .unwrap_or_else(|| panic!("no code in {body}"))
            .to_owned()
    }
}

/// Opens a connection with bounded waiting.
///
/// # Errors
/// As the system reports.
pub fn connect(addr: SocketAddr) -> std::io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&addr, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(crate::wait::PATIENCE))?;
    stream.set_write_timeout(Some(crate::wait::PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A connection in the clear or inside TLS.
pub trait Connection: Read + Write + Send {}
impl<T: Read + Write + Send> Connection for T {}

/// As [`connect`], inside TLS when there is a certificate to trust.
///
/// # Errors
/// As the system reports, or when the certificate is another one.
pub fn connect_with(
    addr: SocketAddr,
    trusted: Option<&Path>,
) -> std::io::Result<Box<dyn Connection>> {
    let stream = connect(addr)?;
    Ok(match trusted {
        Some(pem) => Box::new(tls::client(stream, &addr.ip().to_string(), pem)?),
        None => Box::new(stream),
    })
}

/// Sends one request and reads the whole answer. `headers` come after `Host` and `Connection: close`; a
/// `Content-Length` is added when there is a body.
///
/// # Errors
/// When the connection ends or stalls before the answer is complete.
pub fn request(
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> std::io::Result<Reply> {
    request_over(connect(addr)?, addr, method, path, headers, body)
}

/// As [`request`], on a connection that the caller opened.
///
/// # Errors
/// When the connection ends or stalls before the answer is complete.
pub fn request_over(
    mut stream: impl Read + Write,
    addr: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&[u8]>,
) -> std::io::Result<Reply> {
    let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {addr}\r\nConnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        head.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    // A server may refuse a large body before it has read all of it; its answer still counts.
    let sent = stream.write_all(&bytes);
    let mut reader = BufReader::new(stream);
    match read_reply(&mut reader, method == "HEAD") {
        Ok(reply) => Ok(reply),
        Err(read) => Err(sent.err().unwrap_or(read)),
    }
}

/// Reads an answer's head: status and headers.
///
/// # Errors
/// `InvalidData` when it is no HTTP.
pub fn read_head(reader: &mut impl BufRead) -> std::io::Result<(u16, Vec<(String, String)>)> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let status = line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|code| code.parse().ok())
        .ok_or_else(|| invalid(&format!("status line {line:?}")))?;
    let mut headers = Vec::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let trimmed = line.trim_end();
        if trimmed.is_empty() {
            return Ok((status, headers));
        }
        let (name, value) = trimmed.split_once(':').ok_or_else(|| invalid(trimmed))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

/// Reads one whole answer.
///
/// # Errors
/// As [`read_head`], and when the body is cut.
pub fn read_reply(reader: &mut impl BufRead, no_body: bool) -> std::io::Result<Reply> {
    let (status, headers) = read_head(reader)?;
    let find = |name: &str| {
        headers
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, v)| v.as_str())
    };
    let mut body = Vec::new();
    if no_body || status == 204 || status == 304 || status < 200 {
        // These never carry one.
    } else if find("transfer-encoding").is_some_and(|v| v.eq_ignore_ascii_case("chunked")) {
        while let Some(chunk) = read_chunk(reader)? {
            body.extend_from_slice(&chunk);
        }
    } else if let Some(length) = find("content-length") {
        let length: usize = length.parse().map_err(|_| invalid("content-length"))?;
        body.resize(length, 0);
        reader.read_exact(&mut body)?;
    } else {
        reader.read_to_end(&mut body)?;
    }
    Ok(Reply {
        status,
        headers,
        body,
    })
}

/// Reads one chunk of a chunked body; `None` at its end.
///
/// # Errors
/// When the framing is broken or the connection ends.
pub fn read_chunk(reader: &mut impl BufRead) -> std::io::Result<Option<Vec<u8>>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Err(std::io::ErrorKind::UnexpectedEof.into());
    }
    let size = usize::from_str_radix(line.trim(), 16)
        .map_err(|_| invalid(&format!("chunk size {line:?}")))?;
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk)?;
    if &chunk[size..] != b"\r\n" {
        return Err(invalid("chunk end"));
    }
    chunk.truncate(size);
    Ok((size > 0).then_some(chunk))
}

fn invalid(what: &str) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::InvalidData, what.to_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_chunked_answer_is_put_together() {
        let bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab\r\n\r\n1\r\nc\r\n0\r\n\r\n";
        let reply = read_reply(&mut &bytes[..], false).unwrap();
        assert_eq!(
            (reply.status, reply.body.as_slice()),
            (200, &b"ab\r\nc"[..])
        );
    }

    #[test]
    fn a_cut_body_is_an_error() {
        let bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc";
        assert!(read_reply(&mut &bytes[..], false).is_err());
    }
}
