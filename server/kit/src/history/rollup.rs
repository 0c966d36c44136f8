//! Points to minutes, hours, or the columns of a picture.

use leitstand_core::history::{Decoder, Encoder, HEADER_BYTES, POINT_BYTES_MAX, Point};

use super::GOOD;

/// How long a value counts when nothing follows, in ms. Reasoning: after 10 s without a good poll a cell is silent.
pub const HOLD_MS: i64 = 10_000;

/// What happened in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning, in ms since 1970.
    pub at_ms: i64,
    /// Lowest good value in it.
    pub min: i64,
    /// Highest good value in it.
    pub max: i64,
    /// Mean over the covered time.
    pub mean: i64,
    /// How much of it is covered by good values.
    pub covered_ms: i64,
}

/// Adds up buckets of one width, in time order.
struct Adder {
    step_ms: i64,
    done: Vec<Bucket>,
    /// Of the last bucket: value times ms.
    weighted: i128,
}

impl Adder {
    fn new(step_ms: i64) -> Self {
        Self {
            step_ms,
            done: Vec::new(),
            weighted: 0,
        }
    }

    fn add(&mut self, at_ms: i64, part: Bucket, weighted: i128) {
        let at_ms = at_ms.div_euclid(self.step_ms) * self.step_ms;
        match self.done.last_mut().filter(|last| last.at_ms >= at_ms) {
            Some(last) => {
                last.min = last.min.min(part.min);
                last.max = last.max.max(part.max);
                last.covered_ms += part.covered_ms;
                self.weighted += weighted;
            }
            None => {
                self.close();
                self.done.push(Bucket { at_ms, ..part });
                self.weighted = weighted;
            }
        }
    }

    fn close(&mut self) {
        if let Some(last) = self.done.last_mut()
            && last.covered_ms > 0
        {
            // The mean of values lies among them.
            last.mean = i64::try_from(self.weighted / i128::from(last.covered_ms))
                .unwrap_or(last.mean)
                .clamp(last.min, last.max);
        }
    }

    fn finish(mut self) -> Vec<Bucket> {
        self.close();
        self.done
    }
}

/// Buckets of `step_ms` from points in time order, each beginning at a multiple of it. Where nothing is covered there
/// is no bucket.
pub(super) fn from_points(points: &[Point], step_ms: i64) -> Vec<Bucket> {
    let mut adder = Adder::new(step_ms);
    for (i, point) in points.iter().enumerate() {
        let Some(value) = point.value.filter(|_| point.quality == GOOD) else {
            continue;
        };
        let next_ms = points.get(i + 1).map_or(i64::MAX, |next| next.at_ms);
        let until = next_ms.min(point.at_ms.saturating_add(HOLD_MS));
        // Also a value that was followed in the same millisecond was there.
        let mut from = point.at_ms;
        loop {
            let end = (from.div_euclid(step_ms) + 1) * step_ms;
            let covered_ms = (until.min(end) - from).max(0);
            let part = Bucket {
                at_ms: from,
                min: value,
                max: value,
                mean: value,
                covered_ms,
            };
            adder.add(from, part, i128::from(value) * i128::from(covered_ms));
            from = end;
            if from >= until {
                break;
            }
        }
    }
    adder.finish()
}

/// Wider buckets from narrow ones in time order.
pub(super) fn widen(narrow: &[Bucket], step_ms: i64) -> Vec<Bucket> {
    let mut adder = Adder::new(step_ms);
    for bucket in narrow {
        let weighted = i128::from(bucket.mean) * i128::from(bucket.covered_ms);
        adder.add(bucket.at_ms, *bucket, weighted);
    }
    adder.finish()
}

/// Four runs of the same length in one chunk: lowest, highest, mean, covered.
pub(super) fn encode(buckets: &[Bucket]) -> Vec<u8> {
    let runs: [fn(&Bucket) -> i64; 4] = [|b| b.min, |b| b.max, |b| b.mean, |b| b.covered_ms];
    let points: Vec<_> = runs
        .iter()
        .flat_map(|run| {
            buckets.iter().map(move |b| Point {
                at_ms: b.at_ms,
                value: Some(run(b)),
                quality: 0,
            })
        })
        .collect();
    chunk(&points)
}

/// The inverse of [`encode`]; `None` when the bytes are not that.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Bucket>> {
    let points: Vec<_> = Decoder::new(bytes).ok()?.collect::<Result<_, _>>().ok()?;
    let count = points.len() / 4;
    let value = |run: usize, i: usize| points.get(run * count + i)?.value;
    (0..count)
        .map(|i| {
            Some(Bucket {
                at_ms: points[i].at_ms,
                min: value(0, i)?,
                max: value(1, i)?,
                mean: value(2, i)?,
                covered_ms: value(3, i)?,
            })
        })
        .collect()
}

/// Points as a chunk.
pub(super) fn chunk(points: &[Point]) -> Vec<u8> {
    let mut buffer = vec![0; HEADER_BYTES + (points.len() + 1) * POINT_BYTES_MAX];
    let mut length = 0;
    if let Ok(mut encoder) = Encoder::new(&mut buffer) {
        for point in points {
            let pushed = encoder.push(*point);
            debug_assert!(pushed.is_ok(), "there is room for the dearest");
        }
        length = encoder.len();
    }
    buffer.truncate(length);
    buffer
}
