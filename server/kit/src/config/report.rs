//! The report for people: the line, a pointer to the place, what is allowed, what was probably meant.

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteDiagnostic, NamedSource, Report,
    Severity,
};

use super::{Diagnostic, Level};

pub(super) fn write(list: &[Diagnostic], file: &str, text: &str, colour: bool) -> String {
    let theme = if colour {
        GraphicalTheme::unicode()
    } else {
        GraphicalTheme::unicode_nocolor()
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_context_lines(1)
        .with_links(false)
        .with_width(100);
    let mut out = String::new();
    for diagnostic in list {
        let report = Report::from(diagnostic.to_miette())
            .with_source_code(NamedSource::new(file, text.to_owned()));
        if handler.render_report(&mut out, report.as_ref()).is_err() {
            out.push_str(&format!(
                "{file}:{}:{}: {}\n",
                diagnostic.line, diagnostic.column, diagnostic.message
            ));
        }
        out.push('\n');
    }
    let count = |level, one: &str| match list.iter().filter(|d| d.severity == level).count() {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    };
    if !list.is_empty() {
        out.push_str(&format!(
            "{file}: {}, {}\n",
            count(Level::Error, "error"),
            count(Level::Warning, "warning")
        ));
    }
    out
}

impl Diagnostic {
    fn to_miette(&self) -> MietteDiagnostic {
        let severity = match self.severity {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
        };
        let help = match (&self.suggestion, &self.allowed) {
            (Some(meant), Some(allowed)) => {
                Some(format!("did you mean `{meant}`? Allowed: {allowed}"))
            }
            (Some(meant), None) => Some(format!("did you mean `{meant}`?")),
            (None, Some(allowed)) => Some(format!("allowed: {allowed}")),
            (None, None) => None,
        };
        let label = if self.key.is_empty() {
            "here"
        } else {
            &self.key
        };
        let diagnostic = MietteDiagnostic::new(self.message.clone())
            .with_severity(severity)
            .with_code(self.code.clone())
            .with_label(LabeledSpan::at(self.span.clone(), label));
        match help {
            Some(help) => diagnostic.with_help(help),
            None => diagnostic,
        }
    }
}
