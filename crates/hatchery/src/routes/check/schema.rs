//! JSON Schema, for what comes in.

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Number, Value, json};

use crate::Error;
use crate::config::Place;
use crate::routes::{Input, InputError};

/// So many mistakes are told; a body can have a million.
const MISTAKES_MAX: usize = 16;

/// Longest text about one mistake, in characters: some repeat names that the client has chosen.
const TEXT_MAX: usize = 200;

/// A JSON Schema.
pub(in crate::routes) struct Check {
    schema: Value,
    validator: Validator,
    /// Of the route, for the log.
    place: Place,
}

/// What is wrong, and with which field.
struct Mistake {
    /// A JSON pointer.
    path: String,
    message: String,
}

impl Check {
    pub(in crate::routes) fn new(schema: &Value, place: &Place) -> Result<Self, String> {
        let validator = jsonschema::options()
            .offline()
            .should_validate_formats(true)
            .should_ignore_unknown_formats(false)
            // In linear time, whatever clients send.
            .with_pattern_options(PatternOptions::regex())
            .build(schema);
        let validator = validator.map_err(|error| {
            let path = error.instance_path().as_str();
            let colon = if path.is_empty() { "" } else { ": " };
            let text = error.to_string();
            // There is nothing to adjust.
            let text =
                text.trim_end_matches(". Adjust configuration to ignore unrecognized formats");
            format!("`validate` is no JSON Schema: {path}{colon}{text}")
        })?;
        Ok(Self {
            schema: schema.clone(),
            validator,
            place: place.clone(),
        })
    }

    /// The input again, or what is wrong with it.
    pub(in crate::routes) fn look(&self, input: Input) -> Result<Input, Error> {
        let fields = input.has_fields().then(|| input.clone());
        let value = input.into_value().map_err(InputError::into_error)?;
        let value = match &fields {
            Some(_) => typed(value, &self.schema),
            None => value,
        };
        let errors = self.validator.iter_errors(&value);
        let mut mistakes: Vec<Mistake> = errors
            .take(MISTAKES_MAX)
            .map(|error| Mistake::of(&error))
            .collect();
        mistakes.sort_by(|a, b| a.path.cmp(&b.path));
        if mistakes.is_empty() {
            let fields = fields.map(Box::new);
            return Ok(Input::Checked { value, fields });
        }
        Err(self.refusal(&mistakes))
    }

    fn refusal(&self, mistakes: &[Mistake]) -> Error {
        let texts: Vec<String> = mistakes.iter().map(Mistake::text).collect();
        let list = mistakes
            .iter()
            .map(|Mistake { path, message }| json!({ "path": path, "message": message }));
        Error::bad_request(format!(
            "what came in is not as wanted: {}",
            texts.join("; ")
        ))
        .with_errors(list.collect())
        .with_source(format!("`validate` of the route at {}", self.place))
    }
}

impl Mistake {
    /// Never repeats the value: it may be a password.
    fn of(error: &ValidationError<'_>) -> Self {
        let mut path = error.instance_path().as_str().to_owned();
        // A field that is missing has a path as well.
        if let ValidationErrorKind::Required { property } = error.kind()
            && let Some(name) = property.as_str()
        {
            path = format!("{path}/{}", name.replace('~', "~0").replace('/', "~1"));
        }
        let message = error.masked_with("the value").to_string();
        Self {
            path: short(path),
            message: short(message),
        }
    }

    fn text(&self) -> String {
        match self.path.as_str() {
            "" => self.message.clone(),
            path => format!("{path}: {}", self.message),
        }
    }
}

fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(TEXT_MAX) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Fields of queries and forms are text: those that the schema wants as something else are read as
/// that. What cannot be read stays, and the schema says so.
fn typed(value: Value, schema: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let properties = schema.get("properties");
            let typed = |(name, value)| {
                let value = match properties.and_then(|all| all.get(&name)) {
                    Some(schema) => field(value, schema),
                    None => value,
                };
                (name, value)
            };
            Value::Object(fields.into_iter().map(typed).collect::<Map<_, _>>())
        }
        other => other,
    }
}

fn field(value: Value, schema: &Value) -> Value {
    let is = |name: &str| match schema.get("type") {
        Some(Value::String(kind)) => kind == name,
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == name),
        _ => false,
    };
    match value {
        Value::Array(items) => {
            let of = schema.get("items").unwrap_or(&Value::Null);
            Value::Array(items.into_iter().map(|item| field(item, of)).collect())
        }
        value if is("string") => value,
        value if is("array") => field(Value::Array(vec![value]), schema),
        Value::String(text) => {
            let wants_number = is("number") || is("integer");
            match (text.as_str(), text.parse::<Number>()) {
                ("true", _) if is("boolean") => Value::Bool(true),
                ("false", _) if is("boolean") => Value::Bool(false),
                (_, Ok(number)) if wants_number => Value::Number(number),
                _ => Value::String(text),
            }
        }
        other => other,
    }
}
