//! The pure table, state by state; the whole machine with its overlays is enumerated in
//! `station/exhaustive.rs`.
#![allow(clippy::unwrap_used)]

use super::*;
use expect_test::expect;
use std::format;
use std::string::String;

/// One line a state: on, off plain, off latching, acknowledge, reset. `.` = stays, `!` = refused.
#[test]
fn golden_state_table() {
    let show = |before: AlarmState, after: AlarmState| match after {
        after if after == before => ".".into(),
        after => String::from(after.name()),
    };
    let mut table = String::new();
    for state in AlarmState::ALL {
        let condition = |on, latching| show(state, state.condition(on, latching).0);
        let ack = state
            .acknowledge()
            .map_or("!".into(), |(after, _)| show(state, after));
        let reset = state
            .reset()
            .map_or("!".into(), |(after, _)| show(state, after));
        table.push_str(&format!(
            "{:<12} on {:<11} off {:<8} latching {:<12} ack {:<10} reset {}\n",
            state.name(),
            condition(true, false),
            condition(false, false),
            condition(false, true),
            ack,
            reset
        ));
    }
    expect![[r#"
        Normal       on ActiveUnack off .        latching .            ack !          reset !
        ActiveUnack  on .           off RtnUnack latching LatchedUnack ack ActiveAck  reset !
        ActiveAck    on .           off Normal   latching LatchedAck   ack .          reset !
        RtnUnack     on ActiveUnack off .        latching .            ack Normal     reset !
        LatchedUnack on ActiveUnack off .        latching .            ack LatchedAck reset !
        LatchedAck   on ActiveUnack off .        latching .            ack .          reset Normal
    "#]]
    .assert_eq(&table);
}

#[test]
fn on_does_not_depend_on_latching() {
    for state in AlarmState::ALL {
        assert_eq!(state.condition(true, false), state.condition(true, true));
    }
}

#[test]
fn a_change_is_told_exactly_when_the_state_changes() {
    for state in AlarmState::ALL {
        for (on, latching) in [(true, true), (false, true), (false, false)] {
            let (after, change) = state.condition(on, latching);
            assert_eq!(change.is_some(), after != state);
        }
        if let Ok((after, change)) = state.acknowledge() {
            assert_eq!(change.is_some(), after != state);
        }
    }
}
