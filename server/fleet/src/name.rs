//! Names of companies and cars, and the topics that follow from them.

use std::fmt;

/// Longest name of a company or car. Reasoning: a topic of two such names stays far below MQTT's limit.
pub const NAME_BYTES_MAX: usize = 64;

/// Company and name of a car: the first two levels of its topics, and its vehicle's MQTT client id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CarName {
    company: String,
    name: String,
}

impl CarName {
    /// Both parts; `None` when one of them is not a name.
    #[must_use]
    pub fn new(company: &str, name: &str) -> Option<Self> {
        (is_name(company) && is_name(name)).then(|| Self {
            company: company.to_owned(),
            name: name.to_owned(),
        })
    }

    /// From `company/car`, as a client id or the beginning of a topic has it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (company, name) = text.split_once('/')?;
        Self::new(company, name)
    }

    /// The company.
    #[must_use]
    pub fn company(&self) -> &str {
        &self.company
    }

    /// The car.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The topic of this car and direction.
    #[must_use]
    pub fn topic(&self, way: Way) -> String {
        format!("{}/{}/{}", self.company, self.name, way.level())
    }
}

impl fmt::Display for CarName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.company, self.name)
    }
}

/// Whether `text` is 1 to 64 of `a-z`, `0-9` and `_`.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let good = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(good)
}

/// The third level of a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Way {
    /// Vehicle to server.
    ToServer,
    /// Server to vehicle.
    ToCar,
    /// Server to vehicle: the session is over, connect again.
    Hint,
    /// Whether the server is there; retained, only where `presence` is on.
    Presence,
}

impl Way {
    const ALL: [Self; 4] = [Self::ToServer, Self::ToCar, Self::Hint, Self::Presence];

    const fn level(self) -> &'static str {
        match self {
            Self::ToServer => "module_gateway",
            Self::ToCar => "external_server",
            Self::Hint => "external_server_disconnect",
            Self::Presence => "external_server_state",
        }
    }
}

/// Reads a topic. `None`: not one of ours.
#[must_use]
pub fn parse_topic(topic: &str) -> Option<(CarName, Way)> {
    let (car, level) = topic.rsplit_once('/')?;
    let way = Way::ALL.into_iter().find(|way| way.level() == level)?;
    Some((CarName::parse(car)?, way))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn topics_are_read_back() {
        let car = CarName::new("acme", "car_a").unwrap();
        for way in Way::ALL {
            assert_eq!(parse_topic(&car.topic(way)), Some((car.clone(), way)));
        }
        assert_eq!(car.topic(Way::ToServer), "acme/car_a/module_gateway");
    }

    #[test]
    fn hostile_names_are_no_names() {
        for text in [
            "",
            "a/b",
            "+",
            "#",
            "$SYS",
            "Ä",
            "A",
            "a b",
            "a\0",
            &"x".repeat(65),
        ] {
            assert!(!is_name(text), "{text:?}");
        }
        for topic in [
            "",
            "/",
            "a/b",
            "a/b/c/module_gateway",
            "a//module_gateway",
            "a/b/nothing",
        ] {
            assert_eq!(parse_topic(topic), None, "{topic}");
        }
    }
}
