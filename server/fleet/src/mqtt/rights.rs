//! Who may use which topic of the embedded broker.
//!
//! On loopback everybody may do everything (`decisions.md` 49). Off loopback a vehicle's client id must be
//! `company/car`, it must prove to be that car by its certificate's common name or by its password, and it gets the
//! topics of that car alone. A last will goes past the broker's check of publications, so it is judged at the door.

use std::{
    collections::BTreeMap,
    sync::{Arc, PoisonError, RwLock},
};

use crate::name::{CarName, Way};

/// What a client shows at the door.
#[derive(Clone, Copy, Debug, Default)]
pub struct Visitor<'a> {
    /// MQTT client id.
    pub client_id: &'a str,
    /// User and password.
    pub login: Option<(&'a str, &'a [u8])>,
    /// Common name of a certificate that the broker verified.
    pub certificate: Option<&'a str>,
    /// Topic of its last will.
    pub will: Option<&'a str>,
}

/// Why a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TurnedAway {
    /// Its id is not `company/car` of a known car.
    UnknownCar,
    /// Neither certificate nor password prove that it is that car.
    NoProof,
    /// Its last will is for a topic that it may not publish to.
    Will,
}

/// The cars that may connect, with their passwords. Cheap to clone.
#[derive(Clone, Default)]
pub struct Rights(Arc<RwLock<BTreeMap<CarName, Option<String>>>>);

impl Rights {
    /// Lets `car` in; with a password, or by certificate only.
    pub fn allow(&self, car: CarName, password: Option<String>) {
        let mut cars = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cars.insert(car, password);
    }

    /// Lets it in no more.
    pub fn forget(&self, car: &CarName) {
        let mut cars = self.0.write().unwrap_or_else(PoisonError::into_inner);
        cars.remove(car);
    }

    /// Judges a client off loopback.
    ///
    /// # Errors
    /// See [`TurnedAway`].
    pub fn enter(&self, visitor: &Visitor<'_>) -> Result<CarName, TurnedAway> {
        let car = CarName::parse(visitor.client_id).ok_or(TurnedAway::UnknownCar)?;
        let cars = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let password = cars.get(&car).ok_or(TurnedAway::UnknownCar)?;
        let by_certificate = visitor.certificate == Some(visitor.client_id);
        let by_password = match (password, visitor.login) {
            (Some(ours), Some((user, theirs))) => {
                user == visitor.client_id && same(ours.as_bytes(), theirs)
            }
            _ => false,
        };
        if !by_certificate && !by_password {
            return Err(TurnedAway::NoProof);
        }
        if visitor
            .will
            .is_some_and(|topic| !may_publish(visitor.client_id, topic))
        {
            return Err(TurnedAway::Will);
        }
        Ok(car)
    }
}

/// Whether the client may publish to `topic`.
#[must_use]
pub fn may_publish(client_id: &str, topic: &str) -> bool {
    CarName::parse(client_id).is_some_and(|car| topic == car.topic(Way::ToServer))
}

/// Whether the client may subscribe to `filter`; wildcards are nobody's.
#[must_use]
pub fn may_subscribe(client_id: &str, filter: &str) -> bool {
    let ways = [Way::ToCar, Way::Hint, Way::Presence];
    CarName::parse(client_id).is_some_and(|car| ways.iter().any(|way| filter == car.topic(*way)))
}

/// Compares without telling by its duration where the first difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn rights() -> Rights {
        let rights = Rights::default();
        rights.allow(CarName::parse("acme/a").unwrap(), Some("secret".into()));
        rights.allow(CarName::parse("acme/b").unwrap(), None);
        rights
    }

    #[test]
    fn a_car_enters_by_password_or_certificate() {
        let rights = rights();
        let a = Visitor {
            client_id: "acme/a",
            ..Visitor::default()
        };
        let enter = |v: Visitor<'_>| rights.enter(&v).map(|car| car.to_string());
        let login = |user, password| Visitor {
            login: Some((user, password)),
            ..a
        };
        assert_eq!(enter(login("acme/a", b"secret")), Ok("acme/a".into()));
        assert_eq!(enter(login("acme/a", b"guess!")), Err(TurnedAway::NoProof));
        assert_eq!(enter(login("acme/b", b"secret")), Err(TurnedAway::NoProof));
        assert_eq!(enter(a), Err(TurnedAway::NoProof));
        let certificate = |client_id, name| Visitor {
            client_id,
            certificate: Some(name),
            ..Visitor::default()
        };
        assert_eq!(enter(certificate("acme/b", "acme/b")), Ok("acme/b".into()));
        assert_eq!(
            enter(certificate("acme/b", "acme/a")),
            Err(TurnedAway::NoProof),
            "a right certificate under another car's id"
        );
        for hostile in ["", "acme", "acme/c", "acme/a/b", "+/a", "acme/#", "$SYS/a"] {
            let refused = enter(certificate(hostile, hostile));
            assert_eq!(refused, Err(TurnedAway::UnknownCar), "{hostile}");
        }
        rights.forget(&CarName::parse("acme/b").unwrap());
        assert!(enter(certificate("acme/b", "acme/b")).is_err());
    }

    #[test]
    fn a_last_will_is_judged_at_the_door() {
        let visitor = |will| Visitor {
            client_id: "acme/a",
            login: Some(("acme/a", b"secret")),
            will: Some(will),
            ..Visitor::default()
        };
        let rights = rights();
        assert!(rights.enter(&visitor("acme/a/module_gateway")).is_ok());
        let refused = rights.enter(&visitor("acme/b/external_server"));
        assert_eq!(refused, Err(TurnedAway::Will));
    }

    #[test]
    fn each_car_has_its_own_topics_and_no_wildcard() {
        assert!(may_publish("acme/a", "acme/a/module_gateway"));
        assert!(may_subscribe("acme/a", "acme/a/external_server"));
        assert!(may_subscribe("acme/a", "acme/a/external_server_disconnect"));
        for topic in [
            "acme/b/module_gateway",
            "acme/a/external_server",
            "#",
            "acme/+/module_gateway",
        ] {
            assert!(!may_publish("acme/a", topic), "{topic}");
        }
        for filter in [
            "acme/b/external_server",
            "acme/a/#",
            "#",
            "acme/a/module_gateway",
            "+/a/external_server",
        ] {
            assert!(!may_subscribe("acme/a", filter), "{filter}");
        }
    }
}
