//! Opening hours, levels outside of them, dimming when idle, and how the lit button is lit.
//!
//! Written the same in the configuration, where it is what a new gateway starts with, and over the API, where it is
//! changed and kept. Hours are those of the clock on the wall: the local time of the machine, summer time included.

use leitstand_kit::config::{Diagnostics, Path};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Minutes of a day.
const DAY: u16 = 24 * 60;
/// Spans of one day. Reasoning: a morning, an afternoon, an evening, and one to spare.
const SPANS_MAX: usize = 4;

/// When the panel is loud and bright, and when it is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Opening hours. Left out: always open.
    #[serde(default)]
    pub hours: Option<Hours>,
    /// Levels outside the opening hours.
    #[serde(default)]
    pub closed: Closed,
    /// Dims the LEDs when nothing has played for a while. Left out: never.
    #[serde(default)]
    pub dim: Option<Dim>,
    /// How the button is lit whose content plays.
    #[serde(default)]
    pub effect: Effect,
}

/// Opening hours by weekday, such as `["09:00-12:30", "14:00-18:00"]`. A day without any is closed all day; an end
/// before its beginning is on the next day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Hours {
    /// Monday.
    pub mon: Vec<String>,
    /// Tuesday.
    pub tue: Vec<String>,
    /// Wednesday.
    pub wed: Vec<String>,
    /// Thursday.
    pub thu: Vec<String>,
    /// Friday.
    pub fri: Vec<String>,
    /// Saturday.
    pub sat: Vec<String>,
    /// Sunday.
    pub sun: Vec<String>,
}

/// Levels outside the opening hours. They lower what is set and never raise it.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct Closed {
    /// Volume in percent.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    #[schema(maximum = 100)]
    pub volume: u8,
    /// Brightness of the LEDs in percent.
    #[serde(default)]
    #[schemars(range(min = 0, max = 100))]
    #[schema(maximum = 100)]
    pub brightness: u8,
}

/// Dimming when nothing plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Dim {
    /// After so many seconds without a play, 1 to 86400.
    #[schemars(range(min = 1, max = 86_400))]
    #[schema(minimum = 1, maximum = 86_400)]
    pub after_s: u32,
    /// To this brightness in percent.
    #[schemars(range(min = 0, max = 100))]
    #[schema(maximum = 100)]
    pub brightness: u8,
}

/// How the button is lit whose content plays.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Evenly.
    #[default]
    Steady,
    /// Half a second on, half a second off.
    Blink,
    /// Down to a fifth and up again in two seconds.
    Pulse,
}

/// A checked schedule.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// As it was written.
    pub written: ScheduleConfig,
    /// Monday first. `None`: always open.
    hours: Option<[Vec<Span>; 7]>,
    /// Levels outside of the hours.
    pub closed: Closed,
    /// Dimming when idle.
    pub dim: Option<Dim>,
    /// Of the lit button.
    pub effect: Effect,
}

/// From one minute of a day up to another, which may be one of the next day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    from: u16,
    to: u16,
}

/// The clock on the wall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LocalTime {
    /// 0 = Monday to 6 = Sunday.
    pub weekday: u8,
    /// Minutes since midnight, 0 to 1439.
    pub minute: u16,
}

/// What is wrong, and where: key below the schedule, code, sentence.
pub type Mistake = (Vec<String>, &'static str, String);

impl ScheduleConfig {
    /// The schedule, or everything that is wrong with it.
    ///
    /// # Errors
    /// All mistakes.
    pub fn check(&self) -> Result<Schedule, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut wrong = |key: &[&str], code, text: String| {
            let key = key.iter().map(|k| (*k).to_owned()).collect();
            mistakes.push((key, code, text));
        };
        let percent = |value: u8| value <= 100;
        if !percent(self.closed.volume) || !percent(self.closed.brightness) {
            let text = "levels are percentages, 0 to 100".into();
            wrong(&["closed"], "out_of_range", text);
        }
        if let Some(dim) = self.dim
            && !(percent(dim.brightness) && (1..=86_400).contains(&dim.after_s))
        {
            let text = "after_s is 1 to 86400 seconds, brightness 0 to 100 percent".into();
            wrong(&["dim"], "out_of_range", text);
        }
        let hours = self.hours.as_ref().map(|hours| {
            hours.days().map(|(day, texts)| {
                if texts.len() > SPANS_MAX {
                    let text = format!("a day has at most {SPANS_MAX} spans");
                    wrong(&["hours", day], "too_many_spans", text);
                }
                let mut spans = Vec::new();
                for text in texts {
                    match span(text) {
                        Some(span) => spans.push(span),
                        None => wrong(
                            &["hours", day],
                            "bad_hours",
                            format!("{text:?} is no span of time; write it as 09:00-17:30"),
                        ),
                    }
                }
                spans
            })
        });
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(Schedule {
            written: self.clone(),
            hours,
            closed: self.closed,
            dim: self.dim,
            effect: self.effect,
        })
    }

    /// The same for a configuration file, with `at` the place of the schedule in it.
    pub fn check_in(&self, at: &Path, diags: &mut Diagnostics) -> Option<Schedule> {
        match self.check() {
            Ok(schedule) => Some(schedule),
            Err(mistakes) => {
                for (key, code, text) in mistakes {
                    let at = key.iter().fold(at.clone(), |at, key| at.key(key));
                    diags.error(&at, code, text);
                }
                None
            }
        }
    }
}

