#![allow(clippy::unwrap_used)]
use proptest::prelude::*;
use serde_json::Value;
use tower::ServiceExt as _;

use super::{
    db::{HOUR_MS, MINUTE_MS},
    *,
};
use crate::{Context, auth::Role};

/// 2026-01-01, the start of an hour and of a day.
const T0: i64 = 1_767_225_600_000;

struct Bench {
    _dir: tempfile::TempDir,
    cx: Context,
}

fn bench() -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    Bench { _dir: dir, cx }
}

impl Bench {
    fn series(&self, name: &str) -> Series {
        let about = About {
            name: name.into(),
            unit: "ppm".into(),
            scale: 1000,
        };
        self.cx.history.series(about).unwrap()
    }

    async fn query(&self, series: &Series, from_ms: i64, to_ms: i64, steps: u32) -> Vec<Bucket> {
        let range = Range {
            from_ms,
            to_ms,
            steps,
        };
        self.cx.history.query(series.id, range).await.unwrap()
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let routes = axum::Router::from(routes::routes(&self.cx));
        let app = crate::access::as_role(routes, Role::Viewer);
        let request = axum::http::Request::get(path);
        let request = request.body(axum::body::Body::empty()).unwrap();
        let answer = app.oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 20).await;
        (status, serde_json::from_slice(&body.unwrap()).unwrap())
    }
}

fn good(at_ms: i64, value: i64) -> Point {
    Point {
        at_ms,
        value: Some(value),
        quality: GOOD,
    }
}

#[tokio::test]
async fn what_is_recorded_is_there_at_once_and_gaps_stay_gaps() {
    let bench = bench();
    let co = bench.series("gas.co_1");
    for second in 0..60 {
        co.record(T0 + second * 1000, Some(10_000 + second), GOOD);
    }
    // A fault ends the coverage at once; its value is kept and does not count.
    co.record(T0 + 60_000, Some(300_000), 4);
    co.record(T0 + 61_000, None, 4);
    co.record(T0 + 600_000, Some(5000), GOOD);
    let minutes = bench.query(&co, T0, T0 + HOUR_MS, 60).await;
    let seen: Vec<_> = minutes
        .iter()
        .map(|b| (b.at_ms - T0, b.min, b.mean, b.max, b.covered_ms))
        .collect();
    assert_eq!(
        seen,
        [
            (0, 10_000, 10_029, 10_059, 60_000),
            (600_000, 5000, 5000, 5000, HOLD_MS),
        ]
    );
    assert!(bench.query(&co, T0 - HOUR_MS, T0, 60).await.is_empty());
}

#[tokio::test]
async fn an_hour_that_is_over_is_one_row_and_answers_the_same() {
    let bench = bench();
    let co = bench.series("gas.co_1");
    for minute in 0..60 {
        for second in 0..60 {
            let at_ms = T0 + minute * MINUTE_MS + second * 1000;
            co.record(at_ms, Some(minute * 100 + second), GOOD);
        }
        // As the clock does.
        bench.cx.history.flush().await;
    }
    let rows = async |sql: &'static str| {
        let count = bench
            .cx
            .store
            .read(move |db| db.query_row(sql, [], |r| r.get::<_, i64>(0)));
        count.await.unwrap()
    };
    assert_eq!(rows("SELECT count(*) FROM history_raw").await, 60);
    let ranges = [(60, MINUTE_MS), (3600, 1000), (1, HOUR_MS)];
    let mut before = Vec::new();
    for (steps, _) in ranges {
        before.push(bench.query(&co, T0, T0 + HOUR_MS, steps).await);
    }
    co.record(T0 + HOUR_MS, None, 4);
    bench.cx.history.flush().await;
    assert_eq!(
        rows("SELECT count(*) FROM history_raw WHERE part = 0").await,
        1
    );
    assert_eq!(rows("SELECT count(*) FROM history_hours").await, 1);
    for ((steps, step_ms), before) in ranges.into_iter().zip(before) {
        let after = bench.query(&co, T0, T0 + HOUR_MS, steps).await;
        assert_eq!(after, before, "{steps} steps");
        assert_eq!(after.len() as i64, HOUR_MS / step_ms);
    }
}

#[tokio::test]
async fn a_spike_of_one_reading_shows_in_a_picture_of_a_year() {
    let bench = bench();
    let co = bench.series("gas.co_1");
    for hour in 0..50 {
        co.record(T0 + hour * HOUR_MS, Some(1000), GOOD);
        if hour == 17 {
            co.record(T0 + hour * HOUR_MS + 1000, Some(250_000), GOOD);
            co.record(T0 + hour * HOUR_MS + 2000, Some(-7), GOOD);
        }
    }
    let year = bench.query(&co, T0, T0 + 365 * 24 * HOUR_MS, 300).await;
    assert_eq!(year.iter().map(|b| b.max).max(), Some(250_000));
    assert_eq!(year.iter().map(|b| b.min).min(), Some(-7));
}

#[tokio::test]
async fn a_damaged_chunk_is_left_out_and_the_rest_is_readable() {
    let bench = bench();
    let co = bench.series("gas.co_1");
    for minute in 0..3 {
        co.record(T0 + minute * MINUTE_MS, Some(minute), GOOD);
        bench.cx.history.flush().await;
    }
    let damage = "UPDATE history_raw SET data = x'0102' WHERE part = 2";
    let done = bench.cx.store.execute(move |db| db.execute(damage, []));
    assert_eq!(done.await.unwrap(), 1);
    let seen = bench.query(&co, T0, T0 + HOUR_MS, 60).await;
    let values: Vec<_> = seen.iter().map(|b| b.mean).collect();
    assert_eq!(values, [0, 2]);
}

