//! Cases 8.2, and a chain that is cut.

use super::{everywhere, hold, lit, on, text};

/// 13 bytes of FF but one.
fn chain_of_13(at: usize, value: u8) -> Vec<u8> {
    let mut bytes = vec![0xff; 13];
    bytes[at] = value;
    bytes
}

#[test]
fn golden_8_2_inputs() {
    let ten = |bytes: [u8; 2]| bytes.to_vec();
    let cases = [
        (
            "G-IN-1",
            10,
            vec![],
            true,
            ten([0xff, 0xff]),
            ten([0xff, 0xff]),
        ),
        (
            "G-IN-2",
            10,
            vec![1],
            false,
            ten([0xff, 0xff]),
            ten([0x7f, 0xff]),
        ),
        (
            "G-IN-3",
            10,
            vec![8],
            true,
            ten([0xfd, 0xff]),
            ten([0xfe, 0xff]),
        ),
        (
            "G-IN-4",
            10,
            vec![9],
            true,
            ten([0xfe, 0xff]),
            ten([0xff, 0x7f]),
        ),
        (
            "G-IN-5",
            10,
            vec![10],
            true,
            ten([0xff, 0x7f]),
            ten([0xff, 0xbf]),
        ),
        (
            "G-IN-6",
            10,
            vec![3, 7],
            true,
            ten([0xbb, 0xff]),
            ten([0xdd, 0xff]),
        ),
        (
            "G-IN-7",
            100,
            vec![42],
            true,
            chain_of_13(5, 0x7f),
            chain_of_13(5, 0xbf),
        ),
        (
            "G-IN-8",
            100,
            vec![97],
            true,
            chain_of_13(11, 0xfe),
            chain_of_13(12, 0x7f),
        ),
        (
            "G-IN-9",
            100,
            vec![100],
            true,
            chain_of_13(12, 0xdf),
            chain_of_13(12, 0xef),
        ),
    ];
    everywhere(|rig| {
        let mut buttons = 0;
        for (name, count, held, first, clocked, normal) in &cases {
            if buttons != *count {
                buttons = *count;
                rig.power_on(on(buttons));
            }
            let survey = rig.survey(held);
            assert_eq!((survey.first, &survey.clocked), (*first, clocked), "{name}");
            for read in &survey.normal {
                assert_eq!(read, normal, "{name}; G-IN-10: all three readers agree");
            }
        }
    });
}

/// G-IN-11: what mode 1 clocks in without the rescue is another button.
#[test]
fn golden_8_2_inputs_g_in_11_without_the_rescue() {
    everywhere(|rig| {
        rig.power_on(on(10));
        assert_eq!(
            rig.survey(&[1]).clocked,
            rig.survey(&[]).clocked,
            "1 is invisible"
        );
        assert_eq!(
            rig.survey(&[2]).clocked,
            rig.survey(&[1]).normal[0],
            "2 looks like 1"
        );
    });
}

#[test]
fn golden_8_2_inputs_g_in_12_spare_positions() {
    everywhere(|rig| {
        rig.power_on(on(10));
        rig.scan(&[]);
        for position in 10..16 {
            rig.ground(Some(position));
            let told: Vec<u8> = (0..20).flat_map(|_| rig.scan(&[])).collect();
            assert_eq!(text(told), "", "position {}", position + 1);
        }
        rig.ground(Some(9));
        let told: Vec<u8> = (0..3).flat_map(|_| rig.scan(&[])).collect();
        assert_eq!(text(told), "PRESS 010\n", "the bench can press at all");
    });
}

/// The latches in sending order: the byte of the highest LEDs first.
fn sent(latched: u128, chips: usize) -> Vec<u8> {
    (0..chips)
        .rev()
        .map(|chip| (latched >> (chip * 8)) as u8)
        .collect()
}

/// Bytes followed by as many zeros as 13 chips need.
fn padded(front: &[u8]) -> Vec<u8> {
    let mut bytes = front.to_vec();
    bytes.resize(13, 0);
    bytes
}

#[test]
fn golden_8_2_outputs() {
    let cases = [
        ("G-OUT-1", 10, "LEDCLR", vec![0x00, 0x00]),
        ("G-OUT-2", 10, "LEDSET 1", vec![0x00, 0x01]),
        ("G-OUT-3", 10, "LEDSET 8", vec![0x00, 0x80]),
        ("G-OUT-4", 10, "LEDSET 9", vec![0x01, 0x00]),
        ("G-OUT-5", 10, "LEDSET 10", vec![0x02, 0x00]),
        ("G-OUT-6", 10, "LEDALL", vec![0x03, 0xff]),
        (
            "G-OUT-7",
            100,
            "LEDSET 42",
            padded(&[0, 0, 0, 0, 0, 0, 0, 2]),
        ),
        ("G-OUT-8", 100, "LEDSET 97", padded(&[1])),
        ("G-OUT-9", 100, "LEDSET 100", padded(&[8])),
    ];
    everywhere(|rig| {
        let mut buttons = 0;
        for (name, count, command, bytes) in &cases {
            if buttons != *count {
                buttons = *count;
                rig.power_on(on(buttons));
                rig.scan(&[]);
            }
            assert_eq!(
                text(rig.say(format!("{command}\n").as_bytes())),
                "OK\n",
                "{name}"
            );
            rig.scan(&[]);
            assert_eq!(sent(rig.latched(), bytes.len()), *bytes, "{name}");
        }
    });
}

/// A hundred at once exceed the current cap: group after group, and together all of them.
#[test]
fn golden_8_2_outputs_g_out_10_all_in_groups() {
    everywhere(|rig| {
        rig.power_on(on(100));
        rig.scan(&[]);
        rig.say(b"LEDALL\n");
        let mut seen = 0;
        for _ in 0..7 * 150 / 5 {
            rig.scan(&[]);
            let latched = rig.latched();
            assert!(latched.count_ones() <= 16, "{latched:x}");
            seen |= latched;
        }
        let mut all = vec![0xff; 13];
        all[0] = 0x0f;
        assert_eq!(sent(seen, 13), all);
    });
}

/// Bad input of the firmware's own kind: the chain is cut, the far end reads low.
#[test]
fn a_cut_chain_presses_nothing_and_heals() {
    everywhere(|rig| {
        rig.power_on(on(10));
        rig.scan(&[]);
        rig.cut(true);
        assert_eq!(hold(rig, &[7], 20), "");
        assert_eq!(text(rig.say(b"LEDSET 4\n")), "OK\n");
        rig.scan(&[7]);
        assert_eq!(lit(rig), [4], "LEDs and cable go on");
        rig.cut(false);
        assert_eq!(hold(rig, &[7], 4), "PRESS 007\n");
    });
}
