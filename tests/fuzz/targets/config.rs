//! The configuration: any text gets an answer, and what is accepted can be started with.

use leitstand_core::gas::PlanError;

/// Longest input. Reasoning: a whole site is some 20 kB; mistakes need far less.
const BYTES_MAX: usize = 16 * 1024;

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if text.len() > BYTES_MAX {
        return;
    }
    let (site, diags) = leitstand_gas::config::check_text(text, "fuzz.toml");
    let lines = 1 + text.matches('\n').count();
    for diagnostic in diags.list() {
        // One more, for what is missing after the last line end.
        assert!(
            (1..=lines + 1).contains(&diagnostic.line) && diagnostic.column >= 1,
            "outside the file: {diagnostic:?}"
        );
        assert!(!diagnostic.message.is_empty());
    }
    let _ = diags.to_json().to_string();
    let _ = diags.report(false);
    assert_eq!(site.is_some(), !diags.has_errors(), "accepted or explained");
    if let Some(site) = site {
        let mut mistakes: Vec<PlanError> = Vec::new();
        site.plan.check(|mistake| mistakes.push(mistake));
        assert!(mistakes.is_empty(), "accepted with {mistakes:?}");
        for key in site.alarm_keys() {
            assert_eq!(
                site.alarm(&site.alarm_id(key)),
                Some(key),
                "alarm ids are unique"
            );
        }
        for bus in &site.buses {
            assert!(leitstand_gas::bus::plan(bus).is_ok() || bus.devices.is_empty());
        }
    }
    // The original system's file, whose conversion is checked like any other.
    let _ = leitstand_gas::import::xmz(text);
}