#[tokio::test]
async fn a_restart_goes_on_in_the_hour_that_runs() {
    let dir = tempfile::tempdir().unwrap();
    for start in 0..2 {
        let cx = Context::for_tests(dir.path());
        let bench = Bench {
            _dir: tempfile::tempdir().unwrap(),
            cx,
        };
        let co = bench.series("gas.co_1");
        co.record(T0 + start * MINUTE_MS, Some(start), GOOD);
        let seen = bench.query(&co, T0, T0 + HOUR_MS, 60).await;
        assert_eq!(seen.len() as i64, start + 1);
    }
}

#[test]
fn a_full_queue_is_counted_and_nobody_waits() {
    let dir = tempfile::tempdir().unwrap();
    let cx = Context::for_tests(dir.path());
    let (queue, _messages) = std::sync::mpsc::sync_channel(2);
    let recorder = Recorder(Arc::new(Inner {
        store: cx.store.clone(),
        writer: Some(Writer::without_reader(queue)),
        series: Mutex::default(),
        lost: cx.metrics.counter("lost", "", &[]),
    }));
    let series = Series { recorder, id: 1 };
    for at_ms in 0..5 {
        series.record(at_ms, Some(1), GOOD);
    }
    assert!(
        cx.metrics.render().contains("lost 3"),
        "{}",
        cx.metrics.render()
    );
}

#[tokio::test]
async fn the_api_lists_series_and_answers_ranges_in_their_unit() {
    let bench = bench();
    let co = bench.series("gas.co_1");
    co.record(T0, Some(12_345), GOOD);
    let (status, list) = bench.get("/api/v1/history").await;
    assert_eq!(
        (status, &list["items"][0]["name"]),
        (200, &"gas.co_1".into())
    );
    let to = T0 + HOUR_MS;
    let path = format!("/api/v1/history/data?series=gas.co_1&from={T0}&to={to}&steps=3600");
    let (status, data) = bench.get(&path).await;
    assert_eq!(status, 200, "{data}");
    assert_eq!(data["unit"], "ppm");
    assert_eq!(
        (&data["source"], &data["step_ms"]),
        (&"raw".into(), &1000.into())
    );
    let first = &data["items"][0];
    assert_eq!(first["max"], 12.345);
    assert_eq!(first["covered_s"], 1.0);
    assert_eq!(data["items"].as_array().unwrap().len(), 10, "{data}");
    for (query, expected) in [
        ("series=gas.co_2&from=0&to=1", 404),
        ("series=gas.co_1&from=1&to=1", 400),
        ("series=gas.co_1&from=2&to=1", 400),
        ("series=gas.co_1&from=0&to=9223372036854775807", 400),
        ("series=gas.co_1&from=-9223372036854775808&to=1", 400),
        ("series=gas.co_1&from=0&to=1&steps=0", 400),
        ("series=gas.co_1&from=0&to=1&steps=4001", 400),
        ("series=gas.co_1", 400),
    ] {
        let (status, problem) = bench.get(&format!("/api/v1/history/data?{query}")).await;
        assert_eq!(status, expected, "{query}: {problem}");
    }
}

fn readings() -> impl Strategy<Value = Vec<Point>> {
    let step = (0..15_000_i64, -1000..1000_i64, 0..5_u8, any::<bool>());
    proptest::collection::vec(step, 1..200).prop_map(|steps| {
        let mut at_ms = T0;
        let point = |(step, value, quality, there): (i64, i64, u8, bool)| {
            at_ms += step;
            Point {
                at_ms,
                value: there.then_some(value),
                quality: if quality < 4 { GOOD } else { quality },
            }
        };
        steps.into_iter().map(point).collect()
    })
}

proptest! {
    #[test]
    fn rollups_agree_with_the_readings(points in readings()) {
        let minutes = rollup::from_points(&points, MINUTE_MS);
        let good: Vec<_> = points.iter().filter(|p| p.quality == GOOD).filter_map(|p| p.value).collect();
        prop_assert_eq!(minutes.iter().map(|b| b.min).min(), good.iter().copied().min());
        prop_assert_eq!(minutes.iter().map(|b| b.max).max(), good.iter().copied().max());
        for b in &minutes {
            prop_assert!(b.at_ms % MINUTE_MS == 0 && b.min <= b.mean && b.mean <= b.max);
            prop_assert!((0..=MINUTE_MS).contains(&b.covered_ms));
        }
        let covered = |buckets: &[Bucket]| buckets.iter().map(|b| b.covered_ms).sum::<i64>();
        let hours = rollup::widen(&minutes, HOUR_MS);
        prop_assert_eq!(covered(&hours), covered(&minutes));
        let whole = rollup::from_points(&points, HOUR_MS);
        prop_assert_eq!(covered(&whole), covered(&minutes));
        for (a, b) in hours.iter().zip(&whole) {
            prop_assert_eq!((a.at_ms, a.min, a.max), (b.at_ms, b.min, b.max));
            // Each minute's mean was cut to a whole number.
            prop_assert!((a.mean - b.mean).abs() <= 1, "{:?} {:?}", a, b);
        }
        prop_assert_eq!(rollup::decode(&rollup::encode(&minutes)), Some(minutes));
    }
}

#[test]
fn a_time_that_repeats_keeps_its_extremes() {
    let points = [good(T0, 5), good(T0, 900), good(T0, 6)];
    let seen = rollup::from_points(&points, 1000);
    assert_eq!((seen[0].min, seen[0].max), (5, 900));
}
