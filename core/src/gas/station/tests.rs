//! Golden cases of `monitor.md` 10 that need the whole station.
#![allow(clippy::unwrap_used)]

use super::bench::*;
use crate::gas::plan::*;
use expect_test::expect;

/// Golden "Latching", first half: on 30, hysteresis 5, a relay, a lamp, a horn.
fn plain() -> TestPlan {
    let mut plan = zone_of(1);
    let mut ap1 = set_point(&plan, 1, 30.0, 5.0);
    for kind in [OutputKind::Relay, OutputKind::Led, OutputKind::Horn] {
        switches(&mut plan, &mut ap1, kind, ActionMode::Follow);
    }
    plan.set_points.push(ap1).unwrap();
    plan
}

#[test]
fn golden_plain_alarm_acknowledged() {
    check(
        &plain(),
        "1 a 31 | 2 ack | 3 a 20",
        expect![[r#"
        1 ap1 ActiveUnack 31
        1 zone 0 ap1
        1 horn on
        1 out0 on
        1 out1 on
        1 out2 on
        2 ap1 ActiveAck 31
        2 horn off
        2 out2 off
        3 ap1 Normal 20
        3 zone 0 normal
        3 out0 off
        3 out1 off
    "#]],
    );
}

#[test]
fn golden_plain_alarm_returns_before_the_acknowledge() {
    check(
        &plain(),
        "1 a 31 | 2 a 20 | 3 ack",
        expect![[r#"
        1 ap1 ActiveUnack 31
        1 zone 0 ap1
        1 horn on
        1 out0 on
        1 out1 on
        1 out2 on
        2 ap1 RtnUnack 20
        2 zone 0 normal
        2 out0 off
        2 out1 flash
        3 ap1 Normal 20
        3 horn off
        3 out1 off
        3 out2 off
    "#]],
    );
}
