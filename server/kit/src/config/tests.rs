#![allow(clippy::unwrap_used, dead_code)]
use std::collections::BTreeMap;

use expect_test::expect;
use serde::Deserialize;

use super::*;

/// A house with rooms.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct House {
    /// Its name.
    site: String,
    #[serde(default)]
    language: Language,
    #[serde(default)]
    api: Api,
    /// The rooms.
    #[serde(default)]
    #[schemars(length(max = 3))]
    rooms: Vec<Room>,
    heater: Option<Heater>,
    #[serde(default)]
    names: BTreeMap<String, u8>,
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Language {
    /// British.
    #[default]
    English,
    /// German.
    Deutsch,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
struct Api {
    /// Where to listen.
    bind: String,
    trust: bool,
    #[schemars(range(min = 1, max = 10))]
    clients: u8,
}

impl Default for Api {
    fn default() -> Self {
        Self {
            bind: "127.0.0.1:8080".into(),
            trust: true,
            clients: 5,
        }
    }
}

/// One room.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Room {
    id: String,
    area_m2: f64,
    #[serde(default)]
    tags: Vec<String>,
    /// Seconds, or a text with a unit.
    stay: Option<Stay>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(untagged)]
enum Stay {
    Seconds(u32),
    Text(String),
}

/// What warms it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
enum Heater {
    /// Burns gas.
    Gas { pressure_mbar: u16 },
    /// Burns nothing.
    Electric { power_w: Option<u32> },
}

fn found(text: &str) -> Vec<String> {
    let (_, diags) = Document::parse(text, "house.toml").check::<House>();
    diags
        .list()
        .iter()
        .map(|d| {
            let mut line = format!("{}:{} {} {}", d.line, d.column, d.key, d.code);
            if let Some(allowed) = &d.allowed {
                line += &format!(" [{allowed}]");
            }
            if let Some(meant) = &d.suggestion {
                line += &format!(" {meant}?");
            }
            line
        })
        .collect()
}

#[track_caller]
fn one(text: &str, expected: &str) {
    assert_eq!(found(text), [expected], "{text}");
}

#[test]
fn a_right_file_has_no_mistakes() {
    let text = "site = 'x'\nlanguage = 'deutsch'\napi.clients = 10\nheater = { kind = 'gas', pressure_mbar = 20 }\n\
                names.a = 1\n[[rooms]]\nid = 'a'\narea_m2 = 3\nstay = '5min'\n[[rooms]]\nid = 'b'\narea_m2 = 3.5\nstay = 7\n";
    let (house, diags) = Document::parse(text, "house.toml").check::<House>();
    assert!(diags.list().is_empty(), "{:?}", diags.list());
    let house = house.unwrap();
    assert_eq!(
        (house.rooms.len(), house.api.clients, house.api.trust),
        (2, 10, true)
    );
}

