//! The TOML text as a tree in which every key and value knows its place.

use std::{collections::BTreeMap, ops::Range};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Path, Step, check::Bad};

/// A value and where it stands, in bytes of the text.
#[derive(Clone, Debug)]
pub(super) struct Node {
    /// The key in front of it; for an element of an array the element itself.
    pub(super) key: Range<usize>,
    /// The value; for a table under a header the header.
    pub(super) span: Range<usize>,
    pub(super) value: Value,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(BTreeMap<String, Node>),
    Array(Vec<Node>),
    Text(String),
    /// `None`: does not fit 64 bits.
    Integer(Option<i64>),
    Float(f64),
    Boolean(bool),
    Datetime(toml::value::Datetime),
}

/// A syntax error and where it stands.
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) span: Range<usize>,
}

/// The tree, and what is wrong with the text (then the tree is only a guess).
pub(super) fn parse(text: &str) -> (Node, Vec<SyntaxError>) {
    let (table, errors) = DeTable::parse_recoverable(text);
    let root = Node {
        key: 0..0,
        span: 0..0,
        value: table_value(table.get_ref()),
    };
    let errors = errors.into_iter().map(|error| SyntaxError {
        message: error.message().to_owned(),
        span: error.span().unwrap_or(0..0),
    });
    (root, errors.collect())
}

fn table_value(table: &DeTable<'_>) -> Value {
    let entries = table.iter().map(|(key, value)| {
        let node = Node {
            key: key.span(),
            ..node(value)
        };
        (key.get_ref().to_string(), node)
    });
    Value::Table(entries.collect())
}

fn node(spanned: &Spanned<DeValue<'_>>) -> Node {
    let value = match spanned.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            let digits = integer.as_str().replace('_', "");
            Value::Integer(i64::from_str_radix(&digits, integer.radix()).ok())
        }
        DeValue::Float(float) => {
            Value::Float(float.as_str().replace('_', "").parse().unwrap_or(f64::NAN))
        }
        DeValue::Boolean(boolean) => Value::Boolean(*boolean),
        DeValue::Datetime(datetime) => Value::Datetime(*datetime),
        DeValue::Array(array) => Value::Array(array.iter().map(node).collect()),
        DeValue::Table(table) => table_value(table),
    };
    Node {
        key: spanned.span(),
        span: spanned.span(),
        value,
    }
}

impl Node {
    /// A value that stands nowhere in the text.
    pub(super) fn made(value: Value) -> Self {
        Self {
            key: 0..0,
            span: 0..0,
            value,
        }
    }

    pub(super) fn child(&self, step: &Step) -> Option<&Node> {
        match (step, &self.value) {
            (Step::Key(key), Value::Table(table)) => table.get(key),
            (Step::Index(index), Value::Array(array)) => array.get(*index),
            _ => None,
        }
    }

    /// The value at `path`, or its nearest parent that exists.
    pub(super) fn nearest(&self, path: &Path) -> &Node {
        let mut node = self;
        for step in path.steps() {
            match node.child(step) {
                Some(child) => node = child,
                None => break,
            }
        }
        node
    }

    pub(super) fn get(&self, path: &Path) -> Option<&Node> {
        path.steps()
            .iter()
            .try_fold(self, |node, step| node.child(step))
    }

    /// The path of the innermost value that covers the byte at `offset`.
    pub(super) fn path_at(&self, offset: usize) -> Path {
        let mut path = Path::root();
        let mut node = self;
        while let Some((step, child)) = node.child_at(offset) {
            path = match step {
                Step::Key(key) => path.key(&key),
                Step::Index(index) => path.index(index),
            };
            node = child;
        }
        path
    }

    fn child_at(&self, offset: usize) -> Option<(Step, &Node)> {
        let covers = |node: &Node| node.covers(offset);
        match &self.value {
            Value::Table(table) => {
                let (key, node) = table.iter().find(|(_, node)| covers(node))?;
                Some((Step::Key(key.clone()), node))
            }
            Value::Array(array) => {
                let index = array.iter().position(covers)?;
                Some((Step::Index(index), &array[index]))
            }
            _ => None,
        }
    }

    fn covers(&self, offset: usize) -> bool {
        let here = self.span.contains(&offset) || self.key.contains(&offset);
        here || match &self.value {
            Value::Table(table) => table.values().any(|node| node.covers(offset)),
            Value::Array(array) => array.iter().any(|node| node.covers(offset)),
            _ => false,
        }
    }

    /// The table whose header (`[a.b]` or `[[a.b]]`) is the last one that begins at or before `offset`.
    pub(super) fn last_header(&self, offset: usize, text: &str) -> Path {
        let mut last = (0, Path::root());
        self.headers(&Path::root(), &mut |path, span| {
            let is_header = text.get(span.clone()).is_some_and(|t| t.starts_with('['));
            if is_header && span.start <= offset && span.start >= last.0 {
                last = (span.start, path.clone());
            }
        });
        last.1
    }

    /// Calls `visit` for each table, parents first.
    fn headers(&self, here: &Path, visit: &mut impl FnMut(&Path, &Range<usize>)) {
        match &self.value {
            Value::Table(table) => {
                visit(here, &self.span);
                for (key, node) in table {
                    node.headers(&here.key(key), visit);
                }
            }
            Value::Array(array) => {
                for (index, node) in array.iter().enumerate() {
                    node.headers(&here.index(index), visit);
                }
            }
            _ => {}
        }
    }

    /// The value for serde: in the place of what is bad what was meant, or nothing. `None` when an element of an array
    /// would have to go: that would move the others, and with them every later message.
    pub(super) fn to_toml(&self, here: &Path, bad: &[Bad]) -> Option<toml::Value> {
        let within = |place: &Path, node: &Self| match bad.iter().find(|bad| bad.path == *place) {
            None => node.to_toml(place, bad).map(Some),
            Some(Bad {
                meant: Some(meant), ..
            }) => Self::made(meant.clone()).to_toml(place, &[]).map(Some),
            Some(_) => Some(None),
        };
        Some(match &self.value {
            Value::Table(table) => {
                let mut entries = toml::Table::new();
                for (key, node) in table {
                    if let Some(value) = within(&here.key(key), node)? {
                        entries.insert(key.clone(), value);
                    }
                }
                toml::Value::Table(entries)
            }
            Value::Array(array) => {
                let items = array
                    .iter()
                    .enumerate()
                    .map(|(index, node)| within(&here.index(index), node).flatten());
                toml::Value::Array(items.collect::<Option<_>>()?)
            }
            Value::Text(text) => toml::Value::String(text.clone()),
            Value::Integer(integer) => toml::Value::Integer((*integer)?),
            Value::Float(float) => toml::Value::Float(*float),
            Value::Boolean(boolean) => toml::Value::Boolean(*boolean),
            Value::Datetime(datetime) => toml::Value::Datetime(*datetime),
        })
    }

    /// What it is, in the words of the messages.
    pub(super) fn kind(&self) -> &'static str {
        match self.value {
            Value::Table(_) => "a table",
            Value::Array(_) => "a list",
            Value::Text(_) => "a text",
            Value::Integer(_) => "a whole number",
            Value::Float(_) => "a number",
            Value::Boolean(_) => "true or false",
            Value::Datetime(_) => "a date or time",
        }
    }
}
