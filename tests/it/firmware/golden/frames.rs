//! Cases 8.6.

use super::{Rig, everywhere, lit, on, text};
use leitstand_core::panel::frame::{self, FromDevice, FromHost};

/// Switched on and speaking v2.
fn v2(rig: &mut dyn Rig) {
    rig.power_on(on(100));
    rig.scan(&[]);
    let hello = text(rig.say(b"HELLO 2\n"));
    assert!(hello.starts_with("HELLO 2 100 100 00"), "{hello:?}");
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

#[test]
fn golden_8_6_frames() {
    everywhere(|rig| {
        v2(rig);
        // The first scan was at 0; the press is accepted at the second sample, at 1000 ms.
        for _ in 0..198 {
            assert_eq!(hex(&rig.scan(&[])), "");
        }
        assert_eq!(hex(&rig.scan(&[42])), "");
        assert_eq!(hex(&rig.scan(&[42])), "08 01 01 2a e8 07 12 65 00", "Press");
        for _ in 0..29 {
            assert_eq!(hex(&rig.scan(&[42])), "");
        }
        // Let go at 1150 ms.
        let released: Vec<u8> = (0..7).flat_map(|_| rig.scan(&[])).collect();
        assert_eq!(hex(&released), "08 02 02 2a 9c 09 4f 35 00", "Release");

        let set = [0x06, 0x02, 0x07, 0x2a, 0x43, 0xbe, 0x00];
        assert_eq!(hex(&rig.say(&set)), "05 03 07 bb 38 00", "LedSet and Ack");
        rig.scan(&[]);
        assert_eq!(lit(rig), [42]);
        let beyond = frame::encode(&FromHost::LedSet { tag: 7, id: 101 });
        assert_eq!(hex(&rig.say(&beyond)), "06 04 07 01 ea 99 00", "Nak");
        let clear_other = frame::encode(&FromHost::LedClr {
            tag: 8,
            only_if: 41,
        });
        rig.say(&clear_other);
        rig.scan(&[]);
        assert_eq!(lit(rig), [42], "another one is selected");
        let clear = [0x06, 0x03, 0x08, 0x2a, 0x4d, 0x99, 0x00];
        let ack = frame::encode(&FromDevice::Ack { tag: 8 });
        assert_eq!(hex(&rig.say(&clear)), hex(&ack), "LedClr only if 42");
        rig.scan(&[]);
        assert!(lit(rig).is_empty());
        rig.say(&set);
        let always = [0x03, 0x03, 0x09, 0x03, 0x54, 0x2f, 0x00];
        let ack = frame::encode(&FromDevice::Ack { tag: 9 });
        assert_eq!(hex(&rig.say(&always)), hex(&ack), "LedClr always");
        let ping = [0x09, 0x01, 0xf8, 0xac, 0xd1, 0x91, 0x01, 0xd0, 0xba, 0x00];
        let mut pong = rig.say(&ping);
        assert_eq!(pong.pop(), Some(0));
        let nonce = 0x1234_5678;
        assert!(
            matches!(frame::decode(&mut pong), Ok(FromDevice::Pong { nonce: n, .. }) if n == nonce),
        );
    });
}

/// G-BIN-1 on the board's side: no flipped bit of a command does anything, and the board is in step again after
/// one frame.
#[test]
fn golden_8_6_frames_g_bin_1_flipped_bits() {
    everywhere(|rig| {
        v2(rig);
        let set = [0x06, 0x02, 0x07, 0x2a, 0x43, 0xbe, 0x00];
        let ping = frame::encode(&FromHost::Ping { nonce: 1 });
        for bit in 0..set.len() * 8 {
            let mut flipped = set;
            flipped[bit / 8] ^= 1 << (bit % 8);
            rig.say(&flipped);
            rig.say(&ping);
            let answer = rig.say(&ping);
            rig.scan(&[]);
            assert!(lit(rig).is_empty(), "bit {bit}");
            let mut pong = answer.strip_suffix(&[0]).expect("a frame").to_vec();
            let pong = frame::decode(&mut pong);
            assert!(
                matches!(pong, Ok(FromDevice::Pong { nonce: 1, .. })),
                "bit {bit}: {pong:?}"
            );
        }
        rig.say(&set);
        rig.scan(&[]);
        assert_eq!(lit(rig), [42], "and unflipped it works");
    });
}
