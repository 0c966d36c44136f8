//! A reader of server-sent events.

use crate::http;
use serde_json::Value;
use std::io::{BufReader, Read as _, Write as _};
use std::net::SocketAddr;

/// One event of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The `event:` field; `message` when there is none.
    pub kind: String,
    /// The `id:` field of this event.
    pub id: Option<u64>,
    /// The `data:` field as JSON; null when it is none.
    pub data: Value,
}

/// An open stream.
pub struct Stream {
    reader: BufReader<Box<dyn http::Connection>>,
    chunked: bool,
    pending: Vec<u8>,
}

impl Stream {
    /// Opens `path`, resuming after `last_id` when given.
    ///
    /// # Panics
    /// When the answer is no event stream.
    #[must_use]
    pub fn open(
        addr: SocketAddr,
        path: &str,
        last_id: Option<u64>,
        headers: &[(&str, &str)],
    ) -> Self {
        let stream = http::connect_with(addr, None).expect("connecting to the event stream");
        Self::open_over(stream, addr, path, last_id, headers)
    }

    /// As [`open`](Self::open), on a connection that the caller opened.
    ///
    /// # Panics
    /// When the answer is no event stream.
    #[must_use]
    pub fn open_over(
        mut stream: Box<dyn http::Connection>,
        addr: SocketAddr,
        path: &str,
        last_id: Option<u64>,
        headers: &[(&str, &str)],
    ) -> Self {
        let mut head =
            format!("GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if let Some(id) = last_id {
            head.push_str(&format!("Last-Event-ID: {id}\r\n"));
        }
        head.push_str("\r\n");
        stream
            .write_all(head.as_bytes())
            .expect("asking for the event stream");
        let mut reader = BufReader::new(stream);
        let (status, headers) = http::read_head(&mut reader).expect("head of the event stream");
        let header = |name: &str| {
            headers
                .iter()
                .find(|(n, _)| n == name)
                .map(|(_, v)| v.as_str())
        };
        assert_eq!(status, 200, "event stream {path}");
        assert!(
            header("content-type").is_some_and(|t| t.starts_with("text/event-stream")),
            "no event stream: {headers:?}"
        );
        let chunked = header("transfer-encoding") == Some("chunked");
        Self {
            reader,
            chunked,
            pending: Vec::new(),
        }
    }

    /// The next event, comments skipped; `None` when the server closed the stream.
    ///
    /// # Panics
    /// When nothing comes for [`crate::wait::PATIENCE`].
    pub fn next_event(&mut self) -> Option<Event> {
        let start = std::time::Instant::now();
        loop {
            // Comments keep a connection alive and are no events.
            assert!(
                start.elapsed() < crate::wait::PATIENCE,
                "event stream sends only comments"
            );
            if let Some(end) = self.pending.windows(2).position(|w| w == b"\n\n") {
                let block: Vec<u8> = self.pending.drain(..end + 2).collect();
                if let Some(event) = parse(&String::from_utf8_lossy(&block)) {
                    return Some(event);
                }
                continue;
            }
            if self.chunked {
                match http::read_chunk(&mut self.reader) {
                    Ok(Some(chunk)) => self.pending.extend(chunk),
                    Ok(None) => return None,
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                        panic!("event stream is silent")
                    }
                    Err(_) => return None,
                }
            } else {
                let mut buffer = [0; 4096];
                match self.reader.read(&mut buffer) {
                    Ok(0) => return None,
                    Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                    Err(e) if e.kind() == std::io::ErrorKind::WouldBlock => {
                        panic!("event stream is silent")
                    }
                    Err(_) => return None,
                }
            }
        }
    }

    /// Skips to the first event for which `wanted` gives a value.
    ///
    /// # Panics
    /// When the stream ends first.
    pub fn find<T>(&mut self, what: &str, mut wanted: impl FnMut(&Event) -> Option<T>) -> T {
        let start = std::time::Instant::now();
        while let Some(event) = self.next_event() {
            if let Some(value) = wanted(&event) {
                return value;
            }
            assert!(
                start.elapsed() < crate::wait::PATIENCE,
                "waited in vain on the event stream: {what}"
            );
        }
        panic!("the event stream ended before: {what}");
    }
}

fn parse(block: &str) -> Option<Event> {
    let (mut kind, mut id, mut data) = (None, None, Vec::new());
    for line in block.lines() {
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => kind = Some(value.to_owned()),
            "id" => id = value.parse().ok(),
            "data" => data.push(value),
            _ => {}
        }
    }
    if kind.is_none() && data.is_empty() {
        return None;
    }
    let data = serde_json::from_str(&data.join("\n")).unwrap_or(Value::Null);
    Some(Event {
        kind: kind.unwrap_or_else(|| "message".into()),
        id,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_no_events() {
        assert_eq!(parse(": keep-alive\n\n"), None);
        let event = parse("event: entry\nid: 7\ndata: {\"a\":1}\n\n");
        assert_eq!(
            event,
            Some(Event {
                kind: "entry".into(),
                id: Some(7),
                data: serde_json::json!({"a": 1})
            })
        );
    }
}
