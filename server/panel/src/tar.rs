//! # Archives: as much of tar (POSIX ustar) as a backup of media needs
//!
//! By hand, because it is little: plain files with plain names, one after the other, in blocks of 512 bytes. What a
//! backup never holds is refused by its header, before a byte of it is stored: links, devices, and every name that
//! is more than the name of a file in one folder. [`Reader`] takes bytes as they come from the network and holds
//! one block. Source: POSIX.1-2017, pax, "ustar Interchange Format".
//!
//! Deliberately absent: a file system. Who stores an entry decides its bounds.

use crate::media::is_plain;

/// Bytes of a block.
pub const BLOCK: usize = 512;
/// Longest header of other programs (names in UTF-8, times) that is passed over.
const EXTENSION_BYTES_MAX: u64 = 64 * 1024;

/// The header of a file. `name` is plain ([`is_plain`]) and so at most 99 bytes; `size` below 8 GiB.
#[must_use]
pub fn header(name: &str, size: u64, modified_s: u64) -> [u8; BLOCK] {
    debug_assert!(is_plain(name) && size < 1 << 33, "{name} of {size} bytes");
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &[u8]| {
        for (to, from) in block.iter_mut().skip(at).zip(text) {
            *to = *from;
        }
    };
    put(0, name.as_bytes());
    put(100, b"0000644");
    put(108, b"0000000");
    put(116, b"0000000");
    put(124, format!("{size:011o}\0").as_bytes());
    put(
        136,
        format!("{:011o}\0", modified_s & 0o77_777_777_777).as_bytes(),
    );
    put(156, b"0");
    put(257, b"ustar");
    put(263, b"00");
    let sum = format!("{:06o}\0 ", checksum(&block));
    for (to, from) in block.iter_mut().skip(148).zip(sum.as_bytes()) {
        *to = *from;
    }
    block
}

/// Zeros that fill the last block of a file of `size` bytes.
#[must_use]
pub fn padding(size: u64) -> usize {
    let rest = (size % BLOCK as u64) as usize;
    if rest == 0 { 0 } else { BLOCK - rest }
}

/// The end of an archive: two empty blocks.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// The sum of all bytes, those of the sum itself taken as blanks.
fn checksum(block: &[u8; BLOCK]) -> u32 {
    let own = 148..156;
    let bytes = (0..).zip(block);
    bytes
        .map(|(i, byte)| u32::from(if own.contains(&i) { b' ' } else { *byte }))
        .sum()
}

/// What an archive holds, piece by piece.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A file begins.
    File {
        /// Plain.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// Its next bytes.
    Data(&'a [u8]),
    /// It is whole.
    FileEnd,
}

/// Why an archive is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TarError {
    /// No header of a tar archive where one must be, or a damaged one.
    NotTar,
    /// A link, a device or another thing that is no file; by name.
    NoFile(String),
    /// A name that is no plain file name: a path, a hidden file, odd characters.
    BadName(String),
    /// It ends in the middle of a file.
    Cut,
}

impl TarError {
    /// One sentence for people.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::NotTar => "this is no tar archive, or it is damaged".into(),
            Self::NoFile(name) => format!("{name:?} in the archive is no plain file"),
            Self::BadName(name) => format!(
                "{name:?} in the archive is not the name of a media file: letters, digits, '.', '-' and '_', no folder"
            ),
            Self::Cut => "the archive ends in the middle of a file".into(),
        }
    }
}

/// Reads an archive from bytes as they come.
#[derive(Debug)]
pub struct Reader {
    state: State,
    header: Vec<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Collecting a header.
    Header,
    /// In the bytes of a file; then `pad` to the next block.
    File { left: u64, pad: usize },
    /// In something that is passed over.
    Skip { left: u64 },
    /// After the empty block. Whatever follows is filling.
    End,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            state: State::Header,
            header: Vec::with_capacity(BLOCK),
        }
    }
}

