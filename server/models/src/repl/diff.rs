//! The difference of two documents as RFC 6902 operations.

use serde_json::{Value, json};

/// Operations that turn `old` into `new`; lists are replaced as a whole.
#[must_use]
pub fn diff(old: &Value, new: &Value) -> Vec<Value> {
    let mut operations = Vec::new();
    compare(old, new, &mut String::new(), &mut operations);
    operations
}

fn compare(old: &Value, new: &Value, path: &mut String, operations: &mut Vec<Value>) {
    if old == new {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (old, new) else {
        operations.push(json!({"op": "replace", "path": path.as_str(), "value": new}));
        return;
    };
    let length = path.len();
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        step(path, key);
        operations.push(json!({"op": "remove", "path": path.as_str()}));
        path.truncate(length);
    }
    for (key, value) in after {
        step(path, key);
        match before.get(key) {
            Some(known) => compare(known, value, path, operations),
            None => operations.push(json!({"op": "add", "path": path.as_str(), "value": value})),
        }
        path.truncate(length);
    }
}

fn step(path: &mut String, key: &str) {
    path.push('/');
    path.push_str(&key.replace('~', "~0").replace('/', "~1"));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    /// What a client does with the operations.
    fn apply(document: &mut Value, operations: &[Value]) {
        for operation in operations {
            let path = operation["path"].as_str().unwrap();
            if path.is_empty() {
                *document = operation["value"].clone();
                continue;
            }
            let (parent, key) = path.rsplit_once('/').unwrap();
            let parent = document
                .pointer_mut(parent)
                .unwrap()
                .as_object_mut()
                .unwrap();
            let key = key.replace("~1", "/").replace("~0", "~");
            match operation["op"].as_str().unwrap() {
                "remove" => assert!(parent.remove(&key).is_some()),
                "add" => assert!(parent.insert(key, operation["value"].clone()).is_none()),
                _ => assert!(parent.insert(key, operation["value"].clone()).is_some()),
            }
        }
    }

    fn document() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a/~]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
                prop::collection::btree_map("[a/~]{0,2}", inner, 0..4)
                    .prop_map(|m| m.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn a_mirror_that_applies_the_operations_is_equal(old in document(), new in document()) {
            let mut mirror = old.clone();
            apply(&mut mirror, &diff(&old, &new));
            prop_assert_eq!(mirror, new);
        }
    }

    #[test]
    fn a_change_of_a_phase_is_one_operation() {
        let old = json!({"models": {}, "actions": {"1": {"progress": "executing"}}});
        let new = json!({"models": {}, "actions": {"1": {"progress": "complete"}}});
        assert_eq!(
            diff(&old, &new),
            [json!({"op": "replace", "path": "/actions/1/progress", "value": "complete"})]
        );
    }
}
