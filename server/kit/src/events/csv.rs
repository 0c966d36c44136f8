//! The journal as CSV (RFC 4180, CRLF) that a spreadsheet cannot be tricked with.
//!
//! A text that a spreadsheet would take for a formula (it begins with `=`, `+`, `-`, `@`, tab or carriage return)
//! gets an apostrophe in front.

use super::Stored;

/// The first line.
pub const HEADER: &str =
    "seq,time_utc,unix_ms,synced,boot,mono_ms,service,severity,kind,text,actor,data,hash\r\n";

/// One line with its end.
#[must_use]
pub fn line(entry: &Stored) -> String {
    let time = jiff::Timestamp::from_millisecond(entry.unix_ms)
        .map_or_else(|_| String::new(), |t| t.to_string());
    let fields = [
        entry.seq.to_string(),
        time,
        // A time before 1970 begins with a minus; it is a number, and the only one that can.
        entry.unix_ms.to_string(),
        entry.synced.to_string(),
        text(&entry.boot),
        entry.mono_ms.to_string(),
        text(&entry.service),
        entry.severity.name().to_owned(),
        text(&entry.kind),
        text(&entry.text),
        text(entry.actor.as_deref().unwrap_or("")),
        text(&if entry.data.is_null() {
            String::new()
        } else {
            entry.data.to_string()
        }),
        entry.hash.clone(),
    ];
    fields.join(",") + "\r\n"
}

fn text(field: &str) -> String {
    let formula = field.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let safe = if formula {
        format!("'{field}")
    } else {
        field.to_owned()
    };
    if safe.contains(['"', ',', '\n', '\r', ';']) {
        format!("\"{}\"", safe.replace('"', "\"\""))
    } else {
        safe
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;
    use crate::Severity;

    fn entry(text: &str) -> Stored {
        Stored {
            seq: 7,
            boot: "b0".into(),
            mono_ms: 12,
            unix_ms: 1_767_225_600_123,
            synced: true,
            service: "gas".into(),
            kind: "AlarmRaised".into(),
            severity: Severity::Alarm,
            text: text.into(),
            actor: None,
            data: serde_json::json!({"value": 75}),
            hash: "ab".into(),
        }
    }

    #[test]
    fn a_line_quotes_what_needs_it() {
        expect![[r#"
            7,2026-01-01T00:00:00.123Z,1767225600123,true,b0,12,gas,alarm,AlarmRaised,"CO, ""ramp""
            75 ppm",,"{""value"":75}",ab
        "#]]
        .assert_eq(&line(&entry("CO, \"ramp\"\n75 ppm")).replace("\r\n", "\n"));
        assert_eq!(HEADER.split(',').count(), 13);
    }

    #[test]
    fn a_text_is_never_a_formula_in_a_spreadsheet() {
        for bad in [
            "=1+1",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "=HYPERLINK(\"http://x\")",
        ] {
            let field = line(&entry(bad));
            let field = field.split("AlarmRaised,").nth(1).unwrap_or_default();
            let first = field.trim_start_matches('"').chars().next();
            assert_eq!(first, Some('\''), "{bad:?} became {field:?}");
        }
    }
}
