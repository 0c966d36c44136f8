//! Frames of a module host: a broken one ends the stream, whatever its length says, and costs no more than it holds.

use leitstand_fleet::module::frame::count_frames;

pub(crate) fn run(data: &[u8]) {
    let (requests, replies) = count_frames(data);
    // Each frame has a length in front.
    assert!(requests * 4 <= data.len() && replies * 4 <= data.len());
}