#[test]
fn each_mistake_has_its_line_column_key_code_and_help() {
    one("site = 'x'\nheatr = 1", "2:1 heatr unknown_key heater?");
    one(
        "site = 'x'\n[api]\ncolour = 1",
        "3:1 api.colour unknown_key [bind, clients, trust]",
    );
    one("site = 'x'\n[aip]\nclients = 1", "2:2 aip unknown_key api?");
    one("language = 'english'", "1:1 site missing_key");
    one(
        "site = 'x'\n\n[[rooms]]\nid = 'a'",
        "3:1 rooms[0].area_m2 missing_key",
    );
    one("site = 5", "1:8 site wrong_type [a text] \"5\"?");
    one(
        "site = 'x'\napi.clients = '7'",
        "2:15 api.clients wrong_type [a whole number] 7?",
    );
    one(
        "site = 'x'\napi.clients = 7.0",
        "2:15 api.clients wrong_type [a whole number] 7?",
    );
    one(
        "site = 'x'\napi.trust = 'yes'",
        "2:13 api.trust wrong_type [true or false] true?",
    );
    one("site = 'x'\napi = 1", "2:7 api wrong_type [a table]");
    one(
        "site = 'x'\nrooms = { id = 'a' }",
        "2:9 rooms wrong_type [a list]",
    );
    one(
        "site = 'x'\nlanguage = 'german'",
        "2:12 language unknown_value [english, deutsch]",
    );
    one(
        "site = 'x'\nlanguage = 'englsh'",
        "2:12 language unknown_value [english, deutsch] english?",
    );
    one(
        "site = 'x'\napi.clients = 0",
        "2:15 api.clients out_of_range [1 to 10]",
    );
    one(
        "site = 'x'\napi.clients = 11",
        "2:15 api.clients out_of_range [1 to 10]",
    );
    one(
        "site = 'x'\nnames.a = 256",
        "2:11 names.a out_of_range [0 to 255]",
    );
    one(
        "site = 'x'\nnames.a = -1",
        "2:11 names.a out_of_range [0 to 255]",
    );
    one(
        "site = 'x'\nnames.a = 99999999999999999999",
        "2:11 names.a out_of_range [0 to 255]",
    );
    one(
        "site = 'x'\n[[rooms]]\nid = 'a'\narea_m2 = nan",
        "4:11 rooms[0].area_m2 out_of_range [a finite number of at most 64 bits]",
    );
    one(
        "site = 'x'\n[[rooms]]\nid = 'a'\narea_m2 = 1\ntags = ['a', 2]",
        "5:14 rooms[0].tags[1] wrong_type [a text] \"2\"?",
    );
    one(
        "site = 'x'\n[[rooms]]\nid = 'a'\narea_m2 = 1\ntags = 'a'",
        "5:8 rooms[0].tags wrong_type [a list] [\"a\"]?",
    );
    one(
        "site = 'x'\n[[rooms]]\nid = 'a'\narea_m2 = 1\nstay = true",
        "5:8 rooms[0].stay wrong_type [a whole number or a text]",
    );
    one(
        "site = 'x'\n[[rooms]]\nid = 'a'\narea_m2 = 1\nstay = -1",
        "5:8 rooms[0].stay out_of_range [0 to 4294967295]",
    );
    one(
        &format!(
            "site = 'x'\n{}",
            "[[rooms]]\nid = 'a'\narea_m2 = 1\n".repeat(4)
        ),
        "2:1 rooms wrong_length [0 entries or less]"
            .replace("0 entries", "3 entries")
            .as_str(),
    );
    one(
        "site = 'x'\n[heater]\npressure_mbar = 1",
        "2:1 heater.kind missing_key [gas, electric]",
    );
    one(
        "site = 'x'\n[heater]\nkind = 'electrical'",
        "3:8 heater.kind unknown_value [gas, electric] electric?",
    );
    one(
        "site = 'x'\n[heater]\nkind = 7",
        "3:8 heater.kind wrong_type [a text]",
    );
    one(
        "site = 'x'\n[heater]\nkind = 'gas'\npower_w = 1\npressure_mbar = 1",
        "4:1 heater.power_w unknown_key [kind, pressure_mbar]",
    );
    one(
        "site = 'x'\n[heater]\nkind = 'electric'\npower = 1",
        "4:1 heater.power unknown_key power_w?",
    );
    one("site = 'ä', x = 1", "1:11 site syntax");
    one(
        "# ä\nsite = 'ä' # ü\nheater = 7",
        "3:10 heater wrong_type [a table]",
    );
}

#[test]
fn a_column_counts_characters_not_bytes() {
    one(
        "site = 'ä'\nnames = { 'ö' = 1, 'ü' = 256 }",
        "2:26 names.ü out_of_range [0 to 255]",
    );
}

