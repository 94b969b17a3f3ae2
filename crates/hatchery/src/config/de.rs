//! Typed access: a deserializer over the tree that knows where it is.
//!
//! It sees the fields of each struct that serde asks for, so that unknown keys are found at their
//! place, with a suggestion, whether or not the type denies them; and an error carries the path
//! and the place of the value that caused it.

mod fault;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, btree_map};

use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::de::{Error as _, IntoDeserializer};
use serde::forward_to_deserialize_any;
use serde_json::Value as Json;

use self::fault::Fault;
use super::suggest::did_you_mean;
use super::tree::{Node, Value, join};
use super::{ConfigErrorCode, ConfigProblem};

/// How many values of one section are reported; whoever has more will run it again.
const FAULTS_MAX: usize = 64;

/// Reads a `T` from `node` (`None`: the section is not there, which is as good as empty).
///
/// Serde ends at the first error. To find the others, what caused it is left out and the rest is
/// read again; what is then missing because it was left out is no problem of its own.
pub(super) fn read<T: DeserializeOwned>(
    node: Option<&Node>,
    path: &str,
) -> Result<T, Vec<ConfigProblem>> {
    let context = Context::default();
    let mut faults: Vec<Fault> = Vec::new();
    let mut result = None;
    while faults.len() < FAULTS_MAX {
        let cursor = Cursor {
            node,
            path: path.to_owned(),
            context: &context,
        };
        match T::deserialize(cursor) {
            Ok(value) => {
                result = Some(value);
                break;
            }
            Err(fault) => {
                let fault = fault.locate(node, path);
                if fault.follows_from(&context.skipped.borrow()) {
                    break;
                }
                let at_root = fault.path() == path;
                context.skipped.borrow_mut().insert(fault.path().to_owned());
                faults.push(fault);
                if at_root {
                    break;
                }
            }
        }
    }
    let mut problems: Vec<_> = context.unknown.into_inner().into_values().collect();
    problems.extend(faults.into_iter().map(Fault::into_problem));
    match result {
        Some(value) if problems.is_empty() => Ok(value),
        _ => Err(problems),
    }
}

/// What all cursors of one reading share.
#[derive(Default)]
struct Context {
    /// Unknown keys by their path: the same one is met again in each attempt.
    unknown: RefCell<BTreeMap<String, ConfigProblem>>,
    /// The paths of values that have been reported and are left out.
    skipped: RefCell<BTreeSet<String>>,
}

impl Context {
    fn skips(&self, path: &str) -> bool {
        self.skipped.borrow().contains(path)
    }
}

/// A deserializer that stands at a value.
struct Cursor<'n> {
    /// `None`: nothing is there.
    node: Option<&'n Node>,
    path: String,
    context: &'n Context,
}

impl<'n> Cursor<'n> {
    fn below(node: &'n Node, path: String, context: &'n Context) -> Self {
        Self {
            node: Some(node),
            path,
            context,
        }
    }

    /// Reads this value; an error that comes up after the value was handed over (a conversion, a
    /// tagged enum that serde buffers) is this value's too.
    fn feed<'de, S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Fault> {
        self.here(|cursor| seed.deserialize(cursor))
    }

    fn json(&self) -> Option<&'n Json> {
        match &self.node?.value {
            Value::Leaf(leaf) => Some(leaf),
            _ => None,
        }
    }

    /// The entries of the table, without those left out and, when `fields` says which keys there
    /// are, without unknown ones, which are reported.
    fn entries(&self, fields: Option<&'static [&'static str]>) -> Entries<'n> {
        let mut entries = BTreeMap::new();
        for (key, node) in self.node.and_then(Node::table).into_iter().flatten() {
            let path = join(&self.path, key);
            if self.context.skips(&path) {
                continue;
            }
            match fields {
                Some(fields) if !fields.contains(&key.as_str()) => {
                    let problem = unknown_key(&path, key, node, fields);
                    self.context.unknown.borrow_mut().insert(path, problem);
                }
                _ => {
                    entries.insert(key.as_str(), node);
                }
            }
        }
        Entries {
            rest: entries.into_iter(),
            value: None,
            path: self.path.clone(),
            context: self.context,
        }
    }

    fn is_table(&self) -> bool {
        self.node.is_none_or(|node| node.table().is_some())
    }

    /// Runs a step at this value; an error that has no path yet is this value's.
    fn here<T>(self, step: impl FnOnce(Self) -> Result<T, Fault>) -> Result<T, Fault> {
        let (node, path) = (self.node, self.path.clone());
        step(self).map_err(|fault| fault.locate(node, &path))
    }
}

