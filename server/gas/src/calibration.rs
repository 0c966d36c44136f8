//! Zero and span of a cell with a person in the loop: shown first, written only when confirmed, read back.
//!
//! ```text
//!   ask -------> inhibit the cell, show registers old -> new -------> confirm -------> compare, write, read back
//!     no registers to write (analog, simulated): recorded at once        |  gas moved, too late: asked again
//! ```

use crate::errand::{self, ERRAND_PATIENCE, Errand, ErrandError};
use crate::facts::SERVICE;
use crate::hub::Hub;
use crate::records::{self, Record};
use leitstand_core::gas::calibrate::{self, COUNTS_MOVED_MAX, Objection, Point, RegisterChange};
use leitstand_core::gas::ra_gas::Calibration;
use leitstand_core::gas::{CellIndex, Command};
use leitstand_kit::access::Caller;
use leitstand_kit::api::Problem;
use leitstand_kit::{NewEvent, Severity};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use utoipa::ToSchema;

/// How long the cell is inhibited. Reasoning: gas on, settle, confirm, gas off, and the air clears.
const INHIBIT: Duration = Duration::from_secs(15 * 60);
/// How long an offer stands. Reasoning: it was read and the gas is still on.
const OFFER: Duration = Duration::from_secs(120);
/// The reading of the device must be at most this old.
const AGE_MAX: Duration = Duration::from_secs(10);

/// A register as the page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// Number of the register.
    pub register: u16,
    /// What the device holds.
    pub from: u16,
    /// What it shall hold.
    pub to: u16,
}

/// What a calibration came to.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum Outcome {
    /// Nothing was written yet. Send the same once more with `confirm`.
    Confirm {
        /// What to send.
        confirm: String,
        /// For how long it stands.
        expires_s: u64,
        /// What would be written.
        changes: Vec<Change>,
        /// The reading with the present calibration.
        as_found: Option<f64>,
        /// Converter counts now.
        adc: u16,
    },
    /// It is done, verified and recorded.
    Done {
        /// The record.
        record: Record,
    },
}

/// What a person wants.
pub(crate) struct Wanted {
    pub(crate) cell: CellIndex,
    pub(crate) point: Point,
    /// Gas applied, in the cell's unit.
    pub(crate) applied: f64,
    pub(crate) reason: String,
    pub(crate) confirm: Option<String>,
}

/// Shown, waiting for the second word.
struct Offer {
    token: String,
    point: Point,
    ppm: u16,
    adc: u16,
    as_found: Option<f64>,
    changes: Vec<RegisterChange>,
    before: Calibration,
    after: Calibration,
    until: Instant,
}

/// Offers by cell: a newer one replaces the older.
#[derive(Default)]
pub(crate) struct Offers(Mutex<HashMap<CellIndex, Offer>>);

impl Offers {
    fn put(&self, cell: CellIndex, offer: Offer) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(cell, offer);
    }

    /// An offer is good for one try.
    fn take(&self, wanted: &Wanted, token: &str) -> Option<Offer> {
        let mut offers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let offer = offers.remove(&wanted.cell)?;
        let same = offer.token == token
            && offer.point == wanted.point
            && f64::from(offer.ppm) == wanted.applied
            && Instant::now() < offer.until;
        same.then_some(offer)
    }
}

impl Hub {
    /// The first or the second step, by `wanted.confirm`.
    pub(crate) async fn calibrate(
        &self,
        wanted: Wanted,
        caller: &Caller,
    ) -> Result<Outcome, Problem> {
        match wanted.confirm.clone() {
            Some(token) => self.confirm(wanted, &token, caller).await,
            None => self.offer(wanted, caller).await,
        }
    }

    async fn offer(&self, wanted: Wanted, caller: &Caller) -> Result<Outcome, Problem> {
        let cell = wanted.cell;
        let Some(device) = self.writable(cell) else {
            self.set_aside(&wanted, caller).await?;
            let as_found = self.latest()?.cells[cell.at()].value;
            let data = self.data(&wanted, as_found, json!({}));
            let event = NewEvent::new(SERVICE, "CalibrationChecked");
            let text = self.sentence(&wanted, "was checked with");
            return self.record(event.text(text).data(data), caller).await;
        };
        let ppm = whole_ppm(wanted.applied)?;
        self.set_aside(&wanted, caller).await?;
        let (channel, as_found) = self.channel(cell)?;
        let number = self.site.cells[cell.at()].channel;
        let proposal =
            calibrate::propose(&channel, number, wanted.point, ppm).map_err(objection)?;
        if proposal.changes.is_empty() {
            return Err(Problem::conflict(
                "nothing_to_write",
                "the device holds this calibration already",
            ));
        }
        let changes: Vec<RegisterChange> = proposal.changes.iter().copied().collect();
        let token = self.token(&device, &changes);
        let answer = Outcome::Confirm {
            confirm: token.clone(),
            expires_s: OFFER.as_secs(),
            changes: changes.iter().map(shown).collect(),
            as_found,
            adc: channel.adc,
        };
        let offer = Offer {
            token,
            point: wanted.point,
            ppm,
            adc: channel.adc,
            as_found,
            changes,
            before: channel.calibration,
            after: proposal.after,
            until: Instant::now() + OFFER,
        };
        self.offers.put(cell, offer);
        Ok(answer)
    }

