//! A station on the heap.

use leitstand_core::gas::{SitePlan, SiteStation};
use leitstand_core::time::Instant;

/// Stack to build a station on. Reasoning: a site's station is some 600 kB and an unoptimised build may copy it
/// several times on its way into the box.
const STACK_BYTES: usize = 16 << 20;

/// Builds a station of `plan` that starts at `now`, whatever stack the caller has.
///
/// # Panics
/// When the system gives no thread at start; nothing can run then.
#[must_use]
pub fn boxed(plan: &SitePlan, now: Instant) -> Box<SiteStation> {
    std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
        builder
            .spawn_scoped(scope, || Box::new(SiteStation::new(plan, now)))
            .expect("a thread to build the station on")
            .join()
            .expect("building a station does not panic on a checked plan")
    })
}
