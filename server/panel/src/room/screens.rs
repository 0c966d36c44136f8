//! What a screen is told when it comes, and what it says.

use std::{sync::Arc, time::Duration};

use leitstand_core::{
    panel::playback::{self, Client, ClientId, MediaId, Role},
    time::Instant,
};

use super::{Output, Room, Screen};
use crate::{
    settings::{ScreenRole, ScreenSettings, Screens},
    wire::{Current, FromClient, PanelPresence, ToClient},
};

impl Screen {
    /// The message with what this screen is set to.
    fn told(&self) -> String {
        let frame = ToClient::Screen {
            role: self.role,
            volume: self.volume,
            muted: self.muted,
        };
        frame.to_json()
    }

    /// Plays sound that others may hear too.
    pub(super) fn sounds(&self) -> bool {
        !self.locked && self.role != ScreenRole::ImageOnly
    }
}

impl Room {
    pub(super) fn join(&mut self, now: Instant, id: ClientId) {
        let playing = self.playback.playing();
        let hello = ToClient::Hello {
            server: "leitstand",
            version: env!("CARGO_PKG_VERSION"),
            panels: self
                .boards
                .iter()
                .map(|b| PanelPresence {
                    name: &b.name,
                    online: b.info.is_some(),
                    buttons: b.buttons,
                })
                .collect(),
            current: playing.map(|p| Current::new(p, self.begins, now)),
            media_rev: self.media.rev(),
            num_media: self.playback.config().media.get(),
            volume: self.ambience.effective().0,
            now_ms: now.as_millis(),
        };
        let mut frames = vec![hello.to_json()];
        frames.extend(playing.map(|p| self.play(p, now)));
        self.outputs.push_back(Output::Send(id, frames));
        let screen = Screen {
            ready: true,
            volume: 100,
            ..Screen::default()
        };
        self.screens.insert(id, screen);
        self.screens_changed(now, id);
    }

    pub(super) fn screens_changed(&mut self, now: Instant, id: ClientId) {
        self.shown = self.screens.values().cloned().collect();
        self.changed = true;
        let input = match self.screens.get(&id) {
            Some(screen) => playback::Input::Client(
                id,
                Client {
                    // A picture without sound has nothing to unlock.
                    locked: screen.locked && screen.role != ScreenRole::ImageOnly,
                    ready: screen.ready,
                    role: match screen.role {
                        ScreenRole::Auto => Role::Plain,
                        ScreenRole::Primary => Role::Primary,
                        ScreenRole::Mirror => Role::Mirror,
                        ScreenRole::ImageOnly => Role::ImageOnly,
                    },
                },
            ),
            None => playback::Input::ClientGone(id),
        };
        self.feed(now, input);
    }

    pub(super) fn said(&mut self, now: Instant, id: ClientId, message: FromClient) {
        let Some(screen) = self.screens.get_mut(&id) else {
            return;
        };
        match message {
            FromClient::Hello {
                screen: name,
                caps,
                locked,
                panel,
                role,
            } => {
                // Said again with another `locked` after the click; what is loaded stays loaded.
                let ready = screen.preloaded != (0, 0);
                let preloaded = screen.preloaded;
                let stored = self.settings.get(&name).copied().unwrap_or_default();
                let named = self.primary.as_ref() == Some(&name);
                *screen = Screen {
                    role: stored.role_of(role, named),
                    said_role: role,
                    volume: stored.volume,
                    muted: stored.muted,
                    name,
                    caps,
                    panel,
                    locked,
                    ready,
                    preloaded,
                };
                let told = screen.told();
                self.outputs.push_back(Output::Send(id, vec![told]));
                self.screens_changed(now, id);
            }
            FromClient::Ready { preloaded, total } => {
                screen.ready = true;
                screen.preloaded = (preloaded, total.max(1));
                self.screens_changed(now, id);
            }
            FromClient::Started {
                seq, latency_ms, ..
            } => {
                let playing = self.playback.playing().map(|p| p.seq);
                // Only of the running play: an old one was measured against another press.
                if let (Some(seq), Some(latency_ms)) =
                    (seq.filter(|s| Some(*s) == playing), latency_ms)
                {
                    self.outputs.push_back(Output::Started(seq, latency_ms));
                }
            }
            FromClient::Ended { id: media, seq } => {
                let input = playback::Input::Ended {
                    client: id,
                    id: media,
                    seq,
                };
                self.feed(now, input);
            }
            FromClient::Failed {
                id: media,
                seq,
                reason,
            } => {
                tracing::warn!(
                    id = media,
                    screen = screen.name,
                    reason,
                    "a screen cannot play"
                );
                let input = playback::Input::Error {
                    client: id,
                    id: media,
                    seq,
                };
                self.feed(now, input);
            }
            FromClient::MediaInfo {
                id: media,
                duration_ms,
            } => {
                // What the server read from the file itself is better than what a browser says.
                let known = self
                    .media
                    .item(media)
                    .and_then(|i| i.duration_ms())
                    .is_some();
                if duration_ms > 0
                    && !known
                    && self.told.insert(media, duration_ms.into()).is_none()
                    && let Some(media) = MediaId::new(media)
                    && !self.media.item(media.get()).is_some_and(|i| i.looped)
                {
                    let length = Duration::from_millis(duration_ms.into());
                    self.feed(now, playback::Input::Duration(media, length));
                }
            }
            FromClient::Press { id: media } => self.feed(now, playback::Input::Play(media)),
            FromClient::Ping { .. } => {}
        }
    }

    /// Somebody set what screens are for, and how loud each is. Only those that differ are told.
    pub(super) fn screens_set(&mut self, now: Instant, settings: Arc<Screens>) {
        self.settings = settings;
        let mut changed = Vec::new();
        for (id, screen) in &mut self.screens {
            let stored = self.settings.get(&screen.name).copied().unwrap_or_default();
            let ScreenSettings { volume, muted, .. } = stored;
            let named = self.primary.as_ref() == Some(&screen.name);
            let role = stored.role_of(screen.said_role, named);
            if (role, volume, muted) == (screen.role, screen.volume, screen.muted) {
                continue;
            }
            (screen.role, screen.volume, screen.muted) = (role, volume, muted);
            let told = screen.told();
            self.outputs.push_back(Output::Send(*id, vec![told]));
            changed.push(*id);
        }
        for id in changed {
            self.screens_changed(now, id);
        }
        self.changed = true;
    }
}
