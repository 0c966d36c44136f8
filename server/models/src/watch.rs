//! Watches: a sensor, a model that learns it, and an event when a value is unlike what was learned.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use leitstand_core::online::{Any, OnlineModel as _};
use leitstand_kit::{Context, NewEvent, Severity};
use serde::Serialize;
use serde_json::json;

use crate::{
    SERVICE, builtin,
    config::WatchSettings,
    engine::{Answer, Request},
    service::Models,
};

/// Points of a chart.
pub const POINTS_MAX: usize = 300;
/// How often what was learned is stored. Reasoning: 288 writes a day are nothing to an SD card, and a power cut
/// costs five minutes of learning.
const STORE_EVERY: Duration = Duration::from_secs(300);
/// Samples inside the limit that end an anomaly: one that hovers at the limit is one event, not many.
const CALM: u32 = 10;

/// One sample as a chart shows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct Point {
    /// The sample; `null` while the sensor has no trustworthy value.
    pub value: Option<f64>,
    /// The model's output after it.
    pub expected: Option<f64>,
    /// Sigmas.
    pub score: Option<f64>,
}

/// A watch as pages and programs see it.
#[derive(Clone, Debug, PartialEq, Serialize, utoipa::ToSchema)]
pub struct WatchState {
    /// What is watched.
    pub tag: String,
    /// By which built-in model.
    pub model: &'static str,
    /// Number of the stored model, once there is one.
    pub instance_id: Option<u64>,
    /// Whether the value is unlike what was learned.
    pub anomalous: bool,
    /// The newest point.
    pub latest: Option<Point>,
    /// Seconds between two points.
    pub every_s: u32,
    /// The last points, oldest first.
    pub points: Vec<Point>,
}

/// Tag, number, type and bytes of what a watch learned.
type Learned = (String, Option<u64>, String, Option<Arc<[u8]>>);

struct Watch {
    settings: WatchSettings,
    model: Any,
    instance_id: Option<u64>,
    anomalous: bool,
    calm: u32,
    sum: f64,
    count: u32,
    ticks: u32,
    points: VecDeque<Point>,
}

/// All watches of a site.
pub(crate) struct Watches(Vec<Watch>);

/// What a sample led to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    Detected {
        tag: String,
        value: f64,
        score: Option<f64>,
    },
    Ended {
        tag: String,
    },
}

impl Watches {
    pub(crate) fn new(settings: &[WatchSettings]) -> Self {
        let watch = |settings: &WatchSettings| Watch {
            settings: settings.clone(),
            model: settings.model.clone(),
            instance_id: None,
            anomalous: false,
            calm: 0,
            sum: 0.0,
            count: 0,
            ticks: 0,
            points: VecDeque::new(),
        };
        Self(settings.iter().map(watch).collect())
    }

    pub(crate) fn states(&self) -> Vec<WatchState> {
        let state = |watch: &Watch| WatchState {
            tag: watch.settings.tag.clone(),
            model: watch.model.kind().name(),
            instance_id: watch.instance_id,
            anomalous: watch.anomalous,
            latest: watch.points.back().copied(),
            every_s: watch.settings.every_s,
            points: watch.points.iter().copied().collect(),
        };
        self.0.iter().map(state).collect()
    }

    /// One second of the site.
    fn sample(&mut self, values: &[(String, Option<f64>)]) -> Vec<Finding> {
        let mut findings = Vec::new();
        for watch in &mut self.0 {
            let found = values.iter().find(|(tag, _)| *tag == watch.settings.tag);
            findings.extend(watch.take(found.and_then(|(_, value)| *value)));
        }
        findings
    }
}

impl Watch {
    fn take(&mut self, value: Option<f64>) -> Option<Finding> {
        if let Some(value) = value {
            self.sum += value;
            self.count += 1;
        }
        self.ticks += 1;
        if self.ticks < self.settings.every_s {
            return None;
        }
        let mean = (self.count > 0).then(|| self.sum / f64::from(self.count));
        (self.ticks, self.sum, self.count) = (0, 0.0, 0);
        let mut point = Point {
            value: mean,
            expected: None,
            score: None,
        };
        let mut finding = None;
        // A silent sensor is a fault of the gas service, not a value for a model.
        if let Some(mean) = mean
            && let Ok(score) = self.model.update(mean)
        {
            point.expected = Some(score.value);
            point.score = score.sigmas;
            self.calm = if score.anomalous {
                0
            } else {
                self.calm.saturating_add(1)
            };
            let tag = self.settings.tag.clone();
            if score.anomalous && !self.anomalous {
                self.anomalous = true;
                finding = Some(Finding::Detected {
                    tag,
                    value: mean,
                    score: score.sigmas,
                });
            } else if self.anomalous && self.calm >= CALM {
                self.anomalous = false;
                finding = Some(Finding::Ended { tag });
            }
        }
        if self.points.len() == POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
        finding
    }
}

