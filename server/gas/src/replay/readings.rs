//! Recorded readings: CSV with the header `t_s,cell,value`. The shape is fixed by the samples' README.

use std::collections::HashMap;
use std::io::BufRead;

use leitstand_core::gas::{CellIndex, FaultCode, PollFailure, Reading};
use leitstand_core::time::Instant;
use leitstand_core::units::Concentration;

/// Longest line in bytes. Reasoning: a time of 20 digits, an id of 32 and a fault of 64 with room to spare.
const LINE_BYTES_MAX: usize = 256;
/// Most different fault texts that the station does not know. Reasoning: a sensor has a handful.
const FAULTS_MAX: usize = 256;
/// Longest fault text in bytes.
const FAULT_BYTES_MAX: usize = 64;

/// What is wrong with the recording. The line is counted from 1, the header is line 1.
#[derive(Debug, thiserror::Error)]
pub enum ReadingsError {
    /// The file cannot be read.
    #[error("reading line {line} of the recording")]
    Read {
        /// Line.
        line: u64,
        /// Cause.
        source: std::io::Error,
    },
    /// The line does not have the documented shape.
    #[error("line {line} of the recording: {problem}")]
    Line {
        /// Line.
        line: u64,
        /// What is wrong and what is allowed.
        problem: String,
    },
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) at: Instant,
    pub(super) cell: CellIndex,
    pub(super) reading: Reading,
}

/// Reads rows without allocating for each.
pub(super) struct Readings<R> {
    source: R,
    cells: HashMap<Vec<u8>, CellIndex>,
    faults: Vec<String>,
    line: Vec<u8>,
    number: u64,
    last: Instant,
}

impl<R: BufRead> Readings<R> {
    pub(super) fn new(source: R, cells: &[&str]) -> Result<Self, ReadingsError> {
        let mut readings = Self {
            source,
            cells: (0u8..)
                .zip(cells)
                .map(|(at, id)| (id.as_bytes().to_vec(), CellIndex(at)))
                .collect(),
            faults: Vec::new(),
            line: Vec::with_capacity(LINE_BYTES_MAX),
            number: 0,
            last: Instant::ZERO,
        };
        let has_header = readings.read_line()?;
        if !has_header || trimmed(&readings.line) != b"t_s,cell,value" {
            return Err(readings.wrong("the first line must be the header t_s,cell,value"));
        }
        Ok(readings)
    }

    /// Texts of [`FaultCode::Other`] by number.
    pub(super) fn fault_names(&self) -> &[String] {
        &self.faults
    }

    /// The next row; blank lines are skipped, `None` at the end.
    pub(super) fn next_row(&mut self) -> Result<Option<Row>, ReadingsError> {
        while self.read_line()? {
            if !trimmed(&self.line).is_empty() {
                return self.row().map(Some);
            }
        }
        Ok(None)
    }

    fn row(&mut self) -> Result<Row, ReadingsError> {
        let line = std::mem::take(&mut self.line);
        let row = self.parse(trimmed(&line));
        self.line = line;
        row
    }

    fn parse(&mut self, line: &[u8]) -> Result<Row, ReadingsError> {
        let mut fields = line.split(|byte| *byte == b',').map(trimmed);
        let (Some(t_s), Some(cell), Some(value), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(self.wrong("a row has three fields, t_s,cell,value"));
        };
        let at = thousandths(t_s)
            .and_then(|ms| u64::try_from(ms).ok())
            .map(Instant::from_millis)
            .ok_or_else(|| {
                self.wrong(&format!(
                    "{:?} is not a time in seconds, such as 12.5",
                    text(t_s)
                ))
            })?;
        if at < self.last {
            return Err(self.wrong("the time goes back; rows must be in the order of time"));
        }
        self.last = at;
        let Some(&cell) = self.cells.get(cell) else {
            return Err(self.wrong(&format!("no cell {:?} in the configuration", text(cell))));
        };
        let reading = self.reading(value)?;
        Ok(Row { at, cell, reading })
    }

    fn reading(&mut self, value: &[u8]) -> Result<Reading, ReadingsError> {
        if value.is_empty() {
            return Ok(Reading::Failed(PollFailure::Timeout));
        }
        if let Some(code) = value.strip_prefix(b"fault:") {
            return self.fault(code).map(Reading::Reported);
        }
        thousandths(value)
            .and_then(|milli| i32::try_from(milli).ok())
            .map(|milli| Reading::Value(Concentration::from_milli(milli)))
            .ok_or_else(|| {
                self.wrong(&format!(
                    "{:?} is no value; allowed are a decimal number within ±2147483, nothing (a failed poll), \
                     or fault:<code>",
                    text(value)
                ))
            })
    }

    fn fault(&mut self, code: &[u8]) -> Result<FaultCode, ReadingsError> {
        let code = str::from_utf8(code)
            .ok()
            .filter(|code| !code.is_empty() && code.len() <= FAULT_BYTES_MAX)
            .ok_or_else(|| self.wrong("a fault code has 1 to 64 characters"))?;
        if let Some(known) = FaultCode::parse(code) {
            return Ok(known);
        }
        let at = match self.faults.iter().position(|known| known == code) {
            Some(at) => at,
            None if self.faults.len() < FAULTS_MAX => {
                self.faults.push(code.to_owned());
                self.faults.len() - 1
            }
            None => return Err(self.wrong("more than 256 different fault codes")),
        };
        Ok(FaultCode::Other(at as u16))
    }

    /// Reads one line into the buffer, with a bound on what is kept and on what is read.
    fn read_line(&mut self) -> Result<bool, ReadingsError> {
        self.line.clear();
        self.number += 1;
        let mut bounded = std::io::Read::take(&mut self.source, LINE_BYTES_MAX as u64 + 1);
        let length = bounded
            .read_until(b'\n', &mut self.line)
            .map_err(|source| ReadingsError::Read {
                line: self.number,
                source,
            })?;
        if length > LINE_BYTES_MAX {
            return Err(self.wrong("the line is longer than 256 bytes"));
        }
        Ok(length > 0)
    }

    fn wrong(&self, problem: &str) -> ReadingsError {
        ReadingsError::Line {
            line: self.number,
            problem: problem.to_owned(),
        }
    }
}

fn trimmed(bytes: &[u8]) -> &[u8] {
    bytes.trim_ascii()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A plain decimal number as thousandths, rounded half away from zero; exact, so that a recorded threshold is
/// the threshold. `None` for anything else: no exponents, no `nan`, no blanks within.
pub(super) fn thousandths(number: &[u8]) -> Option<i64> {
    let (negative, digits) = match number {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let (whole, fraction) = match digits.iter().position(|byte| *byte == b'.') {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, &[][..]),
    };
    // 15 digits of seconds or units are far beyond every range and cannot overflow 64 bits.
    if whole.is_empty() && fraction.is_empty() || whole.len() > 15 {
        return None;
    }
    let mut milli = 0i64;
    for byte in whole.iter().chain(fraction) {
        if !byte.is_ascii_digit() {
            return None;
        }
    }
    let kept = fraction.iter().chain(b"000").take(3);
    for byte in whole.iter().chain(kept) {
        milli = milli * 10 + i64::from(byte - b'0');
    }
    if fraction.get(3).is_some_and(|byte| *byte >= b'5') {
        milli += 1;
    }
    Some(if negative { -milli } else { milli })
}
