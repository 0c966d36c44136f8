//! Encrypted connections: which certificate the gateway shows, and its renewal without a restart.
//!
//! | Module | What |
//! |---|---|
//! | `site` | the site certificate: made here, kept in the state directory, made anew before it ends |
//! | `own` | the names and addresses of this machine |
//!
//! Terms: *site certificate*, a self-signed certificate that the gateway makes for itself; people compare its
//! *fingerprint* (SHA-256 of the certificate) once and then trust it. Its key stays the same when the certificate is
//! made anew, so that whoever pinned the key need not do anything.
//!
//! Deliberately absent: `Strict-Transport-Security`. A browser that has seen it refuses a self-made certificate without
//! a way around, and it holds for every port of the host, also for services that are not ours: it would lock people
//! out of their own gateway. TLS below 1.2, client certificates, early data.

mod own;
mod site;

use std::{
    fmt::Write as _,
    fs, io,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
};

use rustls::{
    ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use sha2::{Digest as _, Sha256};

/// Bytes of a certificate or key file. Reasoning: a chain of ten large certificates stays below 64 KiB.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Where the certificate comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The gateway makes it.
    Site {
        /// Where it is kept; made when missing.
        dir: PathBuf,
        /// Names and addresses besides the machine's own.
        names: Vec<String>,
        /// Where the gateway listens; unspecified = on all of the machine's addresses.
        bind: IpAddr,
    },
    /// Files in PEM, read again when they change (an ACME client renews them in place).
    Files {
        /// The certificate, then those that lead to its root.
        cert: PathBuf,
        /// Its private key: PKCS #8, PKCS #1 or SEC 1.
        key: PathBuf,
    },
}

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// Check that the file exists and may be read or written by the gateway's user.
    #[error("{path}", path = path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds something else, or is damaged.
    #[error("{path} holds no {wanted} in PEM", path = path.display())]
    Content {
        /// Which.
        path: PathBuf,
        /// What was looked for.
        wanted: &'static str,
    },
    /// Certificate and key do not belong together, or the kind of key is not supported.
    #[error("certificate and key do not fit")]
    Pair(#[source] rustls::Error),
    /// The certificate could not be made.
    #[error("making the site certificate")]
    Making(#[source] rcgen::Error),
}

/// Holds the certificate in force. Connections that exist keep theirs; new ones get the newest.
#[derive(Debug)]
pub struct Keeper {
    source: Source,
    current: Arc<Current>,
}

#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.get())
    }
}

impl Current {
    fn get(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Keeper {
    /// Reads the certificate, or makes it. `now_s` is the wall clock in seconds since 1970. Blocks.
    ///
    /// # Errors
    /// No certificate can be shown; the caller refuses the start rather than to serve in the clear.
    pub fn open(source: Source, now_s: i64) -> Result<Self, TlsError> {
        let pair = source.load(now_s)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(pair))));
        Ok(Self { source, current })
    }

    /// Looks whether the certificate must be made anew, or its files changed; true when there is a new one. Blocks.
    ///
    /// # Errors
    /// As [`open`](Self::open); the old one stays in force.
    pub fn refresh(&self, now_s: i64) -> Result<bool, TlsError> {
        let fresh = self.source.load(now_s)?;
        if fresh.cert == self.current.get().cert {
            return Ok(false);
        }
        *self
            .current
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(fresh);
        Ok(true)
    }

    /// Whether the gateway made the certificate itself, so that browsers ask at the first visit.
    #[must_use]
    pub fn is_self_made(&self) -> bool {
        matches!(self.source, Source::Site { .. })
    }

    /// SHA-256 of the certificate as browsers show it: `AB:CD:...`, 32 bytes.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        self.current
            .get()
            .cert
            .first()
            .map_or_else(String::new, |c| fingerprint(c))
    }

    /// What a listener needs: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// The cryptography does not offer these versions, which is a defect of the build.
    pub fn server_config(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Pair)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl Source {
    fn load(&self, now_s: i64) -> Result<CertifiedKey, TlsError> {
        match self {
            Self::Site { dir, names, bind } => {
                let wanted = own::names(names, *bind);
                site::load_or_make(dir, &wanted, now_s)
            }
            Self::Files { cert, key } => pair(cert, key),
        }
    }
}

/// Reads a certificate chain and its key.
fn pair(cert: &Path, key: &Path) -> Result<CertifiedKey, TlsError> {
    let content = |path: &Path, wanted| TlsError::Content {
        path: path.to_owned(),
        wanted,
    };
    let text = read(cert)?;
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|_| content(cert, "certificate"))?;
    if chain.is_empty() {
        return Err(content(cert, "certificate"));
    }
    let private = PrivateKeyDer::from_pem_slice(&read(key)?)
        .map_err(|_| content(key, "unencrypted private key"))?;
    CertifiedKey::from_der(chain, private, &provider()).map_err(TlsError::Pair)
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    use io::Read as _;
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|source| TlsError::File {
            path: path.to_owned(),
            source,
        })?;
    Ok(bytes)
}

fn provider() -> Arc<CryptoProvider> {
    // Handed on explicitly: a process-wide default would depend on who comes first.
    Arc::new(aws_lc_rs::default_provider())
}

fn fingerprint(certificate: &[u8]) -> String {
    let mut text = String::new();
    for byte in Sha256::digest(certificate) {
        let colon = if text.is_empty() { "" } else { ":" };
        let _ = write!(text, "{colon}{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests;
