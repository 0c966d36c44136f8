#![allow(clippy::unwrap_used)]
use super::*;
use std::vec::Vec;

/// A series with a daily shape and noise, the same on every machine.
fn series(n: usize) -> Vec<f64> {
    let mut seed = 0x1234_5678_u32;
    (0..n)
        .map(|i| {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            20.0 + f64::from((i % 24) as u32) * 0.5 + f64::from(seed % 1000) / 500.0
        })
        .collect()
}

fn learned(kind: Kind, n: usize) -> Any {
    let mut any = Any::new(kind, &[]).unwrap();
    for x in series(n) {
        any.update(x).unwrap();
    }
    any
}

fn state(any: &Any, name: &str) -> f64 {
    let mut found = None;
    any.describe(&mut |n, v| {
        if n == name {
            found = Some(v);
        }
    });
    found.unwrap()
}

/// Case N1.
#[test]
fn golden_n1_ewma() {
    let mut any = Any::new(Kind::Ewma, &[0.5]).unwrap();
    let levels: Vec<f64> = [10.0, 20.0, 20.0]
        .iter()
        .map(|x| any.update(*x).unwrap().value)
        .collect();
    assert_eq!(levels, [10.0, 15.0, 17.5]);
}

/// Case N2.
#[test]
fn golden_n2_zscore() {
    let mut any = Any::new(Kind::Zscore, &[]).unwrap();
    for x in [2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0] {
        any.update(x).unwrap();
    }
    assert_eq!((state(&any, "mean"), state(&any, "std")), (5.0, 2.0));
    assert_eq!(any.score(11.0).unwrap().sigmas, Some(3.0));
}

/// Case N3, the host's half: an exported model continues as if it had never stopped.
#[test]
fn golden_n3_an_exported_model_continues_bit_for_bit() {
    for kind in Kind::ALL {
        let mut here = learned(kind, 400);
        let mut blob = [0; BLOB_BYTES_MAX];
        let n = here.export(&mut blob).unwrap();
        let mut there = Any::import(&blob[..n]).unwrap();
        for x in series(410).split_off(400) {
            let (a, b) = (here.update(x).unwrap(), there.update(x).unwrap());
            assert_eq!(a.value.to_bits(), b.value.to_bits(), "{kind:?}");
            assert_eq!(
                a.sigmas.map(f64::to_bits),
                b.sigmas.map(f64::to_bits),
                "{kind:?}"
            );
        }
    }
}

/// Case N4, the model's half.
#[test]
fn golden_n4_what_is_no_number_changes_nothing() {
    for kind in Kind::ALL {
        let before = learned(kind, 60);
        let mut after = before.clone();
        for x in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX] {
            assert_eq!(after.update(x), Err(NotFinite));
        }
        assert_eq!(before, after, "{kind:?}");
    }
}

#[test]
fn a_lasting_shift_is_found_and_a_normal_day_is_not() {
    // A threshold has no notion of normal; it is told.
    for kind in Kind::ALL.into_iter().filter(|k| *k != Kind::Threshold) {
        let mut any = learned(kind, 24 * 40);
        let normal = series(24 * 41).split_off(24 * 40);
        let loudest = |any: &mut Any, day: &[f64], more: f64| {
            day.iter()
                .filter_map(|x| any.update(x + more).unwrap().sigmas)
                .fold(0.0, f64::max)
        };
        let quiet = loudest(&mut any, &normal, 0.0);
        let shifted = loudest(&mut any, &normal, 60.0);
        assert!(
            shifted > 3.0 && shifted > quiet,
            "{kind:?}: {quiet} then {shifted}"
        );
    }
    let mut limit = Any::new(Kind::Threshold, &[0.0, 35.0]).unwrap();
    assert!(!limit.update(35.0).unwrap().anomalous && limit.update(35.5).unwrap().anomalous);
}

#[test]
fn scores_stay_numbers_on_extreme_series() {
    let extreme = [
        0.0, 1e100, -1e100, 5e-324, 1e100, -1e100, 0.0, 1.0, 1.0, 1.0,
    ];
    for kind in Kind::ALL {
        let mut any = Any::new(kind, &[]).unwrap();
        for x in extreme.iter().cycle().take(2_000) {
            let score = any.update(*x).unwrap();
            assert!(
                score.sigmas.is_none_or(|s| s >= 0.0 && s.is_finite()),
                "{kind:?} {score:?}"
            );
        }
    }
}

#[test]
fn a_damaged_blob_is_an_error_and_never_a_model() {
    for kind in Kind::ALL {
        let mut buffer = [0; BLOB_BYTES_MAX];
        let n = learned(kind, 100).export(&mut buffer).unwrap();
        let blob = &buffer[..n];
        for end in 0..n {
            assert!(Any::import(&blob[..end]).is_err(), "{kind:?} cut at {end}");
        }
        for at in 0..n {
            let mut bad = blob.to_vec();
            bad[at] ^= 0x10;
            assert!(Any::import(&bad).is_err(), "{kind:?} byte {at}");
        }
        assert_eq!(
            learned(kind, 1).export(&mut buffer[..n - 1]),
            Err(BlobError::NoRoom)
        );
    }
    assert_eq!(
        Any::import(b"\x80\x04K\x01."),
        Err(BlobError::Magic),
        "a pickle is no blob"
    );
}

#[test]
fn parameters_out_of_range_are_refused_by_name() {
    let name = |kind, values: &[f64]| Any::new(kind, values).unwrap_err().parameter.name;
    assert_eq!(name(Kind::Ewma, &[0.0]), "alpha");
    assert_eq!(name(Kind::Ewma, &[0.5, f64::NAN]), "k");
    assert_eq!(name(Kind::Hampel, &[3.5]), "window");
    assert_eq!(name(Kind::Seasonal, &[289.0]), "period");
    for kind in Kind::ALL {
        assert_eq!(Kind::named(kind.name()), Some(kind));
        assert!(kind.parameters().len() <= 4);
        assert!(
            kind.parameters().iter().all(|p| p.check(p.default).is_ok()),
            "{kind:?}"
        );
    }
}

#[test]
fn the_square_root_is_within_one_unit_of_the_last_place() {
    let mut x = 5e-324_f64;
    while x < 1e308 {
        let (own, theirs) = (number::sqrt(x), std::primitive::f64::sqrt(x));
        assert!(
            own.to_bits().abs_diff(theirs.to_bits()) <= 1,
            "{x}: {own} {theirs}"
        );
        x = (x * 1.37).max(x + 5e-324);
    }
    assert_eq!(
        (number::sqrt(4.0), number::sqrt(0.0), number::sqrt(-1.0)),
        (2.0, 0.0, 0.0)
    );
}
