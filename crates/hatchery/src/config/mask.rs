//! Secrets, made unreadable before anybody is shown the configuration.

use serde_json::Value as Json;

/// What stands in place of a part of a text.
const STARS: &str = "***";

/// Which keys hold secrets.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mask {
    /// Keys of the application's own (`dump.ignore`), without separators, in lower case.
    more: Vec<String>,
}

impl Mask {
    pub(crate) fn new(more: &[String]) -> Self {
        Self {
            more: more.iter().map(|key| joined(&words(key))).collect(),
        }
    }

    /// Masks what is below `key`: everything when the key is a secret one, else what is secret in
    /// it.
    pub(crate) fn value(&self, key: &str, value: &Json) -> Json {
        if self.is_secret(key) {
            return hidden(value);
        }
        match value {
            Json::Object(table) => table
                .iter()
                .map(|(key, value)| (key.clone(), self.value(key, value)))
                .collect(),
            // An item has no key; those of its own table have.
            Json::Array(items) => items.iter().map(|item| self.value("", item)).collect(),
            Json::String(text) => Json::String(self.text(text)),
            other => other.clone(),
        }
    }

    /// Masks a value by its dotted path: a secret key anywhere in it hides the value.
    pub(crate) fn at(&self, path: &str, value: &Json) -> Json {
        let mut keys = path.split('.').map(|key| key.trim_matches('"'));
        if keys.any(|key| self.is_secret(key)) {
            return hidden(value);
        }
        self.value("", value)
    }

    fn is_secret(&self, key: &str) -> bool {
        let words = words(key);
        let whole = joined(&words);
        let word = words.iter().any(|word| {
            let word = word.strip_suffix('s').unwrap_or(word);
            matches!(
                word,
                "secret" | "token" | "password" | "credential" | "authorization" | "bearer"
            )
        });
        let last = words
            .last()
            .is_some_and(|last| matches!(&**last, "pass" | "pwd" | "passd" | "passwd"));
        let suffix = |suffix: &&str| {
            whole.ends_with(suffix) || whole.strip_suffix('s').is_some_and(|w| w.ends_with(suffix))
        };
        word || last
            || whole == "keys"
            || whole.contains("secret")
            || SUFFIXES.iter().any(suffix)
            || self.more.contains(&whole)
    }

    /// A text that is an address with user-info, or has `key=value` parts with a secret key.
    fn text(&self, text: &str) -> String {
        self.without_pairs(&without_user_info(text))
    }

    fn without_pairs(&self, text: &str) -> String {
        if !text.contains('=') {
            return text.to_owned();
        }
        let is_end = |letter: char| matches!(letter, '?' | '&' | ';' | ' ' | '\n');
        text.split_inclusive(is_end)
            .map(|part| {
                let (body, end) = match part.char_indices().next_back() {
                    Some((at, last)) if is_end(last) => part.split_at(at),
                    _ => (part, ""),
                };
                match body.split_once('=') {
                    Some((key, value)) if !value.is_empty() && self.is_secret(key) => {
                        format!("{key}={STARS}{end}")
                    }
                    _ => part.to_owned(),
                }
            })
            .collect()
    }
}

/// What the end of a key says, however its words are separated.
const SUFFIXES: &[&str] = &[
    "secret",
    "token",
    "password",
    "passwd",
    "passphrase",
    "credential",
    "masterkey",
    "accesskey",
    "privatekey",
    "apikey",
    "accountkey",
    "encryptionkey",
    "jwtkey",
    "sessionkey",
    "signingkey",
    "sshkey",
];

/// `masterKey`, `master_key` and `master-key` are the same two words.
fn words(key: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut before = ' ';
    for letter in key.chars() {
        let begins = letter.is_uppercase() && before.is_lowercase();
        if begins || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        before = letter;
    }
    words.retain(|word| !word.is_empty());
    words
}

fn joined(words: &[String]) -> String {
    words.concat()
}

