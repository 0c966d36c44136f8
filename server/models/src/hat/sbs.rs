//! SBS: values as bytes without tags; the schema is known to both sides.
//!
//! | Value | Bytes |
//! |---|---|
//! | nothing | none |
//! | Boolean | 1 byte, 0 or 1 |
//! | Integer | two's complement in groups of 7 bits, most significant first; bit 80h only in the last byte; bit 40h of the first is the sign |
//! | Float | 8 bytes, IEEE 754, big endian |
//! | String, Bytes | Integer length in bytes, then the bytes |
//! | Array | Integer count, then the items |
//! | Record | its fields in order |
//! | Choice | Integer index from 0, then the value |
//! | Optional | Choice of nothing and the value |
//!
//! A reader never allocates more than the input is long: counts are believed only as far as bytes follow.

/// Why bytes are no value of the expected shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SbsError {
    /// They end within a value.
    #[error("the value is cut off")]
    CutOff,
    /// Bytes are left after the value.
    #[error("{0} bytes follow the value")]
    Surplus(usize),
    /// An integer beyond 64 bits.
    #[error("an integer is longer than 64 bits")]
    Overflow,
    /// A length or count below 0, or beyond the input.
    #[error("a length or count of {0} cannot be")]
    Length(i64),
    /// A Boolean other than 0 and 1.
    #[error("{0} is no Boolean")]
    Boolean(u8),
    /// A choice that the schema does not have.
    #[error("choice {0} is not in the schema")]
    Choice(i64),
    /// A String that is not UTF-8.
    #[error("a string is not UTF-8")]
    Text,
}

/// A value with a schema.
pub trait Sbs: Sized {
    /// Takes it from the front of `from`.
    ///
    /// # Errors
    /// See [`SbsError`]; what was taken is lost.
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError>;
    /// Appends it.
    fn write(&self, to: &mut Writer);

    /// The value that `bytes` are, to the last byte.
    ///
    /// # Errors
    /// See [`SbsError`].
    fn from_bytes(bytes: &[u8]) -> Result<Self, SbsError> {
        let mut reader = Reader::new(bytes);
        let value = Self::read(&mut reader)?;
        match reader.left() {
            0 => Ok(value),
            n => Err(SbsError::Surplus(n)),
        }
    }

    /// Its bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut writer = Writer::default();
        self.write(&mut writer);
        writer.0
    }
}

/// Takes values from bytes.
#[derive(Clone, Debug)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// At the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Bytes not yet taken.
    #[must_use]
    pub fn left(&self) -> usize {
        self.0.len()
    }

    fn take(&mut self, n: usize) -> Result<&'a [u8], SbsError> {
        let (head, rest) = self.0.split_at_checked(n).ok_or(SbsError::CutOff)?;
        self.0 = rest;
        Ok(head)
    }

    fn byte(&mut self) -> Result<u8, SbsError> {
        Ok(self.take(1)?[0])
    }

    /// An Integer. Encodings longer than needed are understood, as the peers do.
    ///
    /// # Errors
    /// `CutOff`, `Overflow`.
    pub fn integer(&mut self) -> Result<i64, SbsError> {
        let mut byte = self.byte()?;
        let mut value: i64 = if byte & 0x40 == 0 { 0 } else { -1 };
        loop {
            // What would leave the upper 7 bits must be copies of the sign.
            if value >> 56 != value >> 63 {
                return Err(SbsError::Overflow);
            }
            value = value << 7 | i64::from(byte & 0x7F);
            if byte & 0x80 != 0 {
                return Ok(value);
            }
            byte = self.byte()?;
        }
    }

    /// A Boolean.
    ///
    /// # Errors
    /// `CutOff`, `Boolean`.
    pub fn boolean(&mut self) -> Result<bool, SbsError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(SbsError::Boolean(other)),
        }
    }

    /// A Float.
    ///
    /// # Errors
    /// `CutOff`.
    pub fn float(&mut self) -> Result<f64, SbsError> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(f64::from_be_bytes(bytes))
    }

    /// Bytes.
    ///
    /// # Errors
    /// `CutOff`, `Overflow`, `Length`.
    pub fn bytes(&mut self) -> Result<&'a [u8], SbsError> {
        let length = self.integer()?;
        self.take(usize::try_from(length).map_err(|_| SbsError::Length(length))?)
    }

    /// A String.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and `Text`.
    pub fn text(&mut self) -> Result<&'a str, SbsError> {
        std::str::from_utf8(self.bytes()?).map_err(|_| SbsError::Text)
    }

    /// An Array.
    ///
    /// # Errors
    /// `Length` for a count beyond the bytes that follow, and whatever its items give. Items of no bytes at all do
    /// not occur in the schemas that are read with this.
    pub fn array<T: Sbs>(&mut self) -> Result<Vec<T>, SbsError> {
        let count = self.integer()?;
        let wanted = usize::try_from(count).map_err(|_| SbsError::Length(count))?;
        if wanted > self.left() {
            return Err(SbsError::Length(count));
        }
        // Grown as items come: an item in memory is larger than on the wire.
        let mut items = Vec::new();
        for _ in 0..wanted {
            items.push(T::read(self)?);
        }
        Ok(items)
    }

    /// The index of a Choice with `of` branches.
    ///
    /// # Errors
    /// `CutOff`, `Overflow`, `Choice`.
    pub fn choice(&mut self, of: u8) -> Result<u8, SbsError> {
        let index = self.integer()?;
        match u8::try_from(index) {
            Ok(small) if small < of => Ok(small),
            _ => Err(SbsError::Choice(index)),
        }
    }

    /// An Optional.
    ///
    /// # Errors
    /// As [`choice`](Self::choice), and whatever the value gives.
    pub fn optional<T: Sbs>(&mut self) -> Result<Option<T>, SbsError> {
        match self.choice(2)? {
            0 => Ok(None),
            _ => T::read(self).map(Some),
        }
    }
}

