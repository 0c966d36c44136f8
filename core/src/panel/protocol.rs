//! The examples of `PROTOCOL.md`, run against the real code.
#![allow(clippy::unwrap_used)]

use super::board::{Board, Config};
use super::chain::Wiring;
use super::frame;
use super::{ButtonId, ButtonSet, PanelSize};
use crate::time::{Duration, Instant};
use std::format;
use std::string::String;
use std::vec::Vec;

const TEXT: &str = include_str!("PROTOCOL.md");

/// The lines of the fenced block of this kind.
fn block(kind: &str) -> Vec<&'static str> {
    let fence = format!("```{kind}");
    let lines = TEXT.lines().skip_while(|line| *line != fence).skip(1);
    let lines: Vec<&str> = lines.take_while(|line| *line != "```").collect();
    assert!(!lines.is_empty(), "no block of {kind}");
    lines
}

#[test]
fn the_exchange_is_what_a_board_says() {
    let wiring = Wiring::new(PanelSize::new(10).unwrap());
    let config = Config {
        announce_after: Duration::ZERO,
        ..Config::new(wiring, 7)
    };
    let mut board = Board::new(Instant::ZERO, config);
    let (mut now, mut pressed, mut told) = (Instant::ZERO, ButtonSet::EMPTY, String::new());
    let mut rounds = |board: &mut Board, pressed: ButtonSet, told: &mut String| {
        for _ in 0..10 {
            let mut normal = [0xff; 2];
            for id in pressed {
                normal[id.index() / 8] &= !(0x80 >> (id.index() % 8));
            }
            board.scan(now, Some(&normal));
            now += Duration::from_millis(5);
        }
        loop {
            let bytes = board.outgoing();
            let count = bytes.len();
            if count == 0 {
                break now;
            }
            told.push_str(std::str::from_utf8(bytes).unwrap());
            board.sent(count);
        }
    };
    let mut at = rounds(&mut board, pressed, &mut told);
    told.clear();
    for line in block("exchange") {
        let id = || ButtonId::new(line.rsplit(' ').next().unwrap().parse().unwrap()).unwrap();
        if let Some(answer) = line.strip_prefix("< ") {
            let (first, rest) = told.split_once('\n').expect(line);
            assert_eq!(first, answer);
            told = rest.into();
            continue;
        }
        assert_eq!(told, "", "before {line}");
        match line.split_once(' ').unwrap().0 {
            ">" => board.receive(at, format!("{}\n", &line[2..]).as_bytes()),
            "press" => pressed.insert(id()),
            "release" => pressed.remove(id()),
            other => panic!("{other}"),
        }
        at = rounds(&mut board, pressed, &mut told);
    }
    assert_eq!(told, "");
    assert!(board.speaks_v2());
}

#[test]
fn the_frames_are_what_goes_over_the_wire() {
    for line in block("frames") {
        let [hex, from, message] = line.split(" | ").collect::<Vec<_>>().try_into().unwrap();
        let bytes = hex
            .split(' ')
            .map(|byte| u8::from_str_radix(byte, 16).unwrap());
        let bytes: Vec<u8> = bytes.collect();
        let mut body = bytes[..bytes.len() - 1].to_vec();
        let (decoded, encoded) = match from {
            "device" => {
                let message: frame::FromDevice = frame::decode(&mut body).unwrap();
                (format!("{message:?}"), frame::encode(&message))
            }
            "host" => {
                let message: frame::FromHost = frame::decode(&mut body).unwrap();
                (format!("{message:?}"), frame::encode(&message))
            }
            other => panic!("{other}"),
        };
        assert_eq!((decoded.as_str(), &encoded[..]), (message, &bytes[..]));
    }
}