impl Hours {
    fn days(&self) -> [(&'static str, &[String]); 7] {
        [
            ("mon", &self.mon),
            ("tue", &self.tue),
            ("wed", &self.wed),
            ("thu", &self.thu),
            ("fri", &self.fri),
            ("sat", &self.sat),
            ("sun", &self.sun),
        ]
    }
}

impl Schedule {
    /// Whether it is within the opening hours.
    #[must_use]
    pub fn is_open(&self, local: LocalTime) -> bool {
        let Some(hours) = &self.hours else {
            return true;
        };
        let of = |day: u8| hours.get(usize::from(day % 7)).into_iter().flatten();
        let minute = local.minute;
        // What began yesterday may last beyond midnight.
        let late = of(local.weekday + 6).any(|s| s.to < s.from && minute < s.to);
        late || of(local.weekday).any(|s| s.from <= minute && (minute < s.to || s.to < s.from))
    }
}

/// `HH:MM-HH:MM`, up to 24:00; beginning and end differ.
fn span(text: &str) -> Option<Span> {
    let (from, to) = text.split_once('-')?;
    let span = Span {
        from: minute(from.trim())?,
        to: minute(to.trim())?,
    };
    (span.from != span.to && span.from < DAY).then_some(span)
}

fn minute(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let number = |text: &str, most: u16| {
        let digits = text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
        text.parse::<u16>().ok().filter(|n| digits && *n <= most)
    };
    let at = number(hour, 24)? * 60 + number(minute, 59).filter(|_| minute.len() == 2)?;
    (at <= DAY).then_some(at)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn schedule(hours: &str) -> Schedule {
        let text = format!("[hours]\n{hours}");
        let config: ScheduleConfig = toml::from_str(&text).unwrap();
        config.check().unwrap()
    }

    fn at(weekday: u8, hour: u16, minute: u16) -> LocalTime {
        LocalTime {
            weekday,
            minute: hour * 60 + minute,
        }
    }

    #[test]
    fn a_week_with_a_lunch_break_and_a_long_friday() {
        let week = schedule(
            "tue = ['09:00-12:30', '14:00-18:00']\nfri = ['20:00-02:00']\nsun = ['0:00-24:00']",
        );
        for (time, open) in [
            (at(0, 10, 0), false),
            (at(1, 8, 59), false),
            (at(1, 9, 0), true),
            (at(1, 12, 29), true),
            (at(1, 12, 30), false),
            (at(1, 13, 59), false),
            (at(1, 17, 59), true),
            (at(1, 18, 0), false),
            (at(4, 19, 59), false),
            (at(4, 20, 0), true),
            (at(4, 23, 59), true),
            (at(5, 0, 0), true),
            (at(5, 1, 59), true),
            (at(5, 2, 0), false),
            (at(4, 1, 0), false),
            (at(6, 0, 0), true),
            (at(6, 23, 59), true),
            (at(0, 0, 0), false),
        ] {
            assert_eq!(week.is_open(time), open, "{time:?}");
        }
        assert!(Schedule::default().is_open(at(3, 3, 3)));
        // A night that begins on Sunday ends on Monday.
        assert!(schedule("sun = ['22:00-06:00']").is_open(at(0, 5, 59)));
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let hours = Hours {
            mon: vec!["9-17".into(), "09:00-17:00".into()],
            sun: vec!["25:00-26:00".into()],
            wed: vec!["10:00-10:00".into()],
            thu: vec!["1:00-2:00".into(); 5],
            ..Hours::default()
        };
        let config = ScheduleConfig {
            hours: Some(hours),
            closed: Closed {
                volume: 101,
                brightness: 0,
            },
            dim: Some(Dim {
                after_s: 0,
                brightness: 5,
            }),
            effect: Effect::Steady,
        };
        let found: Vec<(String, &str)> = config
            .check()
            .unwrap_err()
            .into_iter()
            .map(|(key, code, _)| (key.join("."), code))
            .collect();
        let expected = [
            ("closed", "out_of_range"),
            ("dim", "out_of_range"),
            ("hours.mon", "bad_hours"),
            ("hours.wed", "bad_hours"),
            ("hours.thu", "too_many_spans"),
            ("hours.sun", "bad_hours"),
        ];
        let expected: Vec<(String, &str)> = expected.map(|(k, c)| (k.to_owned(), c)).into();
        assert_eq!(found, expected);
        for bad in [
            "",
            "-",
            "09:00",
            "09:00-",
            "9:0-10:00",
            "+9:00-10:00",
            "24:00-25:00",
            "24:30-02:00",
            "24:00-02:00",
            "009:00-10:00",
        ] {
            assert_eq!(span(bad), None, "{bad}");
        }
    }
}