    async fn confirm(
        &self,
        wanted: Wanted,
        token: &str,
        caller: &Caller,
    ) -> Result<Outcome, Problem> {
        let cell = wanted.cell;
        let offer = self.offers.take(&wanted, token).ok_or_else(|| {
            Problem::conflict(
                "offer_expired",
                "this is not what was shown, or too long ago; ask again without `confirm`",
            )
        })?;
        let (channel, _) = self.channel(cell)?;
        if channel.adc.abs_diff(offer.adc) > COUNTS_MOVED_MAX {
            let detail = format!(
                "the converter moved from {} to {} counts since it was shown; let the gas settle and ask again",
                offer.adc, channel.adc
            );
            return Err(Problem::conflict("reading_moved", detail));
        }
        // It may have run out between the two words.
        self.set_aside(&wanted, caller).await?;
        let written = self.write(cell, offer.changes.clone()).await;
        let registers = json!({
            "changes": offer.changes.iter().map(shown).collect::<Vec<_>>(),
            "before": line(&offer.before),
            "after": line(&offer.after),
            "adc": offer.adc,
        });
        let data = self.data(&wanted, offer.as_found, registers);
        match written {
            Ok(()) => {
                // The new line is right from now on; when the reading with it has not come yet there is
                // nothing to confirm, and the warning that then comes is confirmed by hand.
                let what = Command::ConfirmCalibration(cell);
                let reason = Some(wanted.reason.clone());
                let _ = self.order(what, caller, reason, None).await;
                let text = self.sentence(&wanted, "was calibrated with");
                let event = NewEvent::new(SERVICE, "CellCalibrated");
                self.audit_calibration(caller, &wanted, &offer);
                self.record(event.text(text).data(data), caller).await
            }
            Err(error) => {
                let mut data = data;
                data["error"] = json!(error.to_string());
                let text = self.sentence(&wanted, "could not be calibrated with");
                let event = NewEvent::new(SERVICE, "CalibrationFailed").severity(Severity::Warning);
                self.record(event.text(text).data(data), caller).await?;
                Err(Problem::conflict("not_written", error.to_string()))
            }
        }
    }

    /// The bus and the position of the device of a cell whose calibration stands in registers.
    fn writable(&self, cell: CellIndex) -> Option<(usize, usize)> {
        let sensor = &self.site.sensors[self.site.cells[cell.at()].sensor];
        let (bus, device) = sensor.place?;
        let kind = &self.site.buses.get(bus.at())?.devices.get(device)?.kind;
        errand::is_writable(kind).then_some((bus.at(), device))
    }

    /// Inhibits the cell for the work, unless somebody did so for longer.
    async fn set_aside(&self, wanted: &Wanted, caller: &Caller) -> Result<(), Problem> {
        let overlay = self.latest()?.cells[wanted.cell.at()].overlay.clone();
        let long_enough = overlay.is_some_and(|o| o.until_s.is_none_or(|s| s >= INHIBIT.as_secs()));
        if long_enough {
            return Ok(());
        }
        let what = Command::Inhibit {
            cell: wanted.cell,
            span: INHIBIT,
        };
        let reason = format!("calibration ({}): {}", wanted.point.as_str(), wanted.reason);
        self.order(what, caller, Some(reason), None).await
    }

    /// What the device said last, while it is new.
    fn channel(
        &self,
        cell: CellIndex,
    ) -> Result<(leitstand_core::gas::ra_gas::Channel, Option<f64>), Problem> {
        let snapshot = self.latest()?;
        let view = &snapshot.cells[cell.at()];
        let calibration = view
            .calibration
            .filter(|c| Duration::from_millis(c.age_ms) <= AGE_MAX)
            .ok_or_else(|| {
                Problem::conflict("no_reading", "the sensor does not answer at the moment")
            })?;
        Ok((
            calibration.channel(),
            view.raw.filter(|_| view.value.is_some()),
        ))
    }

