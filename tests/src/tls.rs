//! The far side of TLS: a client that trusts one certificate and nothing else.

use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use std::io;
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

/// Shakes hands with a server that must be `name` by the certificate in `pem`.
///
/// # Errors
/// When it is somebody else, speaks another protocol, or the file cannot be read.
pub fn client(
    mut stream: TcpStream,
    name: &str,
    pem: &Path,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let bytes = std::fs::read(pem)?;
    let certificate = CertificateDer::from_pem_slice(&bytes).map_err(io::Error::other)?;
    let mut roots = RootCertStore::empty();
    roots.add(certificate).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).map_err(io::Error::other)?;
    let mut tls = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    // To its end here, so that a refused certificate is the error of connecting.
    while tls.is_handshaking() {
        tls.complete_io(&mut stream)?;
    }
    Ok(StreamOwned::new(tls, stream))
}