/// Samples the site once a second, as long as the service runs.
pub(crate) async fn run(models: Models, cx: Context) {
    adopt(&models).await;
    let mut second = tokio::time::interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut stored = tokio::time::Instant::now();
    loop {
        second.tick().await;
        let values = models.recorder().sample();
        for finding in models.with_watches(|watches| watches.sample(&values)) {
            tell(&cx, &finding);
        }
        if stored.elapsed() >= STORE_EVERY {
            stored = tokio::time::Instant::now();
            store(&models).await;
        }
    }
}

fn tell(cx: &Context, finding: &Finding) {
    let event = match finding {
        Finding::Detected { tag, value, score } => NewEvent::new(SERVICE, "AnomalyDetected")
            .severity(Severity::Warning)
            .text(format!("{tag} is unlike what was learned: {value:.1}"))
            .data(json!({"tag": tag, "value": value, "score": score})),
        Finding::Ended { tag } => NewEvent::new(SERVICE, "AnomalyEnded")
            .text(format!("{tag} is as learned again"))
            .data(json!({"tag": tag})),
    };
    drop(cx.events.record(event));
}

/// Continues with what was stored under the alias of each watch.
async fn adopt(models: &Models) {
    for state in models.watches() {
        let Some(id) = models.find(&alias(&state.tag)) else {
            continue;
        };
        let Some((_, bytes)) = models.model(id).await else {
            continue;
        };
        if let Ok(model) = Any::import(&bytes)
            && model.kind().name() == state.model
        {
            models.with_watches(|watches| {
                if let Some(watch) = watches
                    .0
                    .iter_mut()
                    .find(|watch| watch.settings.tag == state.tag)
                {
                    watch.model = model;
                    watch.instance_id = Some(id);
                }
            });
        }
    }
}

/// Stores what was learned as a version of the watch's model.
pub(crate) async fn store(models: &Models) {
    let learned: Vec<Learned> = models.with_watches(|watches| {
        let learned = watches.0.iter().map(|watch| {
            let model_type = format!("builtin.{}", watch.model.kind().name());
            let bytes = builtin::export(&watch.model).ok();
            (
                watch.settings.tag.clone(),
                watch.instance_id,
                model_type,
                bytes,
            )
        });
        learned.collect()
    });
    for (tag, id, model_type, bytes) in learned {
        let Some(bytes) = bytes else { continue };
        let request = match id {
            Some(id) => Request::Update {
                id,
                model_type,
                bytes,
            },
            None => Request::Add { model_type, bytes },
        };
        match models.call("watch", request).await {
            Ok(Answer::Model { id: new, .. }) if id.is_none() => {
                let _ = models.set_alias(&alias(&tag), Some(new)).await;
                models.with_watches(|watches| {
                    if let Some(watch) =
                        watches.0.iter_mut().find(|watch| watch.settings.tag == tag)
                    {
                        watch.instance_id = Some(new);
                    }
                });
            }
            Ok(_) => {}
            Err(error) => tracing::warn!(tag, %error, "what a watch learned was not stored"),
        }
    }
}

fn alias(tag: &str) -> String {
    format!("watch.{tag}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use leitstand_core::online::Kind;

    use super::*;

    fn watches(every_s: u32) -> Watches {
        let model = Any::new(Kind::Cusum, &[]).unwrap();
        Watches::new(&[WatchSettings {
            tag: "co".into(),
            model,
            every_s,
        }])
    }

    fn noise(i: u32) -> f64 {
        10.0 + f64::from(i.wrapping_mul(2_654_435_761) >> 24) / 100.0
    }

    #[test]
    fn a_drift_is_found_once_long_before_a_threshold_and_its_end_too() {
        let mut watches = watches(1);
        let mut findings = Vec::new();
        for i in 0..200 {
            findings.extend(watches.sample(&[("co".into(), Some(noise(i)))]));
        }
        assert_eq!(findings, [], "normal operation");
        let mut last = 0.0;
        for i in 0..300 {
            last = noise(i) + f64::from(i) * 0.05;
            findings.extend(watches.sample(&[("co".into(), Some(last))]));
            if !findings.is_empty() {
                break;
            }
        }
        assert!(
            matches!(&findings[..], [Finding::Detected { .. }]),
            "{findings:?}"
        );
        assert!(last < 20.0, "found at {last}, far below a threshold of 30");
        for i in 0..500 {
            findings.extend(watches.sample(&[("co".into(), Some(noise(i)))]));
        }
        assert_eq!(findings.len(), 2, "{findings:?}");
        assert_eq!(findings[1], Finding::Ended { tag: "co".into() });
    }

    #[test]
    fn silence_is_shown_and_never_learned() {
        let mut watches = watches(2);
        for value in [Some(1.0), Some(3.0), None, None] {
            watches.sample(&[("co".into(), value)]);
        }
        let points = &watches.states()[0].points;
        assert_eq!(
            (points[0].value, points[1].value, points.len()),
            (Some(2.0), None, 2)
        );
    }
}
