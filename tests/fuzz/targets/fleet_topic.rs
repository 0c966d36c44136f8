//! Topics, client ids and filters: what is read is written back the same, and rights never reach beyond one car.

use leitstand_fleet::mqtt::rights::{Rights, Visitor, may_publish, may_subscribe};
use leitstand_fleet::name::{CarName, parse_topic};

pub(crate) fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some((car, way)) = parse_topic(text) {
        assert_eq!(car.topic(way), text);
        assert!(!text.contains(['+', '#', '$', '\0']));
    }
    let own = "acme/a";
    for may in [may_publish(own, text), may_subscribe(own, text)] {
        assert!(!may || text.starts_with("acme/a/"));
    }
    let rights = Rights::default();
    rights.allow(CarName::parse(own).expect("a name"), Some("secret".into()));
    let visitor = Visitor {
        client_id: text,
        login: Some((text, data)),
        ..Visitor::default()
    };
    assert!(
        rights.enter(&visitor).is_err(),
        "the password is not its own name"
    );
    let visitor = Visitor {
        client_id: text,
        certificate: Some(text),
        ..Visitor::default()
    };
    assert_eq!(rights.enter(&visitor).is_ok(), text == own);
}