impl Reader {
    /// Takes from the front of `input` up to the next piece; `None` when all of it is taken.
    ///
    /// # Errors
    /// See [`TarError`]; the reader is of no use afterwards.
    pub fn next<'a>(&mut self, input: &mut &'a [u8]) -> Result<Option<Piece<'a>>, TarError> {
        loop {
            match self.state {
                State::File { left: 0, pad } => {
                    self.state = State::Skip { left: pad as u64 };
                    return Ok(Some(Piece::FileEnd));
                }
                State::Skip { left: 0 } => self.state = State::Header,
                _ if input.is_empty() => return Ok(None),
                State::File { left, pad } => {
                    let data = take(input, left);
                    let left = left - data.len() as u64;
                    self.state = State::File { left, pad };
                    return Ok(Some(Piece::Data(data)));
                }
                State::Skip { left } => {
                    let left = left - take(input, left).len() as u64;
                    self.state = State::Skip { left };
                }
                State::End => *input = &[],
                State::Header => {
                    let missing = BLOCK - self.header.len();
                    self.header.extend_from_slice(take(input, missing as u64));
                    let Ok(block) = <[u8; BLOCK]>::try_from(self.header.as_slice()) else {
                        continue;
                    };
                    self.header.clear();
                    if let Some(file) = self.begin(&block)? {
                        return Ok(Some(file));
                    }
                }
            }
        }
    }

    /// To be asked when the bytes are over.
    ///
    /// # Errors
    /// [`TarError::Cut`].
    pub fn finish(&self) -> Result<(), TarError> {
        match self.state {
            State::End => Ok(()),
            // Some programs leave the empty blocks out.
            State::Header if self.header.is_empty() => Ok(()),
            _ => Err(TarError::Cut),
        }
    }

    fn begin(&mut self, block: &[u8; BLOCK]) -> Result<Option<Piece<'static>>, TarError> {
        if block.iter().all(|byte| *byte == 0) {
            self.state = State::End;
            return Ok(None);
        }
        let field = |at: usize, length: usize| block.get(at..at + length).unwrap_or_default();
        let sum = octal(field(148, 8)).ok_or(TarError::NotTar)?;
        if field(257, 5) != b"ustar" || sum != u64::from(checksum(block)) {
            return Err(TarError::NotTar);
        }
        let size = octal(field(124, 12)).ok_or(TarError::NotTar)?;
        let mut name = text(field(0, 100));
        // GNU's own format keeps times where POSIX has the prefix.
        let prefix = text(field(345, 155));
        if field(257, 6) == b"ustar\0" && !prefix.is_empty() {
            name = format!("{prefix}/{name}");
        }
        match field(156, 1) {
            [b'0' | 0] => {
                let plain = name.strip_prefix("./").unwrap_or(&name);
                if !is_plain(plain) {
                    return Err(TarError::BadName(name));
                }
                self.state = State::File {
                    left: size,
                    pad: padding(size),
                };
                Ok(Some(Piece::File {
                    name: plain.into(),
                    size,
                }))
            }
            // The folder itself, as `tar c .` lists it.
            [b'5'] if size == 0 && matches!(name.as_str(), "." | "./") => Ok(None),
            [b'x' | b'g'] if size <= EXTENSION_BYTES_MAX => {
                let left = size + padding(size) as u64;
                self.state = State::Skip { left };
                Ok(None)
            }
            _ => Err(TarError::NoFile(name)),
        }
    }
}

fn take<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let n = usize::try_from(most).map_or(input.len(), |most| most.min(input.len()));
    let (taken, rest) = input.split_at(n);
    *input = rest;
    taken
}

/// Up to the first NUL; what is no UTF-8 becomes a character that no plain name has.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|byte| *byte == 0);
    String::from_utf8_lossy(field.get(..end.unwrap_or(field.len())).unwrap_or_default())
        .into_owned()
}

/// Octal digits between blanks and NULs. Sizes from 8 GiB on are written another way, and are refused here.
fn octal(field: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(field).ok()?;
    let digits = text.trim_matches([' ', '\0']);
    u64::from_str_radix(digits, 8)
        .ok()
        .filter(|_| !digits.starts_with('+'))
}

#[cfg(test)]
#[path = "tar_tests.rs"]
mod tests;
