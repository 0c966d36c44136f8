//! A chunk of a series from anywhere: points or an error, and points come back as they are when written again.

use leitstand_core::history::{Decoder, Encoder, HEADER_BYTES, POINT_BYTES_MAX};

pub(crate) fn run(data: &[u8]) {
    let Ok(decoder) = Decoder::new(data) else {
        return;
    };
    let promised = decoder.remaining() as usize;
    let points: Vec<_> = decoder.map_while(Result::ok).collect();
    assert!(points.len() <= promised);
    let mut buffer = vec![0; HEADER_BYTES + (points.len() + 1) * POINT_BYTES_MAX];
    let mut encoder = Encoder::new(&mut buffer).expect("room for the header");
    for point in &points {
        encoder.push(*point).expect("room for every point");
    }
    let length = encoder.len();
    let again: Vec<_> = Decoder::new(&buffer[..length])
        .expect("a header")
        .map(|point| point.expect("a whole chunk"))
        .collect();
    assert_eq!(again, points);
}