    async fn write(
        &self,
        cell: CellIndex,
        changes: Vec<RegisterChange>,
    ) -> Result<(), ErrandError> {
        let Some((bus, device)) = self.writable(cell) else {
            return Err(ErrandError::NoPlace);
        };
        let (reply, answer) = oneshot::channel();
        self.errands[bus].put(Errand {
            device,
            changes,
            reply,
        });
        // The bus thread keeps its own time; this is for one that died.
        match tokio::time::timeout(ERRAND_PATIENCE * 2, answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(ErrandError::Silent { written: 0 }),
        }
    }

    /// Names what was shown, so that a confirmation cannot mean anything else.
    fn token(&self, device: &(usize, usize), changes: &[RegisterChange]) -> String {
        let at = self.cx.clock.now().as_millis();
        leitstand_kit::api::etag(format!("{device:?} {changes:?} {at}").as_bytes())
            .trim_matches('"')
            .chars()
            .take(16)
            .collect()
    }

    fn data(&self, wanted: &Wanted, as_found: Option<f64>, registers: Value) -> Value {
        let info = &self.site.cells[wanted.cell.at()];
        let mut data = json!({
            "cell": info.id,
            "sensor": self.site.sensors[info.sensor].id,
            "gas": info.gas.as_str(),
            "unit": info.unit.as_str(),
            "point": wanted.point.as_str(),
            "applied": wanted.applied,
            "as_found": as_found,
            "reason": wanted.reason,
            "simulated": info.simulated.is_some(),
        });
        if let (Some(data), Value::Object(more)) = (data.as_object_mut(), registers) {
            data.extend(more);
        }
        data
    }

    fn sentence(&self, wanted: &Wanted, what: &str) -> String {
        let info = &self.site.cells[wanted.cell.at()];
        format!(
            "Cell {} {what} {} {} at its {} point",
            info.id,
            wanted.applied,
            info.unit.as_str(),
            wanted.point.as_str()
        )
    }

    fn audit_calibration(&self, caller: &Caller, wanted: &Wanted, offer: &Offer) {
        let id = &self.site.cells[wanted.cell.at()].id;
        let what = format!("cell.calibrate {id} {}", wanted.point.as_str());
        let (before, after) = (line(&offer.before), line(&offer.after));
        drop(self.cx.audit(SERVICE, caller, &what, before, after));
    }

    /// To the journal and into the records; answers what is listed from now on.
    async fn record(&self, event: NewEvent, caller: &Caller) -> Result<Outcome, Problem> {
        let unstored = || Problem::unavailable("not_stored", "it was done, but not recorded");
        let event = event.actor(caller.name.clone());
        let (kind, data) = (event.kind, event.data.clone());
        let receipt = self.cx.events.record(event).await.map_err(|_| unstored())?;
        let wall = self.cx.clock.wall();
        let filter = leitstand_kit::events::Filter {
            since: receipt.seq.checked_sub(1),
            until: Some(receipt.seq),
            ..Default::default()
        };
        // The follower would do it too, a moment later; who asked may list it at once.
        if let Ok(page) = self.cx.events.query(filter).await {
            let _ = records::keep(&self.cx.store, page.items).await;
        }
        Ok(Outcome::Done {
            record: Record {
                seq: receipt.seq,
                kind: kind.to_owned(),
                unix_ms: wall.unix_ms,
                synced: wall.synced,
                by: Some(caller.name.clone()),
                data,
            },
        })
    }
}

fn shown(change: &RegisterChange) -> Change {
    Change {
        register: change.register,
        from: change.from,
        to: change.to,
    }
}

fn line(calibration: &Calibration) -> Value {
    json!({
        "adc_zero": calibration.adc_zero,
        "adc_span": calibration.adc_span,
        "ppm_zero": calibration.ppm_zero,
        "ppm_span": calibration.ppm_span,
    })
}

/// The sensor's registers hold whole ppm.
fn whole_ppm(applied: f64) -> Result<u16, Problem> {
    let whole = applied.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&applied);
    if !whole {
        let detail = "the sensor keeps its gases in whole ppm, 0 to 65535";
        return Err(Problem::unprocessable("not_whole_ppm", detail));
    }
    Ok(applied as u16)
}

fn objection(objection: Objection) -> Problem {
    let detail = match objection {
        Objection::Rail => "the converter stands at its end: a broken wire or a dead cell",
        Objection::Order => "the span gas must be stronger than the zero gas",
        Objection::TooClose => {
            "zero and span would lie too close together; the sensor is worn out or the gas is wrong"
        }
        Objection::Turned => "zero and span gas seem to be mixed up: the line would turn round",
    };
    Problem::conflict(objection.code(), detail)
}
