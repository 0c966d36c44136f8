//! "Did you mean": the candidate that was probably meant.

/// The candidate nearest to `given`, when one is near enough. Spelling without regard to case, `-` and `_`, a
/// beginning of at least three letters, or few typing mistakes (insertions, deletions, changes, swaps): one in
/// short words, up to a third of the letters in long ones.
pub(super) fn nearest<'a>(
    given: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let wanted = plain(given);
    let scored = candidates
        .into_iter()
        .filter(|candidate| *candidate != given)
        .filter_map(|candidate| {
            let plain = plain(candidate);
            let mistakes = strsim::damerau_levenshtein(&wanted, &plain);
            let length = wanted.chars().count().max(plain.chars().count());
            let near = mistakes <= (length / 3).max(1);
            let begins = wanted.len() >= 3
                && (plain.starts_with(&wanted) || wanted.starts_with(&plain) && plain.len() >= 3);
            let alike = strsim::jaro_winkler(&wanted, &plain);
            // Few mistakes beat a common beginning, which only helps where nothing is near.
            let score = match (near, begins) {
                (true, _) => mistakes as f64 - alike,
                (false, true) => 100.0 - alike,
                (false, false) => return None,
            };
            Some((score, candidate))
        });
    scored
        .min_by(|(a, _), (b, _)| a.total_cmp(b))
        .map(|(_, candidate)| candidate)
}

fn plain(text: &str) -> String {
    text.to_lowercase()
        .chars()
        .filter(|c| !matches!(c, '-' | '_' | ' '))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_that_was_meant_is_found() {
        let keys = [
            "address",
            "baud",
            "device",
            "id",
            "kind",
            "hysteresis",
            "on",
            "off_delay_s",
            "on_delay_s",
            "scan_s",
            "zones",
            "range_lo",
            "range_hi",
        ];
        for (given, meant) in [
            ("adress", Some("address")),
            ("addres", Some("address")),
            ("baudrate", Some("baud")),
            ("Device", Some("device")),
            ("ondelays", Some("on_delay_s")),
            ("on-delay-s", Some("on_delay_s")),
            ("on_delay", Some("on_delay_s")),
            ("of_delay_s", Some("off_delay_s")),
            ("hyst", Some("hysteresis")),
            ("knid", Some("kind")),
            ("zone", Some("zones")),
            ("range_low", Some("range_lo")),
            ("rnage_hi", Some("range_hi")),
            ("ids", Some("id")),
            ("colour", None),
            ("x", None),
        ] {
            assert_eq!(nearest(given, keys), meant, "{given}");
        }
    }
}