#[test]
fn all_mistakes_are_told_at_once_in_the_order_of_the_file() {
    let text = "langage = 'deutsch'\n[[rooms]]\nid = 1\narea_m2 = 'big'\n[[rooms]]\nid = 'b'\narea = 2\n[api]\nclients = 0\n";
    expect![[r#"
        1:1 langage unknown_key language?
        1:1 site missing_key
        3:6 rooms[0].id wrong_type [a text] "1"?
        4:11 rooms[0].area_m2 wrong_type [a number]
        5:1 rooms[1].area_m2 missing_key
        7:1 rooms[1].area unknown_key area_m2?
        9:11 api.clients out_of_range [1 to 10]"#]]
    .assert_eq(&found(text).join("\n"));
}

#[test]
fn syntax_errors_are_told_once_a_line() {
    assert_eq!(found("site = 'x\n"), ["1:10 site syntax"]);
    assert_eq!(found("site = 'x'\nsite = 'y'\n"), ["2:1 site syntax"]);
    assert!(
        found("[api\nbind = \n")[0].starts_with("1:5 "),
        "an unclosed header"
    );
    assert!(found("[api]\nbind = \n")[0].starts_with("2:8 api.bind syntax"));
    assert_eq!(
        found("[[rooms]]\nid = 'a'\n[[rooms]]\nid = 'b'\nid = 'c'\n"),
        ["5:1 rooms[1].id syntax"]
    );
    assert!(!found("= = =\n[[[\n\u{0}").is_empty());
}

#[test]
fn a_service_may_complain_beside_the_schema_but_not_about_a_default() {
    let text = "site = ''\ncolour = 1\n[api]\nclients = 99\n";
    let doc = Document::parse(text, "house.toml");
    let (house, mut diags) = doc.check::<House>();
    let house = house.expect("all that is needed is there");
    assert_eq!((house.site.as_str(), house.api.clients), ("", 5));
    diags.error(
        &Path::root().key("site"),
        "empty_name",
        "a house needs a name",
    );
    diags
        .error(
            &Path::root().key("api").key("clients"),
            "odd",
            "about the default",
        )
        .allowed("nobody asks");
    diags.warning(
        &Path::root().key("heater").key("power_w"),
        "cold",
        "nothing warms it",
    );
    let codes: Vec<_> = diags
        .list()
        .iter()
        .map(|d| (d.line, d.code.as_str()))
        .collect();
    assert_eq!(
        codes,
        [
            (1, "cold"),
            (1, "empty_name"),
            (2, "unknown_key"),
            (4, "out_of_range")
        ]
    );
}

#[test]
fn without_what_is_needed_there_is_no_value() {
    for text in ["", "site = []", "site = 'x'\nrooms = [1]", "site = 'x\n"] {
        assert!(
            Document::parse(text, "x").check::<House>().0.is_none(),
            "{text}"
        );
    }
}

#[test]
fn what_only_serde_finds_has_a_place_too() {
    #[derive(Debug, Deserialize, JsonSchema)]
    struct File {
        #[schemars(with = "String")]
        address: std::net::SocketAddr,
    }
    let (value, diags) = Document::parse("# x\naddress = 'here'", "x").check::<File>();
    assert!(value.is_none());
    let d = &diags.list()[0];
    assert_eq!(
        (d.line, d.column, d.key.as_str(), d.code.as_str()),
        (2, 11, "address", "invalid")
    );
}

#[test]
fn places_are_found_by_path() {
    let doc = Document::parse("site = 'x'\n[[rooms]]\nid = 'a'\n  area_m2 = 1\n", "x");
    let room = Path::root().key("rooms").index(0);
    assert_eq!(doc.position(&room.key("area_m2")), (4, 13));
    assert_eq!(
        doc.position(&room.key("tags")),
        (2, 1),
        "the nearest parent"
    );
    assert_eq!(doc.position(&Path::root()), (1, 1));
    assert!(doc.has(&room.key("id")) && !doc.has(&room.key("tags")));
    assert_eq!(room.key("id").to_string(), "rooms[0].id");
}

#[test]
fn the_json_form_is_as_documented() {
    let (_, diags) = Document::parse("site = 'x'\nheatr = 1", "house.toml").check::<House>();
    expect![[r#"[{"file":"house.toml","line":2,"column":1,"key":"heatr","severity":"error","code":"unknown_key","message":"`heatr` is not a key of the file","suggestion":"heater"}]"#]]
        .assert_eq(&serde_json::to_string(diags.list()).unwrap());
    assert_eq!(diags.to_json()[0]["suggestion"], "heater");
}

#[test]
fn the_report_shows_the_line_and_what_to_do() {
    let (_, mut diags) =
        Document::parse("site = 'x'\nlanguage = 'germn'\n", "house.toml").check::<House>();
    diags.warning(&Path::root().key("site"), "short", "a short name");
    expect![[r#"
        short

          ⚠ a short name
           ╭─[house.toml:1:8]
         1 │ site = 'x'
           ·        ─┬─
           ·         ╰── site
         2 │ language = 'germn'
           ╰────

        unknown_value

          × `germn` is not one of the values of `language`
           ╭─[house.toml:2:12]
         1 │ site = 'x'
         2 │ language = 'germn'
           ·            ───┬───
           ·               ╰── language
           ╰────
          help: allowed: english, deutsch

        house.toml: 1 error, 1 warning
    "#]]
    .assert_eq(&diags.report(false));
    assert!(diags.report(true).contains("\u{1b}["));
}

#[test]
fn the_reference_lists_every_key() {
    expect![[r###"
        ## Top level

        A house with rooms.

        | Key | Value | Default | Meaning |
        |---|---|---|---|
        | `site` | text | **required** | Its name. |
        | `api` | table, see below |  |  |
        | `heater` | table, see below |  | What warms it. |
        | `language` | `"english"`, `"deutsch"` |  | `english`: British. `deutsch`: German. |
        | `names` | table of: whole number, 0 to 255 |  |  |
        | `rooms` | tables, see below |  | The rooms. |

        ## `[api]`

        | Key | Value | Default | Meaning |
        |---|---|---|---|
        | `bind` | text | `"127.0.0.1:8080"` | Where to listen. |
        | `clients` | whole number, 1 to 10 | `5` |  |
        | `trust` | true or false | `true` |  |

        ## `[heater]`

        What warms it.

        With `kind = "gas"`:

        Burns gas.

        | Key | Value | Default | Meaning |
        |---|---|---|---|
        | `pressure_mbar` | whole number, 0 to 65535 | **required** |  |

        With `kind = "electric"`:

        Burns nothing.

        | Key | Value | Default | Meaning |
        |---|---|---|---|
        | `power_w` | whole number, 0 to 4294967295 |  |  |

        ## `[[rooms]]`

        One room.

        | Key | Value | Default | Meaning |
        |---|---|---|---|
        | `area_m2` | number | **required** |  |
        | `id` | text | **required** |  |
        | `stay` | whole number, 0 to 4294967295 or text |  | Seconds, or a text with a unit. |
        | `tags` | list of: text | `[]` |  |

    "###]]
    .assert_eq(&reference::<House>());
}

/// As a service would: at least two clients where nobody is trusted, and a room for every name.
fn with_service(text: &str) -> Vec<String> {
    let (house, mut diags) = Document::parse(text, "house.toml").check::<House>();
    if let Some(house) = house {
        let api = Path::root().key("api");
        if house.api.clients > 4 && house.api.trust {
            diags.error(&api.key("trust"), "too_trusting", "many clients");
        }
        if house.api.bind.starts_with("127.") && house.site == "open" {
            diags.error(&Path::root().key("site"), "not_open", "only local");
        }
        for name in house.names.keys() {
            if house.rooms.iter().all(|room| room.id != *name) {
                let path = Path::root().key("names").key(name);
                diags.error(&path, "unknown_reference", "no such room");
            }
        }
    }
    let list = diags.list().iter();
    list.map(|d| format!("{} {}", d.key, d.code)).collect()
}

#[test]
fn a_default_that_stands_in_for_a_wrong_value_is_not_complained_about() {
    // The default of `clients` is 5, which nobody wrote.
    let text = "site = 'x'\n[api]\nclients = 'many'\ntrust = true";
    assert_eq!(with_service(text), ["api.clients wrong_type"]);
    let text = "site = 'x'\n[api]\nclients = 99\ntrust = true";
    assert_eq!(with_service(text), ["api.clients out_of_range"]);
    // Written, it is.
    let text = "site = 'x'\n[api]\nclients = 5\ntrust = true";
    assert_eq!(with_service(text), ["api.trust too_trusting"]);
    // A name cannot be looked up in a list that could not be read.
    let text = "site = 'x'\nrooms = 'kitchen'\nnames.hall = 1";
    let found = with_service(text);
    assert_eq!(found, ["rooms wrong_type"]);
    let text = "site = 'x'\napi.clients = 1\nnames.hall = 1";
    assert_eq!(with_service(text), ["names.hall unknown_reference"]);
}

#[test]
fn what_was_meant_takes_the_place_of_what_is_wrong() {
    // The rest is judged by 7, not by the default; and what follows from 7 is a mistake of its own.
    let text = "site = 'x'\n[api]\nclients = \"7\"\ntrust = true";
    let expected = ["api.clients wrong_type", "api.trust too_trusting"];
    assert_eq!(with_service(text), expected);
    let text = "site = 'x'\n[api]\nclients = \"3\"\ntrust = \"yes\"";
    assert_eq!(
        with_service(text),
        ["api.clients wrong_type", "api.trust wrong_type"]
    );
    // A slip in another table hides nothing.
    let text = "site = 'open'\n[api]\nclients = 'many'";
    assert_eq!(
        with_service(text),
        ["site not_open", "api.clients wrong_type"]
    );
    // An element of a list can be mended too, so that the service sees the whole list.
    let text = "site = 'x'\napi.clients = 1\nnames.hall = 1\n[[rooms]]\nid = 5\narea_m2 = 1";
    let expected = ["names.hall unknown_reference", "rooms[0].id wrong_type"];
    assert_eq!(with_service(text), expected);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "[a-z\\[\\]=\"'{},.#\n 0-9ä-]{0,80}") {
        let doc = Document::parse(&text, "x");
        let (_, diags) = doc.check::<House>();
        let _ = (diags.report(false), diags.to_json());
        for d in diags.list() {
            proptest::prop_assert!(d.line >= 1 && d.column >= 1);
        }
    }
}
