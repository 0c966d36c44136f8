//! `leitstand import anweddol`: the original's YAML as our section, and its access tokens
//! (`specs/containers.md` 6.1, 5.7). What has no counterpart here is said in comments.

use std::{fmt::Write as _, path::Path};

use leitstand_kit::store::StoreError;
use serde::Deserialize;

use crate::ledger::Ledger;

/// Why a file of the original cannot be converted.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// No YAML, or another shape.
    #[error("{0}")]
    Yaml(String),
    /// No database of access tokens.
    #[error("the database of access tokens")]
    Database(#[from] rusqlite::Error),
    /// Ours cannot be written.
    #[error("the state directory")]
    Store(#[from] StoreError),
}

#[derive(Deserialize)]
struct File {
    container: Container,
    server: Server,
    #[serde(default)]
    web_server: Option<WebServer>,
    #[serde(default)]
    port_forwarding: Option<PortForwarding>,
    #[serde(default)]
    ip_filter: Option<IpFilter>,
    #[serde(default)]
    access_token: Option<AccessToken>,
}

#[derive(Deserialize)]
struct Container {
    container_iso_file_path: Option<String>,
    max_allowed_running_container_domains: Option<u32>,
    container_memory: u64,
    container_vcpus: u32,
}

#[derive(Deserialize)]
struct Server {
    private_rsa_key_file_path: Option<String>,
    bind_address: String,
    listen_port: u16,
    timeout: Option<u64>,
}

#[derive(Deserialize)]
struct WebServer {
    listen_port: u16,
    enable_ssl: bool,
    ssl_pem_private_key_file_path: Option<String>,
    ssl_pem_certificate_file_path: Option<String>,
}

#[derive(Deserialize)]
struct PortForwarding {
    port_range: [u16; 2],
}

#[derive(Deserialize)]
struct IpFilter {
    enabled: bool,
    #[serde(default)]
    denied_ip_list: Vec<String>,
    #[serde(default)]
    allowed_ip_list: Vec<String>,
}

#[derive(Deserialize)]
struct AccessToken {
    enabled: bool,
    access_token_database_file_path: Option<String>,
}

/// A TOML string.
fn quoted(text: &str) -> String {
    let escaped: String = text
        .chars()
        .map(|c| match c {
            '"' | '\\' => format!("\\{c}"),
            c if c.is_control() => format!("\\u{:04X}", c as u32),
            c => c.to_string(),
        })
        .collect();
    format!("\"{escaped}\"")
}

fn list(items: &[String]) -> String {
    let items: Vec<String> = items.iter().map(|i| quoted(i)).collect();
    format!("[{}]", items.join(", "))
}

/// Our configuration with the same effective values.
///
/// # Errors
/// Not the original's file.
pub fn anweddol(yaml: &str) -> Result<String, ImportError> {
    let file: File = serde_saphyr::from_str(yaml).map_err(|e| ImportError::Yaml(e.to_string()))?;
    let ip = match file.server.bind_address.as_str() {
        "any" | "" => "0.0.0.0",
        ip => ip,
    };
    let mut out = String::from("site = \"Imported\"\n\n[containers]\n");
    // Writing to a String cannot fail.
    let _ = writeln!(
        out,
        "bind = {}",
        quoted(&format!("{ip}:{}", file.server.listen_port))
    );
    // Without a limit every CREATE failed there; here it is the shipped six.
    let places = file
        .container
        .max_allowed_running_container_domains
        .unwrap_or(6);
    let _ = writeln!(out, "max_running = {places}");
    let _ = writeln!(
        out,
        "client_timeout_s = {}",
        file.server.timeout.unwrap_or(10).clamp(1, 300)
    );
    let _ = writeln!(out, "default_profile = \"imported\"");
    if let Some(PortForwarding {
        port_range: [first, last],
    }) = file.port_forwarding
    {
        let _ = writeln!(
            out,
            "port_range = [{first}, {last}]  # the original never applied it: 10000 to 14999"
        );
    }
    if let Some(filter) = file.ip_filter.filter(|f| f.enabled) {
        let _ = writeln!(
            out,
            "allow = {}\ndeny = {}",
            list(&filter.allowed_ip_list),
            list(&filter.denied_ip_list)
        );
    }
    if let Some(tokens) = file.access_token {
        let _ = writeln!(out, "access_tokens = {}", tokens.enabled);
        if let Some(path) = tokens
            .access_token_database_file_path
            .filter(|_| tokens.enabled)
        {
            let _ = writeln!(
                out,
                "# take its tokens over: leitstand container token import {}",
                quoted(&path)
            );
        }
    }
    if let Some(key) = file.server.private_rsa_key_file_path {
        let _ = writeln!(
            out,
            "# to keep the fingerprint, copy {} to containers-rsa.pem in the state directory",
            quoted(&key)
        );
    }
    if let Some(web) = file.web_server {
        let _ = writeln!(
            out,
            "\n# Its web server ran only with --web. Take this in if it did.\n# [containers.web]"
        );
        let _ = writeln!(
            out,
            "# bind = {}",
            quoted(&format!("127.0.0.1:{}", web.listen_port))
        );
        if let (true, Some(certificate), Some(key)) = (
            web.enable_ssl,
            web.ssl_pem_certificate_file_path,
            web.ssl_pem_private_key_file_path,
        ) {
            let _ = writeln!(
                out,
                "# certificate = {}\n# key = {}",
                quoted(&certificate),
                quoted(&key)
            );
        }
    }
    let _ = writeln!(
        out,
        "\n[[containers.profiles]]\nname = \"imported\"\nkind = \"host\""
    );
    if let Some(iso) = file.container.container_iso_file_path {
        let _ = writeln!(
            out,
            "# was the image {}: machines are namespaces here, from this computer's own userland",
            quoted(&iso)
        );
    }
    let _ = writeln!(
        out,
        "memory_mib = {}\ncpus = {:.1}",
        file.container.container_memory, file.container.container_vcpus
    );
    Ok(out)
}

/// Takes the original's access tokens over: digests, so that old tokens work. Tokens that are there already stay. How
/// many were new.
///
/// # Errors
/// Not the original's database, or ours cannot be written.
pub fn tokens(database: &Path, ledger: &Ledger) -> Result<usize, ImportError> {
    let theirs = rusqlite::Connection::open_with_flags(
        database,
        rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY,
    )?;
    let mut query = theirs.prepare("SELECT CreationTimestamp, AccessToken, Enabled FROM AnweddolServerAccessTokenTable ORDER BY EntryID")?;
    let rows = query.query_map([], |row| {
        Ok((
            row.get::<_, i64>(0)?,
            row.get::<_, String>(1)?,
            row.get::<_, bool>(2)?,
        ))
    })?;
    let mut new = 0;
    for row in rows {
        let (created_s, hash, enabled) = row?;
        match ledger.import_token(created_s, hash.to_ascii_lowercase(), enabled) {
            Ok(_) => new += 1,
            Err(StoreError::Sqlite(e))
                if e.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(new)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use leitstand_kit::{
        Context,
        config::{Document, Path as Key},
    };

    use super::*;
    use crate::{
        config::{ContainersSection, check},
        id::SecretHash,
    };

    const SHIPPED: &str = "
container:
  container_iso_file_path: /etc/anweddol/iso/anweddol_container.iso
  max_allowed_running_container_domains: 4
  container_memory: 1024
  container_vcpus: 2
  nat_interface_name: virbr0
  domain_type: kvm
  wait_max_tryout: 20
  endpoint_username: endpoint
server:
  public_rsa_key_file_path: /etc/anweddol/rsa/public.pem
  private_rsa_key_file_path: /etc/anweddol/rsa/private.pem
  bind_address: any
  listen_port: 6151
  timeout: 20
  enable_onetime_rsa_keys: False
web_server:
  listen_port: 8080
  enable_ssl: False
port_forwarding:
  port_range: [10000, 20000]
ip_filter:
  enabled: True
  denied_ip_list: [any]
  allowed_ip_list: [10.1.2.3]
access_token:
  enabled: True
  access_token_database_file_path: /etc/anweddol/credentials/access_token.db
";

    #[test]
    fn golden_c32_the_originals_yaml_has_the_same_effect() {
        #[derive(Deserialize, schemars::JsonSchema)]
        struct Ours {
            containers: ContainersSection,
            #[allow(dead_code)]
            site: String,
        }
        let text = anweddol(SHIPPED).unwrap();
        let (file, mut diags) = Document::parse(&text, "imported.toml").check::<Ours>();
        let settings = check(
            &file.unwrap().containers,
            &Key::root().key("containers"),
            &mut diags,
        )
        .unwrap();
        assert_eq!(settings.bind, "0.0.0.0:6151".parse().unwrap());
        assert_eq!(
            (settings.max_running, settings.client_timeout.as_secs()),
            (4, 20)
        );
        assert_eq!(settings.ports, 10_000..=20_000);
        assert!(
            settings.filter.allows([10, 1, 2, 3].into())
                && !settings.filter.allows([10, 1, 2, 4].into())
        );
        assert!(settings.access_tokens);
        assert_eq!(
            (
                settings.profiles[0].memory_bytes,
                settings.profiles[0].cpu_millis
            ),
            (1 << 30, 2000)
        );
        for bad in ["", "[", "container: 5", "a: b"] {
            assert!(anweddol(bad).is_err(), "{bad}");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn golden_c32_old_tokens_work() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("access_token.db");
        let theirs = rusqlite::Connection::open(&path).unwrap();
        theirs
            .execute_batch(&format!(
                "CREATE TABLE AnweddolServerAccessTokenTable (EntryID INTEGER PRIMARY KEY, CreationTimestamp INTEGER, AccessToken TEXT, Enabled INTEGER);
                 INSERT INTO AnweddolServerAccessTokenTable VALUES (1, 1700000000, '{}', 1), (2, 1700000001, '{}', 0);",
                SecretHash::of("old").hex(),
                SecretHash::of("off").hex()
            ))
            .unwrap();
        let ledger = Ledger::open(&Context::for_tests(&dir.path().join("state")).store).unwrap();
        assert_eq!(tokens(&path, &ledger).unwrap(), 2);
        assert_eq!(tokens(&path, &ledger).unwrap(), 0, "again changes nothing");
        assert!(ledger.token("old").await.unwrap().is_some());
        assert!(ledger.token("off").await.unwrap().is_none());
        assert!(tokens(&dir.path().join("none.db"), &ledger).is_err());
    }
}
