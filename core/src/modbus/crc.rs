//! The checksum at the end of every RTU frame.

/// CRC-16/MODBUS: polynomial 0x8005 reflected, start 0xFFFF.
const ALGORITHM: crc::Crc<u16, crc::Table<1>> =
    crc::Crc::<u16, crc::Table<1>>::new(&crc::CRC_16_MODBUS);

/// The checksum of `bytes`. On the wire its low byte goes first.
#[must_use]
pub fn of(bytes: &[u8]) -> u16 {
    ALGORITHM.checksum(bytes)
}

/// Whether the last two bytes of `frame` are the checksum of those before. False below three bytes.
#[must_use]
pub fn is_good(frame: &[u8]) -> bool {
    match frame.split_last_chunk::<2>() {
        Some((body, sum)) => !body.is_empty() && of(body) == u16::from_le_bytes(*sum),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_check_value() {
        assert_eq!(of(b"123456789"), 0x4B37);
    }

    #[test]
    fn a_frame_of_nothing_but_a_checksum_is_no_frame() {
        assert!(!is_good(&[]));
        assert!(!is_good(&[0xFF]));
        assert!(!is_good(&0xFFFF_u16.to_le_bytes()));
    }
}
