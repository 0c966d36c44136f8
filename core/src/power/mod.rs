//! Mains, battery, operating hours and the service interval.
