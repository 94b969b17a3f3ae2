//! The configuration as a tree in which every value knows its place.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use serde_json::Value as Json;
use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::{ConfigErrorCode, ConfigProblem, Place};

/// The deepest nesting: within the JSON parser's own limit, and far from the stack's.
pub(super) const DEPTH_MAX: usize = 64;

/// A value with its places.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) value: Value,
    /// Where the value is.
    pub(super) place: Place,
    /// Where its key is; that of an array's item is its value's.
    pub(super) key_place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Value {
    Table(Table),
    /// Replaced as a whole by a higher layer.
    Array(Vec<Node>),
    /// Never an array or an object.
    Leaf(Json),
}

pub(super) type Table = BTreeMap<String, Node>;

/// Appends a key to a dotted path, in quotes when it is not a bare one.
pub(super) fn join(path: &str, key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let key = if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    };
    if path.is_empty() {
        key
    } else {
        format!("{path}.{key}")
    }
}

impl Node {
    /// A value that has one place for all its parts.
    pub(super) fn from_json(json: Json, place: &Place) -> Self {
        let value = match json {
            Json::Object(map) => Value::Table(
                map.into_iter()
                    .map(|(key, json)| (key, Self::from_json(json, place)))
                    .collect(),
            ),
            Json::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|json| Self::from_json(json, place))
                    .collect(),
            ),
            leaf => Value::Leaf(leaf),
        };
        Self::new(value, place)
    }

    pub(super) fn new(value: Value, place: &Place) -> Self {
        Self {
            value,
            place: place.clone(),
            key_place: place.clone(),
        }
    }

    pub(super) fn empty_table(place: &Place) -> Self {
        Self::new(Value::Table(Table::new()), place)
    }

    /// Wraps a value into the tables that a dotted key names, outermost first.
    pub(super) fn under<'k>(self, keys: impl DoubleEndedIterator<Item = &'k str>) -> Self {
        keys.rev().fold(self, |inner, key| {
            let place = inner.place.clone();
            Self::new(Value::Table(Table::from([(key.to_owned(), inner)])), &place)
        })
    }

    /// Lays `upper` over this: tables merge, all else is replaced.
    pub(super) fn merge(&mut self, upper: Self) {
        match (&mut self.value, upper.value) {
            (Value::Table(below), Value::Table(above)) => {
                (self.place, self.key_place) = (upper.place, upper.key_place);
                for (key, node) in above {
                    match below.entry(key) {
                        Entry::Occupied(mut entry) => entry.get_mut().merge(node),
                        Entry::Vacant(entry) => {
                            entry.insert(node);
                        }
                    }
                }
            }
            (_, value) => {
                *self = Self {
                    value,
                    place: upper.place,
                    key_place: upper.key_place,
                };
            }
        }
    }

    /// What of this `keep` chooses by its place, with the tables around it; `None` when that is
    /// nothing.
    pub(super) fn only(&self, keep: fn(&Place) -> bool) -> Option<Self> {
        let Value::Table(table) = &self.value else {
            return keep(&self.place).then(|| self.clone());
        };
        let kept: Table = table
            .iter()
            .filter_map(|(key, node)| Some((key.clone(), node.only(keep)?)))
            .collect();
        if kept.is_empty() && !(table.is_empty() && keep(&self.place)) {
            return None;
        }
        Some(Self {
            value: Value::Table(kept),
            place: self.place.clone(),
            key_place: self.key_place.clone(),
        })
    }

    /// Calls `each` with every value: a table or array before what is in it, in the order of keys.
    pub(super) fn walk<'n>(&'n self, each: &mut impl FnMut(&'n Self)) {
        each(self);
        match &self.value {
            Value::Table(table) => table.values().for_each(|node| node.walk(each)),
            Value::Array(items) => items.iter().for_each(|node| node.walk(each)),
            Value::Leaf(_) => {}
        }
    }

    /// As [`walk`](Self::walk), to change them.
    pub(super) fn walk_mut(&mut self, each: &mut impl FnMut(&mut Self)) {
        each(self);
        match &mut self.value {
            Value::Table(table) => table.values_mut().for_each(|node| node.walk_mut(each)),
            Value::Array(items) => items.iter_mut().for_each(|node| node.walk_mut(each)),
            Value::Leaf(_) => {}
        }
    }

    /// The value at a path of bare keys.
    pub(super) fn get(&self, dotted: &str) -> Option<&Self> {
        dotted
            .split('.')
            .try_fold(self, |node, key| node.table()?.get(key))
    }

    pub(super) fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub(super) fn to_json(&self) -> Json {
        match &self.value {
            Value::Table(table) => Json::Object(
                table
                    .iter()
                    .map(|(key, node)| (key.clone(), node.to_json()))
                    .collect(),
            ),
            Value::Array(items) => Json::Array(items.iter().map(Self::to_json).collect()),
            Value::Leaf(leaf) => leaf.clone(),
        }
    }

    /// Collects what one layer sets as a whole: leaves, arrays and empty tables.
    pub(super) fn leaves<'n>(&'n self, path: &str, found: &mut Vec<(String, &'n Self)>) {
        match &self.value {
            Value::Table(table) if path.is_empty() || !table.is_empty() => {
                for (key, node) in table {
                    node.leaves(&join(path, key), found);
                }
            }
            _ => found.push((path.to_owned(), self)),
        }
    }
}

