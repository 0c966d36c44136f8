//! The button panel: both ends of the cable, and playback.
