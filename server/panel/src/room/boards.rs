//! What a board did: presses to playback, everything else into the journal.

use leitstand_core::{
    panel::{
        link::{BoardEvent, BoardFault, OfflineCause, Protocol},
        playback::{self, BoardIndex},
    },
    time::Instant,
};
use leitstand_kit::{NewEvent, Severity};
use serde_json::json;

use super::{Output, Room};
use crate::{SERVICE, wire::ToClient};

impl Room {
    pub(super) fn board(&mut self, now: Instant, index: BoardIndex, event: BoardEvent) {
        let Some(board) = self.boards.get_mut(usize::from(index.0)) else {
            return;
        };
        let record = |kind, severity, text: String, data| {
            Output::Record(
                NewEvent::new(SERVICE, kind)
                    .severity(severity)
                    .text(text)
                    .data(data),
            )
        };
        let name = board.name.clone();
        match event {
            BoardEvent::Press(press) => self.feed(now, playback::Input::Press(index, press.id)),
            // Selection latches: letting go changes nothing (P6).
            BoardEvent::Release(_) => {}
            BoardEvent::Online(info) => {
                let again = board.info.replace(info).is_some();
                let protocol = match info.protocol {
                    Protocol::Text => "text",
                    Protocol::V2 => "v2",
                };
                let firmware = info.firmware.map(|[a, b, c]| format!("{a}.{b}.{c}"));
                let expected = board.buttons;
                if let Some(has) = info.buttons.filter(|has| *has != expected) {
                    self.outputs.push_back(record(
                        "PanelMismatched",
                        Severity::Warning,
                        format!("Panel {name} has {has} buttons, {expected} are configured"),
                        json!({ "panel": name, "buttons": has, "configured": expected }),
                    ));
                }
                if !again {
                    self.outputs.push_back(record(
                        "PanelOnline",
                        Severity::Info,
                        format!("Panel {name} is online"),
                        json!({ "panel": name, "protocol": protocol, "firmware": firmware }),
                    ));
                    self.presence(&name, true);
                }
                self.changed = true;
            }
            BoardEvent::Offline(cause) => {
                board.info = None;
                let cause = match cause {
                    OfflineCause::Closed => "closed",
                    OfflineCause::Silent => "silent",
                };
                self.outputs.push_back(record(
                    "PanelOffline",
                    Severity::Fault,
                    format!("Panel {name} is offline ({cause})"),
                    json!({ "panel": name, "cause": cause }),
                ));
                self.presence(&name, false);
                self.changed = true;
            }
            BoardEvent::Restarted => self.outputs.push_back(record(
                "PanelRestarted",
                Severity::Warning,
                format!("Panel {name} restarted"),
                json!({ "panel": name }),
            )),
            BoardEvent::Lost(count) => self.outputs.push_back(record(
                "ButtonEventsLost",
                Severity::Fault,
                format!("{count} button events of panel {name} were lost"),
                json!({ "panel": name, "count": count }),
            )),
            BoardEvent::Fault(BoardFault::Stuck(button)) => {
                let id = board.id_offset + u16::from(button.get());
                self.outputs.push_back(record(
                    "ButtonStuck",
                    Severity::Warning,
                    format!("Button {id} of panel {name} is stuck"),
                    json!({ "panel": name, "id": id }),
                ));
                self.changed = true;
            }
            BoardEvent::Fault(BoardFault::EventsDropped(count)) => {
                self.outputs.push_back(record(
                    "ButtonEventsLost",
                    Severity::Fault,
                    format!("Panel {name} dropped {count} button events"),
                    json!({ "panel": name, "count": count }),
                ));
            }
            BoardEvent::Fault(BoardFault::Other(code, argument)) => self.outputs.push_back(record(
                "PanelFaulted",
                Severity::Fault,
                format!("Panel {name} reports fault {code} ({argument})"),
                json!({ "panel": name, "code": code, "argument": argument }),
            )),
            BoardEvent::Status(_) | BoardEvent::Done(_) | BoardEvent::Failed(..) => {}
        }
    }

    fn presence(&mut self, name: &str, online: bool) {
        let frame = ToClient::Panel { name, online }.to_json();
        self.outputs.push_back(Output::Broadcast(vec![frame]));
    }
}