/// Every value in it, with its kind and length.
fn hidden(value: &Json) -> Json {
    match value {
        Json::Object(table) => table
            .iter()
            .map(|(key, value)| (key.clone(), hidden(value)))
            .collect(),
        Json::Array(items) => items.iter().map(hidden).collect(),
        Json::String(text) => format!("<string, {} characters>", text.chars().count()).into(),
        Json::Number(_) => "<number>".into(),
        other => other.clone(),
    }
}

/// `redis://user:word@host` without `user:word`, for every address in the text.
fn without_user_info(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (scheme, after) = rest.split_at(at + 3);
        shown.push_str(scheme);
        rest = after;
        // A password may have any letter that is not encoded as it should be.
        let end = |letter: char| letter.is_whitespace() || matches!(letter, '"' | '\'' | '<' | '>');
        let address = &rest[..rest.find(end).unwrap_or(rest.len())];
        let address = &address[..address.find("://").unwrap_or(address.len())];
        let authority = &address[..address.find(['/', '?', '#']).unwrap_or(address.len())];
        let info = match authority.rfind('@') {
            Some(at) => Some(at),
            None if authority.contains(':') => address.rfind('@'),
            None => None,
        };
        if let Some(at) = info {
            shown.push_str(STARS);
            rest = &rest[at..];
        }
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secret_keys_are_found_by_their_words_and_ends() {
        let mask = Mask::new(&["pin_code".to_owned()]);
        for key in [
            "pass",
            "pwd",
            "passd",
            "passwd",
            "password",
            "keys",
            "master_key",
            "masterKey",
            "access_key",
            "accessKey",
            "secret",
            "clientSecret",
            "client_secret_2",
            "apiToken",
            "api-token",
            "tokens",
            "myPassword",
            "mypassword",
            "db_pass",
            "credentials",
            "awsCredential",
            "mysecretvalue",
            "API_KEY",
            "private-key",
            "pinCode",
        ] {
            assert!(mask.is_secret(key), "{key}");
        }
        for key in [
            "",
            "key",
            "monkeys",
            "compass",
            "bypass",
            "passenger",
            "name",
            "port",
            "code",
        ] {
            assert!(!mask.is_secret(key), "{key}");
        }
    }

    #[test]
    fn values_are_hidden_as_deep_as_they_go() {
        let value = json!({
            "name": "shop",
            "clients": [{"name": "a", "password": "word"}, {"secret": {"a": ["bc", 5, true, null]}}],
            "url": "redis://user:word@host:6379/0",
        });
        assert_eq!(
            Mask::default().value("", &value),
            json!({
                "name": "shop",
                "clients": [
                    {"name": "a", "password": "<string, 4 characters>"},
                    {"secret": {"a": ["<string, 2 characters>", "<number>", true, null]}},
                ],
                "url": "redis://***@host:6379/0",
            })
        );
        assert_eq!(
            Mask::default().at("a.my_secret.b", &json!("x")),
            json!("<string, 1 characters>")
        );
    }

    #[test]
    fn addresses_lose_their_user_info() {
        for (text, shown) in [
            ("redis://:word@host/0", "redis://***@host/0"),
            ("postgres://u:p/w?#d@host/db", "postgres://***@host/db"),
            (
                "nats://a:b@one,nats://c:d@two:4222",
                "nats://***@one,nats://***@two:4222",
            ),
            ("mongodb://u:p@one,two/db", "mongodb://***@one,two/db"),
            ("https://example.com/@user", "https://example.com/@user"),
            ("127.0.0.1:7001", "127.0.0.1:7001"),
            ("see http://a:b@c and d@e", "see http://***@c and d@e"),
            ("db?user=x&password=y&ssl=1", "db?user=x&password=***&ssl=1"),
            (
                "Server=h;Password=p w;Port=1",
                "Server=h;Password=*** w;Port=1",
            ),
            ("a = b", "a = b"),
        ] {
            assert_eq!(Mask::default().text(text), shown, "{text}");
        }
    }
}
