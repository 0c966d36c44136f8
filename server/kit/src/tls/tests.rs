#![allow(clippy::unwrap_used)]
use std::{collections::BTreeSet, os::unix::fs::PermissionsExt as _};

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConnection};
use rustls_pki_types::ServerName;

use super::*;

const NOW_S: i64 = 1_800_000_000;
const DAY_S: i64 = 24 * 3600;

fn source(dir: &Path, names: &[&str]) -> Source {
    Source::Site {
        dir: dir.join("tls"),
        names: names.iter().map(ToString::to_string).collect(),
        bind: [127, 0, 0, 1].into(),
    }
}

/// A whole handshake without a socket, by a client that trusts `trusted` alone and calls the server `name`.
fn handshake(keeper: &Keeper, trusted: &Path, name: &str) -> Result<String, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let pem = fs::read(trusted).unwrap();
    roots
        .add(CertificateDer::from_pem_slice(&pem).unwrap())
        .unwrap();
    let client = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
    let mut server = ServerConnection::new(keeper.server_config().unwrap()).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut wire = Vec::new();
        client.write_tls(&mut wire).unwrap();
        server.read_tls(&mut wire.as_slice()).unwrap();
        server.process_new_packets()?;
        wire.clear();
        server.write_tls(&mut wire).unwrap();
        client.read_tls(&mut wire.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(fingerprint(&client.peer_certificates().unwrap()[0]))
}

#[test]
fn a_client_that_trusts_the_site_certificate_connects_by_every_name() {
    let dir = tempfile::tempdir().unwrap();
    let keeper =
        Keeper::open(source(dir.path(), &["gw.example", "192.0.2.7"]), real_now()).unwrap();
    let pem = dir.path().join("tls/site.pem");
    for name in ["localhost", "127.0.0.1", "::1", "gw.example", "192.0.2.7"] {
        assert_eq!(
            handshake(&keeper, &pem, name).unwrap(),
            keeper.fingerprint(),
            "{name}"
        );
    }
    assert!(handshake(&keeper, &pem, "evil.example").is_err());
}

fn real_now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap().as_secs()).unwrap()
}

#[test]
fn the_key_is_for_the_gateway_alone_also_after_a_careless_restore() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("tls/site.key");
    let mode = || fs::metadata(&key).unwrap().permissions().mode() & 0o777;
    Keeper::open(source(dir.path(), &[]), NOW_S).unwrap();
    assert_eq!(mode(), 0o600);
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    Keeper::open(source(dir.path(), &[]), NOW_S).unwrap();
    assert_eq!(mode(), 0o600);
}

#[test]
fn a_start_keeps_the_certificate_and_a_new_name_makes_another_with_the_same_key() {
    let dir = tempfile::tempdir().unwrap();
    let key = || fs::read_to_string(dir.path().join("tls/site.key")).unwrap();
    let first = Keeper::open(source(dir.path(), &["a.example"]), NOW_S).unwrap();
    let (shown, private) = (first.fingerprint(), key());
    let second = Keeper::open(source(dir.path(), &["a.example"]), NOW_S + DAY_S).unwrap();
    assert_eq!(second.fingerprint(), shown);
    let third = Keeper::open(source(dir.path(), &["b.example"]), real_now()).unwrap();
    assert_ne!(third.fingerprint(), shown);
    assert_eq!(key(), private);
    // Who comes by the name of yesterday is not warned.
    let pem = dir.path().join("tls/site.pem");
    for name in ["a.example", "b.example"] {
        assert!(handshake(&third, &pem, name).is_ok(), "{name}");
    }
}

#[test]
fn it_is_made_anew_before_it_ends_and_open_listeners_show_the_new_one() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(source(dir.path(), &[]), NOW_S).unwrap();
    let shown = keeper.fingerprint();
    assert!(!keeper.refresh(NOW_S + 600 * DAY_S).unwrap());
    assert!(keeper.refresh(NOW_S + 720 * DAY_S).unwrap());
    assert_ne!(keeper.fingerprint(), shown);
    let ends = fs::read_to_string(dir.path().join("tls/site.pem")).unwrap();
    let ends: i64 = ends
        .lines()
        .find_map(|l| l.strip_prefix("ends: "))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(ends, NOW_S + (720 + 824) * DAY_S);
}

#[test]
fn a_clock_before_its_first_sync_does_not_make_a_certificate_that_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(source(dir.path(), &[]), 0).unwrap();
    let pem = dir.path().join("tls/site.pem");
    // The client's clock is the real one.
    assert!(handshake(&keeper, &pem, "localhost").is_ok());
}

#[test]
fn damaged_files_are_replaced_and_no_start_is_refused_for_them() {
    for (file, content) in [
        ("site.pem", "nonsense"),
        ("site.pem", ""),
        ("site.key", "nonsense"),
        ("site.key", ""),
    ] {
        let dir = tempfile::tempdir().unwrap();
        Keeper::open(source(dir.path(), &[]), real_now()).unwrap();
        fs::write(dir.path().join("tls").join(file), content).unwrap();
        let keeper = Keeper::open(source(dir.path(), &[]), real_now()).unwrap();
        let pem = dir.path().join("tls/site.pem");
        assert!(
            handshake(&keeper, &pem, "localhost").is_ok(),
            "{file} {content:?}"
        );
    }
}

#[test]
fn files_are_read_again_when_they_change_and_mistakes_leave_the_old_one_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str| {
        Keeper::open(source(&dir.path().join(name), &[]), NOW_S).unwrap();
        let tls = dir.path().join(name).join("tls");
        (tls.join("site.pem"), tls.join("site.key"))
    };
    let (one, two) = (made("one"), made("two"));
    let (cert, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
    let copy = |from: &(PathBuf, PathBuf)| {
        fs::copy(&from.0, &cert).unwrap();
        fs::copy(&from.1, &key).unwrap();
    };
    copy(&one);
    let files = Source::Files {
        cert: cert.clone(),
        key: key.clone(),
    };
    let keeper = Keeper::open(files, NOW_S).unwrap();
    assert!(!keeper.is_self_made());
    let shown = keeper.fingerprint();
    assert!(!keeper.refresh(NOW_S).unwrap());
    // Half way through an exchange the two do not belong together.
    fs::copy(&two.0, &cert).unwrap();
    assert!(matches!(keeper.refresh(NOW_S), Err(TlsError::Pair(_))));
    assert_eq!(keeper.fingerprint(), shown);
    copy(&two);
    assert!(keeper.refresh(NOW_S).unwrap());
    assert_ne!(keeper.fingerprint(), shown);
    fs::write(
        &key,
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    )
    .unwrap();
    assert!(matches!(
        keeper.refresh(NOW_S),
        Err(TlsError::Content { .. })
    ));
    fs::remove_file(&cert).unwrap();
    assert!(matches!(keeper.refresh(NOW_S), Err(TlsError::File { .. })));
}

#[test]
fn the_machine_is_known_by_its_own_names() {
    let names = own::names(&["GW.Example".into()], [0, 0, 0, 0].into());
    let expected: BTreeSet<_> = ["127.0.0.1", "::1", "gw.example", "localhost"]
        .map(str::to_owned)
        .into();
    assert!(names.is_superset(&expected), "{names:?}");
    assert!(!names.contains("0.0.0.0"), "{names:?}");
    assert!(own::names(&[], [192, 0, 2, 9].into()).contains("192.0.2.9"));
}