/// Turns what the TOML parser read into a tree.
pub(super) struct Reader<'r> {
    /// Gives the place of a byte range's begin.
    place: &'r dyn Fn(usize) -> Place,
}

impl<'r> Reader<'r> {
    pub(super) fn new(place: &'r dyn Fn(usize) -> Place) -> Self {
        Self { place }
    }

    pub(super) fn table(
        &self,
        table: &DeTable<'_>,
        path: &str,
        depth: usize,
    ) -> Result<Table, ConfigProblem> {
        let mut nodes = Table::new();
        for (key, value) in table {
            let key_place = (self.place)(key.span().start);
            let path = join(path, key.get_ref());
            let mut node = self.value(value, &path, depth + 1)?;
            // The parser's span of `[a.b]` is the header, of an implicit table that of its first key.
            node.key_place = key_place;
            nodes.insert(key.get_ref().to_string(), node);
        }
        Ok(nodes)
    }

    pub(super) fn value(
        &self,
        spanned: &Spanned<DeValue<'_>>,
        path: &str,
        depth: usize,
    ) -> Result<Node, ConfigProblem> {
        let place = (self.place)(spanned.span().start);
        let wrong = |message: &str| {
            let code = ConfigErrorCode::InvalidValue;
            Err(ConfigProblem::new(code, Some(place.clone()), path, message))
        };
        if depth > DEPTH_MAX {
            return wrong("nested too deeply");
        }
        let leaf = match spanned.get_ref() {
            DeValue::Table(table) => {
                let table = self.table(table, path, depth)?;
                return Ok(Node::new(Value::Table(table), &place));
            }
            DeValue::Array(array) => {
                let items = array.iter().enumerate();
                let items: Result<_, _> = items
                    .map(|(index, item)| self.value(item, &format!("{path}[{index}]"), depth + 1))
                    .collect();
                return Ok(Node::new(Value::Array(items?), &place));
            }
            DeValue::String(text) => Json::String(text.to_string()),
            DeValue::Boolean(yes) => Json::Bool(*yes),
            // As text, which is what the children get to see anyway.
            DeValue::Datetime(time) => Json::String(time.to_string()),
            DeValue::Integer(number) => match integer(number) {
                Some(json) => json,
                None => return wrong("a whole number must fit into 64 bits"),
            },
            DeValue::Float(number) => {
                let number = number.as_str().parse().ok();
                match number.and_then(serde_json::Number::from_f64) {
                    Some(number) => Json::Number(number),
                    None => return wrong("a number must be finite"),
                }
            }
        };
        Ok(Node::new(Value::Leaf(leaf), &place))
    }
}

fn integer(number: &DeInteger<'_>) -> Option<Json> {
    let (digits, radix) = (number.as_str(), number.radix());
    let signed = i64::from_str_radix(digits, radix).map(Json::from);
    let number = signed.or_else(|_| u64::from_str_radix(digits, radix).map(Json::from));
    number.ok()
}
