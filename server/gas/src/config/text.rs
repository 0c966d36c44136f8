//! The sections of this service in a text, without the rest of the gateway.

use super::check;
use super::raw::{GasSection, PowerSection};
use crate::site::GasSite;
use leitstand_kit::config::{Diagnostics, Document};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

/// What this service knows of a file.
#[derive(Deserialize, JsonSchema)]
struct Sections {
    gas: GasSection,
    #[serde(default)]
    power: Option<PowerSection>,
}

/// Checks `[gas]` and `[power]` of a whole file; other services' sections are passed over. `file` is the name for
/// messages. There is a site when no error was found.
#[must_use]
pub fn check_text(text: &str, file: &str) -> (Option<Arc<GasSite>>, Diagnostics) {
    let document = Document::parse(&own_sections(text), file);
    let (raw, mut diags) = document.check::<Sections>();
    let site = raw.and_then(|raw| check(&raw.gas, raw.power.as_ref(), &mut diags));
    (site, diags)
}

/// Blanks the lines of other services' sections, so that lines keep their numbers and foreign keys are no errors.
fn own_sections(text: &str) -> String {
    let mut own = false;
    let mut kept = String::with_capacity(text.len());
    for line in text.lines() {
        let head = line.trim_start();
        if let Some(rest) = head.strip_prefix('[') {
            let name: String = rest
                .trim_start_matches(['[', ' ', '\t'])
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            // A line of an array of values may begin with a bracket too; no section's name begins with a digit.
            if name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                own = name == "gas" || name == "power";
            }
        }
        if own {
            kept.push_str(line);
        }
        kept.push('\n');
    }
    kept
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const GARAGE: &str = include_str!("../../../../tests/data/garage.toml");

    #[test]
    fn other_sections_are_passed_over_and_lines_keep_their_numbers() {
        let (site, diags) = check_text(GARAGE, "garage.toml");
        assert!(
            site.is_some() && diags.list().is_empty(),
            "{}",
            diags.report(false)
        );
        let text = format!("{}\n[panel]\nnonsense = 1\n[[gas.cells]]\nid = 7\n", GARAGE);
        let (site, diags) = check_text(&text, "garage.toml");
        assert!(site.is_none());
        let last = 1 + GARAGE.matches('\n').count() + 4;
        assert!(
            diags
                .list()
                .iter()
                .any(|d| d.line == last && d.key == "gas.cells[3].id"),
            "{}",
            diags.report(false)
        );
    }

    #[test]
    fn the_preset_fills_zones_without_set_points() {
        let start = GARAGE.find("  [[gas.zones.setpoints]]").unwrap();
        let end = GARAGE.find("[[gas.outputs]]").unwrap();
        let text = format!("{}{}", &GARAGE[..start], &GARAGE[end..]);
        let (site, diags) = check_text(&text, "garage.toml");
        let site = site.unwrap_or_else(|| panic!("{}", diags.report(false)));
        let ids: Vec<_> = site.set_points.iter().map(|s| s.alarm.as_str()).collect();
        let expected = [
            "garage.co_ap1",
            "garage.co_ap2",
            "garage.co_ap3",
            "garage.no2_ap1",
            "garage.no2_ap2",
            "garage.no2_ap3",
        ];
        assert_eq!(ids, expected);
        let (none, _) = check_text(
            &text.replace("production", "preset = \"none\"\nproduction"),
            "garage.toml",
        );
        assert!(
            none.is_none(),
            "a zone without set points would never alarm"
        );
    }

    #[test]
    fn a_site_as_large_as_it_gets_is_accepted_and_one_more_is_not() {
        let site = |cells: usize| {
            let mut text = String::from(
                "[gas]\nproduction = false\n[[gas.sensors]]\nid = \"s\"\nkind = \"simulated\"\nprofile = \"random\"\n",
            );
            for n in 0..cells {
                text += &format!(
                    "[[gas.sensors]]\nid = \"s{n}\"\nkind = \"simulated\"\nprofile = \"random\"\n\
                    [[gas.cells]]\nid = \"c{n}\"\nsensor = \"s{n}\"\ngas = \"co\"\nunit = \"ppm\"\nrange_hi = 300\n"
                );
            }
            let ids: Vec<String> = (0..cells).map(|n| format!("\"c{n}\"")).collect();
            text += &format!("[[gas.zones]]\nid = \"z\"\ncells = [{}]\n", ids.join(", "));
            check_text(&text, "t").0.is_some()
        };
        assert!(site(63));
        assert!(!site(65));
    }
}