/// Appends values to bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// What was appended.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// An Integer in its shortest form.
    pub fn integer(&mut self, value: i64) {
        // Bits that say something, and one for the sign.
        let bits = 65
            - if value < 0 {
                value.leading_ones()
            } else {
                value.leading_zeros()
            };
        for group in (0..bits.div_ceil(7)).rev() {
            let seven = (value >> (7 * group)) as u8 & 0x7F;
            self.0.push(if group == 0 { seven | 0x80 } else { seven });
        }
    }

    /// A Boolean.
    pub fn boolean(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    /// A Float.
    pub fn float(&mut self, value: f64) {
        self.0.extend_from_slice(&value.to_be_bytes());
    }

    /// Bytes.
    pub fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.0.extend_from_slice(value);
    }

    /// A String.
    pub fn text(&mut self, value: &str) {
        self.bytes(value.as_bytes());
    }

    /// An Array.
    pub fn array<T: Sbs>(&mut self, items: &[T]) {
        self.length(items.len());
        for item in items {
            item.write(self);
        }
    }

    /// The index of a Choice; its value follows.
    pub fn choice(&mut self, index: u8) {
        self.integer(i64::from(index));
    }

    /// An Optional.
    pub fn optional<T: Sbs>(&mut self, value: Option<&T>) {
        self.choice(u8::from(value.is_some()));
        if let Some(value) = value {
            value.write(self);
        }
    }

    fn length(&mut self, n: usize) {
        // A buffer is never longer than isize::MAX.
        self.integer(n as i64);
    }
}

impl Sbs for i64 {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        from.integer()
    }

    fn write(&self, to: &mut Writer) {
        to.integer(*self);
    }
}

impl Sbs for f64 {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        from.float()
    }

    fn write(&self, to: &mut Writer) {
        to.float(*self);
    }
}

impl Sbs for String {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        from.text().map(str::to_owned)
    }

    fn write(&self, to: &mut Writer) {
        to.text(self);
    }
}

impl<T: Sbs> Sbs for Vec<T> {
    fn read(from: &mut Reader<'_>) -> Result<Self, SbsError> {
        from.array()
    }

    fn write(&self, to: &mut Writer) {
        to.array(self);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    /// H2: the integers of the specification, both ways.
    #[test]
    fn h2_integers() {
        let cases: [(i64, &[u8]); 11] = [
            (0, &[0x80]),
            (1, &[0x81]),
            (-1, &[0xFF]),
            (63, &[0xBF]),
            (64, &[0x00, 0xC0]),
            (-64, &[0xC0]),
            (-65, &[0x7F, 0xBF]),
            (127, &[0x00, 0xFF]),
            (128, &[0x01, 0x80]),
            (8192, &[0x00, 0x40, 0x80]),
            (i64::MIN, &[0x7F, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
        ];
        for (value, bytes) in cases {
            assert_eq!(value.to_bytes(), bytes, "{value}");
            assert_eq!(i64::from_bytes(bytes), Ok(value), "{value}");
        }
    }

    #[test]
    fn h2_truncated_and_over_long_input_is_a_typed_error() {
        assert_eq!(i64::from_bytes(&[]), Err(SbsError::CutOff));
        assert_eq!(i64::from_bytes(&[0x00]), Err(SbsError::CutOff));
        assert_eq!(i64::from_bytes(&[0x81, 0x81]), Err(SbsError::Surplus(1)));
        // 2^63, and a sign that is contradicted further on.
        assert_eq!(
            i64::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0x80]),
            Err(SbsError::Overflow)
        );
        assert_eq!(i64::from_bytes(&[0x01; 40]), Err(SbsError::Overflow));
        assert_eq!(String::from_bytes(&[0x85, b'a']), Err(SbsError::CutOff));
        assert_eq!(String::from_bytes(&[0xFF]), Err(SbsError::Length(-1)));
        assert_eq!(String::from_bytes(&[0x81, 0xFF]), Err(SbsError::Text));
        // Padding is understood, however long.
        assert_eq!(
            i64::from_bytes(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x81]),
            Ok(1)
        );
    }

    #[test]
    fn a_count_beyond_the_input_allocates_nothing() {
        let mut bytes = Writer::default();
        bytes.integer(i64::MAX);
        assert_eq!(
            Reader::new(&bytes.0).array::<String>(),
            Err(SbsError::Length(i64::MAX))
        );
    }

    proptest! {
        #[test]
        fn integers_are_the_identity(value: i64) {
            prop_assert_eq!(i64::from_bytes(&value.to_bytes()), Ok(value));
            prop_assert!(value.to_bytes().len() <= 10);
        }

        #[test]
        fn no_input_panics(bytes: Vec<u8>) {
            let _ = i64::from_bytes(&bytes);
            let _ = String::from_bytes(&bytes);
            let _ = Reader::new(&bytes).array::<String>();
            let _ = Reader::new(&bytes).optional::<f64>();
        }
    }
}
