//! A record of a board's settings from flash, which may hold anything.

use leitstand_firmware::settings::{RECORD, decode, encode};

/// What is a record comes back as the same record, whatever its body was written with.
pub(crate) fn run(bytes: &[u8]) {
    let Some(record) = bytes.first_chunk::<RECORD>() else {
        return;
    };
    if let Some((generation, settings)) = decode(record) {
        let again = decode(&encode(generation, &settings));
        assert_eq!(again, Some((generation, settings)));
    }
}
