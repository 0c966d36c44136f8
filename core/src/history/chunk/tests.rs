#![allow(clippy::unwrap_used)]
use super::*;
use proptest::prelude::*;
use std::vec;
use std::vec::Vec;

fn encode(points: &[Point]) -> Vec<u8> {
    let mut buffer = vec![0xa5; HEADER_BYTES + (points.len() + 1) * POINT_BYTES_MAX];
    let mut encoder = Encoder::new(&mut buffer).unwrap();
    for point in points {
        encoder.push(*point).unwrap();
    }
    let length = encoder.len();
    buffer.truncate(length);
    buffer
}

fn decode(bytes: &[u8]) -> Result<Vec<Point>, Corrupt> {
    Decoder::new(bytes)?.collect()
}

fn good(at_ms: i64, value: i64) -> Point {
    Point {
        at_ms,
        value: Some(value),
        quality: 0,
    }
}

/// Numbers as they come, and the ends of the range.
fn number() -> impl Strategy<Value = i64> {
    prop_oneof![
        4 => -40..40_i64,
        2 => -100_000..100_000_i64,
        1 => any::<i64>(),
        1 => prop_oneof![Just(i64::MIN), Just(i64::MAX), Just(0)],
    ]
}

fn point() -> impl Strategy<Value = Point> {
    (
        number(),
        proptest::option::weighted(0.9, number()),
        0..=QUALITY_MAX,
    )
        .prop_map(|(at_ms, value, quality)| Point {
            at_ms,
            value,
            quality,
        })
}

proptest! {
    #[test]
    fn what_comes_out_is_what_went_in(points in proptest::collection::vec(point(), 0..200)) {
        prop_assert_eq!(decode(&encode(&points)).unwrap(), points);
    }

    #[test]
    fn times_that_go_on_with_gaps_come_back(
        steps in proptest::collection::vec((0..90_000_i64, number(), any::<bool>()), 0..300),
    ) {
        let mut at_ms = 1_800_000_000_000;
        let points: Vec<_> = steps.into_iter().map(|(step, value, there)| {
            at_ms += step;
            Point { at_ms, value: there.then_some(value), quality: u8::from(!there) }
        }).collect();
        prop_assert_eq!(decode(&encode(&points)).unwrap(), points);
    }

    #[test]
    fn bytes_from_anywhere_are_points_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(decoder) = Decoder::new(&bytes) {
            let promised = decoder.remaining() as usize;
            prop_assert!(decoder.count() <= promised);
        }
    }

    #[test]
    fn a_chunk_that_was_cut_is_noticed(points in proptest::collection::vec(point(), 1..40), cut in 1..40_usize) {
        let whole = encode(&points);
        let kept = whole.len().saturating_sub(cut);
        prop_assert_eq!(decode(&whole[..kept]), Err(Corrupt));
    }
}

#[test]
fn a_full_buffer_refuses_a_point_and_keeps_the_others() {
    let mut buffer = [0; HEADER_BYTES + 2 * POINT_BYTES_MAX];
    let mut encoder = Encoder::new(&mut buffer).unwrap();
    let mut kept = Vec::new();
    let refused = loop {
        let point = good(
            i64::MAX / (1 + kept.len() as i64),
            -(kept.len() as i64) << 50,
        );
        match encoder.push(point) {
            Ok(()) => kept.push(point),
            Err(Full) => break point,
        }
    };
    assert!(!kept.is_empty() && !kept.contains(&refused));
    let length = encoder.len();
    assert_eq!(decode(&buffer[..length]).unwrap(), kept);
    assert!(Encoder::new(&mut [0; HEADER_BYTES - 1]).is_err());
}

#[test]
fn another_version_and_impossible_counts_are_refused() {
    let mut chunk = encode(&[good(1, 1)]);
    chunk[0] = 2;
    assert_eq!(decode(&chunk), Err(Corrupt));
    chunk[0] = VERSION;
    chunk[1..5].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(decode(&chunk), Err(Corrupt));
}

/// The example of `PROTOCOL.md`.
#[test]
fn golden_example() {
    let points = [
        good(1000, 5),
        good(2000, 5),
        Point {
            at_ms: 3010,
            value: None,
            quality: 2,
        },
    ];
    let mut chunk = encode(&points);
    let written: Vec<_> = chunk.iter().map(|b| std::format!("{b:02x}")).collect();
    // The lowest bit of the last byte is filling.
    assert_eq!(written.join(" "), "01 03 00 00 00 c3 1f 3e 48 8a 27");
    chunk[10] ^= 1;
    assert_eq!(decode(&chunk).unwrap(), points);
}

#[test]
fn an_hour_of_a_sensor_at_one_hertz_stays_below_two_bytes_a_point() {
    // A random walk of some counts, polled with some milliseconds of jitter: as the simulated garage does.
    let mut state = 7_u64;
    let mut random = |below: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((state >> 33) % below) as i64
    };
    let mut value = 12_000;
    let points: Vec<_> = (0..3600)
        .map(|second| {
            value += random(21) - 10;
            good(second * 1000 + random(3), value)
        })
        .collect();
    let bytes = encode(&points).len();
    assert!(bytes <= 2 * points.len(), "{bytes} bytes for 3600 points");
    let steady: Vec<_> = (0..3600)
        .map(|second| good(second * 1000, 20_900))
        .collect();
    let bytes = encode(&steady).len();
    assert!(bytes <= 1400, "{bytes} bytes for nothing new");
}
