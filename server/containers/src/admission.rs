//! Who gets a place: a global number, a number for each access token, and starts per minute. Pure; the lock around
//! it makes test and taking one step, which is what the original lacks.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use leitstand_core::time::{Duration, Instant};

/// Number of an access token; `None` = without one.
pub type Owner = Option<i64>;

/// Why there is no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// All places are taken.
    Full,
    /// All places of this token are taken.
    Quota,
    /// This token starts too often.
    Rate,
}

/// Limits of a [`Pool`].
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Places.
    pub places: u32,
    /// Places of one token.
    pub per_owner: Option<u32>,
    /// Starts of one token in a minute.
    pub starts_per_minute: Option<u32>,
}

/// The places. Every successful [`admit`](Self::admit) needs exactly one [`release`](Self::release).
#[derive(Debug)]
pub struct Pool {
    limits: Limits,
    taken: u32,
    owners: HashMap<i64, Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    places: u32,
    starts: VecDeque<Instant>,
}

const MINUTE: Duration = Duration::from_secs(60);

impl Pool {
    /// All places free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            taken: 0,
            owners: HashMap::new(),
        }
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Why not; nothing was taken then.
    pub fn admit(&mut self, now: Instant, owner: Owner) -> Result<(), Refusal> {
        if self.taken >= self.limits.places {
            return Err(Refusal::Full);
        }
        if let Some(owner) = owner {
            let of = self.owners.entry(owner).or_default();
            if self.limits.per_owner.is_some_and(|most| of.places >= most) {
                return Err(Refusal::Quota);
            }
            if let Some(most) = self.limits.starts_per_minute {
                while of.starts.front().is_some_and(|at| now - *at >= MINUTE) {
                    of.starts.pop_front();
                }
                if of.starts.len() >= most as usize {
                    return Err(Refusal::Rate);
                }
                of.starts.push_back(now);
            }
            of.places += 1;
        }
        self.taken += 1;
        Ok(())
    }

    /// Gives a place back.
    pub fn release(&mut self, owner: Owner) {
        debug_assert!(self.taken > 0, "a place is given back once");
        self.taken = self.taken.saturating_sub(1);
        if let Some(owner) = owner
            && let Some(of) = self.owners.get_mut(&owner)
        {
            of.places = of.places.saturating_sub(1);
            // With a rate limit the starts must be remembered; they are few and the token is known.
            if of.places == 0 && of.starts.is_empty() {
                self.owners.remove(&owner);
            }
        }
    }

    /// Free places.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.limits.places - self.taken
    }

    /// Taken places.
    #[must_use]
    pub fn taken(&self) -> u32 {
        self.taken
    }
}

/// A [`Pool`] for many tasks.
#[derive(Clone)]
pub struct Places(Arc<Mutex<Pool>>);

/// A place; given back when dropped, however its holder ends.
pub struct Permit {
    places: Places,
    owner: Owner,
}

impl Places {
    /// All places free.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Pool::new(limits))))
    }

    /// Takes a place.
    ///
    /// # Errors
    /// Why not.
    pub fn admit(&self, now: Instant, owner: Owner) -> Result<Permit, Refusal> {
        self.lock().admit(now, owner)?;
        Ok(Permit {
            places: self.clone(),
            owner,
        })
    }

    /// Free places.
    #[must_use]
    pub fn available(&self) -> u32 {
        self.lock().available()
    }

    fn lock(&self) -> MutexGuard<'_, Pool> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.places.lock().release(self.owner);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use proptest::prelude::*;

    fn limits(places: u32) -> Limits {
        Limits {
            places,
            per_owner: Some(2),
            starts_per_minute: Some(3),
        }
    }

    #[test]
    fn a_token_has_its_own_places_and_starts() {
        let mut pool = Pool::new(limits(10));
        let t = Instant::from_secs;
        assert_eq!(pool.admit(t(0), Some(1)), Ok(()));
        assert_eq!(pool.admit(t(0), Some(1)), Ok(()));
        assert_eq!(pool.admit(t(0), Some(1)), Err(Refusal::Quota));
        pool.release(Some(1));
        assert_eq!(pool.admit(t(1), Some(1)), Ok(()));
        pool.release(Some(1));
        assert_eq!(pool.admit(t(59), Some(1)), Err(Refusal::Rate));
        assert_eq!(pool.admit(t(60), Some(1)), Ok(()));
        assert_eq!(pool.admit(t(60), None), Ok(()), "others are not concerned");
        assert_eq!(pool.available(), 7);
    }

    #[test]
    fn a_permit_comes_back_however_its_holder_ends() {
        let places = Places::new(limits(1));
        let permit = places.admit(Instant::ZERO, None).unwrap();
        assert_eq!(places.admit(Instant::ZERO, None).err(), Some(Refusal::Full));
        let ended = std::thread::spawn(move || {
            let _held = permit;
            panic!("the holder's end");
        });
        assert!(ended.join().is_err());
        assert_eq!(places.available(), 1);
    }

    proptest! {
        /// Whatever is asked for in whatever order: what is taken is what was given, and never more than there is.
        #[test]
        fn permits_never_leak(steps in prop::collection::vec((0u8..4, 0i64..3, any::<bool>()), 0..400)) {
            let mut pool = Pool::new(limits(3));
            let mut held: Vec<Owner> = Vec::new();
            let mut now = Instant::ZERO;
            for (pass, owner, take) in steps {
                now += Duration::from_secs(u64::from(pass) * 5);
                let owner = (owner > 0).then_some(owner);
                if take {
                    if pool.admit(now, owner).is_ok() {
                        held.push(owner);
                    }
                } else if let Some(owner) = held.pop() {
                    pool.release(owner);
                }
                prop_assert_eq!(pool.taken() as usize, held.len());
                prop_assert_eq!(pool.available() + pool.taken(), 3);
                for one in 1..3 {
                    prop_assert!(held.iter().filter(|o| **o == Some(one)).count() <= 2);
                }
            }
            for owner in held {
                pool.release(owner);
            }
            prop_assert_eq!(pool.available(), 3);
        }
    }
}
