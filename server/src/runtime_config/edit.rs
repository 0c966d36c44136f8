//! What the gas service asks of the configuration in force.

use super::{RuntimeConfig, signed};
use crate::config;
use leitstand_gas::configuration::{Configuration, Draft, NotStored, Past, Version};
use std::collections::BTreeSet;

/// Versions listed. Reasoning: a change a month for a decade; older ones stay in the table.
const LISTED_MAX: u32 = 120;

impl Configuration for RuntimeConfig {
    fn current(&self) -> Version {
        let bootstrap = self.bootstrap();
        Version {
            number: bootstrap.number(),
            text: bootstrap.text().to_owned(),
            drift: bootstrap.drift,
        }
    }

    fn check(&self, text: &str) -> Draft {
        let (present, file) = {
            let bootstrap = self.bootstrap();
            (bootstrap.text().to_owned(), bootstrap.file().to_owned())
        };
        let (checked, diagnostics) = config::check(text, &file.display().to_string());
        let mut differ = differing_sections(&present, text);
        // Both must go, so no short circuit.
        let [gas, power] = ["gas", "power"].map(|key| differ.remove(key));
        Draft {
            site: checked.and_then(|c| c.gas),
            diagnostics,
            gas_changed: gas || power,
            restart: differ.into_iter().collect(),
        }
    }

    fn accept(&self, text: &str, by: &str, reason: &str) -> Result<Version, NotStored> {
        let number = self.bootstrap().number() + 1;
        // The list first: a version that is listed and not in force is harmless, the reverse is not.
        self.remember(number, text, Some((by, reason)))
            .map_err(|e| NotStored(e.to_string()))?;
        self.bootstrap()
            .replace(text)
            .map_err(|e| NotStored(format!("{e:?}")))?;
        Ok(self.current())
    }

    fn versions(&self) -> Result<Vec<Past>, NotStored> {
        let newest = signed(self.bootstrap().number());
        let read = self.store.read_blocking(move |db| {
            let mut query = db.prepare_cached(
                "SELECT number, sha256, unix_ms, actor, reason FROM gateway_configurations
                 WHERE number <= ?1 ORDER BY number DESC LIMIT ?2",
            )?;
            let rows = query.query_map((newest, LISTED_MAX), |row| {
                Ok(Past {
                    number: row.get::<_, i64>(0)?.unsigned_abs(),
                    sha256: row.get(1)?,
                    unix_ms: row.get(2)?,
                    by: row.get(3)?,
                    reason: row.get(4)?,
                })
            })?;
            rows.collect()
        });
        read.map_err(|e| NotStored(e.to_string()))
    }

    fn text_of(&self, number: u64) -> Result<Option<String>, NotStored> {
        let read = self.store.read_blocking(move |db| {
            let mut query =
                db.prepare_cached("SELECT text FROM gateway_configurations WHERE number = ?1")?;
            let mut rows = query.query([signed(number)])?;
            rows.next()?.map(|row| row.get(0)).transpose()
        });
        read.map_err(|e| NotStored(e.to_string()))
    }
}

/// Top-level keys whose values differ. Comments and order do not count. A text that is no TOML differs in nothing:
/// its check names the mistake.
fn differing_sections(before: &str, after: &str) -> BTreeSet<String> {
    let parse = |text: &str| text.parse::<toml::Table>().ok();
    let (Some(before), Some(after)) = (parse(before), parse(after)) else {
        return BTreeSet::new();
    };
    before
        .keys()
        .chain(after.keys())
        .filter(|key| before.get(*key) != after.get(*key))
        .cloned()
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::bootstrap::Bootstrap;
    use leitstand_kit::Context;
    use std::sync::Arc;

    const FIRST: &str = "site = \"A\"\n";

    fn start(dir: &std::path::Path, text: &str) -> (Arc<RuntimeConfig>, Context) {
        let file = dir.join("leitstand.toml");
        if !file.exists() {
            std::fs::write(&file, text).unwrap();
        }
        let mut bootstrap = Bootstrap::find(dir, Some(&file), false).unwrap();
        bootstrap.begin().unwrap();
        let cx = Context::for_tests(dir);
        (RuntimeConfig::new(bootstrap, &cx).unwrap(), cx)
    }

    #[tokio::test]
    async fn a_change_is_in_force_after_a_restart_and_every_version_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let (first, cx) = start(dir.path(), FIRST);
        assert_eq!(first.current().number, 1);
        let second = "site = \"B\"\n";
        assert_eq!(first.accept(second, "anna", "moved").unwrap().number, 2);
        drop((first, cx));
        let (again, _cx) = start(dir.path(), FIRST);
        let current = again.current();
        assert_eq!((current.number, current.text.as_str()), (2, second));
        assert!(!current.drift, "the file itself was not edited");
        let past: Vec<_> = again
            .versions()
            .unwrap()
            .into_iter()
            .map(|p| (p.number, p.by, p.reason))
            .collect();
        assert_eq!(
            past,
            [
                (2, Some("anna".into()), Some("moved".into())),
                (1, None, None)
            ]
        );
        assert_eq!(again.text_of(1).unwrap().as_deref(), Some(FIRST));
        assert_eq!(again.text_of(3).unwrap(), None);
    }

    #[tokio::test]
    async fn what_cannot_be_stored_is_not_in_force() {
        let dir = tempfile::tempdir().unwrap();
        let (config, _cx) = start(dir.path(), FIRST);
        // A directory in the place of the file: the rename fails whoever runs this.
        let status = dir.path().join("status");
        std::fs::remove_file(&status).unwrap();
        std::fs::create_dir_all(status.join("in the way")).unwrap();
        assert!(config.accept("site = \"B\"\n", "anna", "x").is_err());
        let current = config.current();
        assert_eq!((current.number, current.text.as_str()), (1, FIRST));
        assert_eq!(
            config.versions().unwrap().len(),
            1,
            "it is not listed either"
        );
    }

    #[test]
    fn sections_differ_by_value() {
        let differ = |a, b| Vec::from_iter(differing_sections(a, b));
        assert!(differ("a = 1 # one\n[b]\nc = 2\n", "b = { c = 2 }\na = 1\n").is_empty());
        let before = "a = 1\n[gas]\nx = 1\n[panel]\ny = 1\n";
        let after = "a = 1\n[gas]\nx = 2\n[api]\nz = 1\n";
        assert_eq!(differ(before, after), ["api", "gas", "panel"]);
    }
}
