//! The certificate that the gateway makes for itself.
//!
//! `site.pem` holds it after a few lines for people, which also say when it ends and for whom it is; `site.key` (0600)
//! holds the key. Both are written whole or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, OpenOptions},
    io::{self, Write as _},
    net::IpAddr,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::sign::CertifiedKey;

use super::{TlsError, pair, read};

const DAY_S: i64 = 24 * 3600;
/// How long it is valid. Reasoning: the longest that Apple's systems accept for a certificate that a person trusts by
/// hand; others take more.
const VALID_S: i64 = 825 * DAY_S;
/// How long before its end it is made anew. Reasoning: a gateway that was off for a season must not come back with a
/// certificate that ended.
const RENEW_BEFORE_S: i64 = 120 * DAY_S;
const _: () = assert!(RENEW_BEFORE_S * 2 < VALID_S);
/// 2026-01-01. A Pi has no clock battery: before its first time sync it may be at any earlier date, and a certificate
/// of that date would have ended when the clock is right.
const EARLIEST_S: i64 = 1_767_225_600;
/// Names kept from an earlier certificate. Reasoning: addresses given out by a router change; who comes by one of last
/// week's must not be warned again, and the list must end somewhere.
const NAMES_MAX: usize = 32;

/// The certificate in `dir`, made when it is missing, damaged, near its end, or lacks one of `wanted`.
pub(super) fn load_or_make(
    dir: &Path,
    wanted: &BTreeSet<String>,
    now_s: i64,
) -> Result<CertifiedKey, TlsError> {
    let (cert, key) = (dir.join("site.pem"), dir.join("site.key"));
    let now_s = now_s.max(EARLIEST_S);
    let mut names = wanted.clone();
    if let Some(about) = About::read(&cert) {
        let fits = about.ends_s - now_s > RENEW_BEFORE_S && wanted.is_subset(&about.names);
        if fits && let Ok(pair) = pair(&cert, &key) {
            keep_private(&key)?;
            return Ok(pair);
        }
        let room = NAMES_MAX.saturating_sub(names.len());
        names.extend(about.names.difference(wanted).take(room).cloned());
    }
    create_dir(dir)?;
    let pair_of_keys = match fs::read_to_string(&key).map(|pem| KeyPair::from_pem(&pem)) {
        Ok(Ok(kept)) => kept,
        _ => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(TlsError::Making)?,
    };
    let begins_s = now_s - DAY_S;
    let about = About {
        names,
        ends_s: begins_s + VALID_S,
    };
    let certificate = about
        .params(begins_s)
        .and_then(|params| params.self_signed(&pair_of_keys))
        .map_err(TlsError::Making)?;
    // The key first: a power cut between the two leaves a key that the next start uses.
    write(&key, 0o600, &pair_of_keys.serialize_pem())?;
    write(&cert, 0o644, &format!("{about}{}", certificate.pem()))?;
    pair(&cert, &key)
}

/// What must be known of a certificate to judge whether it still does.
struct About {
    names: BTreeSet<String>,
    ends_s: i64,
}

impl std::fmt::Display for About {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        writeln!(
            f,
            "The site certificate, made by Leitstand. It is made anew before it ends, with the same key."
        )?;
        writeln!(f, "names: {}", names.join(" "))?;
        writeln!(f, "ends: {}", self.ends_s)
    }
}

impl About {
    fn read(cert: &Path) -> Option<Self> {
        let text = String::from_utf8(read(cert).ok()?).ok()?;
        let line = |name: &str| text.lines().find_map(|line| line.strip_prefix(name));
        Some(Self {
            names: line("names: ")?
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            ends_s: line("ends: ")?.trim().parse().ok()?,
        })
    }

    fn params(&self, begins_s: i64) -> Result<CertificateParams, rcgen::Error> {
        let (addresses, hosts): (Vec<_>, Vec<_>) = self
            .names
            .iter()
            .cloned()
            .partition(|name| name.parse::<IpAddr>().is_ok());
        let mut params = CertificateParams::new([hosts, addresses].concat())?;
        let mut subject = DistinguishedName::new();
        subject.push(DnType::CommonName, "Leitstand site certificate");
        params.distinguished_name = subject;
        // Nobody who trusts it by hand shall thereby trust others that were signed with its key.
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let date = |unix_s: i64| {
            date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(unix_s).unwrap_or(0))
        };
        params.not_before = date(begins_s);
        params.not_after = date(self.ends_s);
        Ok(params)
    }
}

fn create_dir(dir: &Path) -> Result<(), TlsError> {
    fs::create_dir_all(dir).map_err(|e| file(dir, e))?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700)).map_err(|e| file(dir, e))
}

/// A key that was copied back from a backup may be readable by everybody.
fn keep_private(key: &Path) -> Result<(), TlsError> {
    let mode = fs::metadata(key)
        .map_err(|e| file(key, e))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        fs::set_permissions(key, fs::Permissions::from_mode(0o600)).map_err(|e| file(key, e))?;
    }
    Ok(())
}

fn write(path: &Path, mode: u32, text: &str) -> Result<(), TlsError> {
    let temp = path.with_extension("new");
    let all = || -> io::Result<()> {
        let _ = fs::remove_file(&temp);
        // `create_new` with the mode: there is no moment at which others could open it.
        let mut new = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&temp)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&temp, path)?;
        path.parent()
            .map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())
    };
    all().map_err(|e| file(path, e))
}

fn file(path: &Path, source: io::Error) -> TlsError {
    TlsError::File {
        path: PathBuf::from(path),
        source,
    }
}