fn unknown_key(path: &str, key: &str, node: &Node, fields: &[&'static str]) -> ConfigProblem {
    let suggestion = did_you_mean(key, fields.iter().copied());
    ConfigProblem::new(
        ConfigErrorCode::UnknownKey,
        Some(node.key_place.clone()),
        path,
        format!("unknown key `{path}`{suggestion}"),
    )
}

impl<'de> Deserializer<'de> for Cursor<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        self.here(|cursor| match cursor.node.map(|node| &node.value) {
            None | Some(Value::Table(_)) => visitor.visit_map(cursor.entries(None)),
            Some(Value::Array(items)) => visitor.visit_seq(Items {
                rest: items.iter().enumerate(),
                path: &cursor.path,
                context: cursor.context,
            }),
            Some(Value::Leaf(Json::Bool(yes))) => visitor.visit_bool(*yes),
            Some(Value::Leaf(Json::String(text))) => visitor.visit_str(text),
            Some(Value::Leaf(Json::Number(number))) => {
                if let Some(number) = number.as_u64() {
                    visitor.visit_u64(number)
                } else if let Some(number) = number.as_i64() {
                    visitor.visit_i64(number)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Some(Value::Leaf(_)) => visitor.visit_unit(),
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        if self.node.is_none() || matches!(self.json(), Some(Json::Null)) {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        if !self.is_table() {
            return self.here(|_| Err(Fault::custom("expected a table")));
        }
        self.here(|cursor| visitor.visit_map(cursor.entries(Some(fields))))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.here(|cursor| match cursor.json() {
            Some(Json::String(text)) => {
                let text: StrDeserializer<'_, Fault> = text.as_str().into_deserializer();
                text.deserialize_enum(name, variants, visitor)
            }
            None if cursor
                .node
                .and_then(Node::table)
                .is_some_and(|table| table.len() == 1) =>
            {
                visitor.visit_enum(MapAccessDeserializer::new(cursor.entries(None)))
            }
            _ => Err(Fault::custom(format!(
                "expected one of {}",
                fault::list(variants)
            ))),
        })
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier
    }
}

/// A table's entries.
struct Entries<'n> {
    rest: btree_map::IntoIter<&'n str, &'n Node>,
    value: Option<(&'n str, &'n Node)>,
    path: String,
    context: &'n Context,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        self.value = self.rest.next();
        let Some((key, node)) = self.value else {
            return Ok(None);
        };
        let key: StrDeserializer<'_, Fault> = key.into_deserializer();
        let path = || join(&self.path, self.value.map_or("", |(key, _)| key));
        seed.deserialize(key)
            .map(Some)
            .map_err(|fault| fault.locate(Some(node), &path()))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Fault> {
        let Some((key, node)) = self.value.take() else {
            return Err(Fault::custom("a value was asked for before its key"));
        };
        Cursor::below(node, join(&self.path, key), self.context).feed(seed)
    }
}

/// An array's items.
struct Items<'n> {
    rest: std::iter::Enumerate<std::slice::Iter<'n, Node>>,
    path: &'n str,
    context: &'n Context,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        for (index, node) in self.rest.by_ref() {
            let path = format!("{}[{index}]", self.path);
            if !self.context.skips(&path) {
                return Cursor::below(node, path, self.context).feed(seed).map(Some);
            }
        }
        Ok(None)
    }
}
