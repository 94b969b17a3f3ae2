//! Cookies that only we can read and make.

use std::fmt;

use cookie::{Cookie, CookieJar, Key};

/// The bytes that a key has at least.
pub(super) const KEY_BYTES_MIN: usize = 32;

/// The application's keys: the first one seals, all open. Never empty.
#[derive(Clone)]
pub(super) struct Keys {
    first: Key,
    others: Vec<Key>,
}

impl Keys {
    /// `None`: there is none, or a key is too short.
    pub(super) fn new(texts: &[String]) -> Option<Self> {
        let long = |text: &String| {
            let bytes = text.as_bytes();
            // It panics at less.
            (bytes.len() >= KEY_BYTES_MIN).then(|| Key::derive_from(bytes))
        };
        let mut keys = texts.iter().map(long).collect::<Option<Vec<_>>>()?;
        if keys.is_empty() {
            return None;
        }
        let others = keys.split_off(1);
        let first = keys.pop()?;
        Some(Self { first, others })
    }

    /// The value of a cookie called `name`, which opens for that name only.
    pub(super) fn seal(&self, name: &str, text: String) -> String {
        let mut jar = CookieJar::new();
        jar.private_mut(&self.first)
            .add(Cookie::new(name.to_owned(), text));
        jar.get(name)
            .map(|cookie| cookie.value().to_owned())
            .unwrap_or_default()
    }

    /// What was sealed, if that was done with one of these keys and for this name.
    pub(super) fn open(&self, name: &str, value: &str) -> Option<String> {
        let jar = CookieJar::new();
        let open = |key| {
            let cookie = Cookie::new(name.to_owned(), value.to_owned());
            jar.private(key).decrypt(cookie)
        };
        let mut keys = std::iter::once(&self.first).chain(&self.others);
        let cookie = keys.find_map(open)?;
        Some(cookie.value().to_owned())
    }
}

/// A name for a session in a store, which nobody can guess: 128 random bits. `None` when the
/// system has no random numbers.
pub(super) fn new_id() -> Option<String> {
    let random = Key::try_generate()?;
    let bytes = random.master().first_chunk::<16>()?;
    Some(format!("{:032x}", u128::from_ne_bytes(*bytes)))
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} keys", 1 + self.others.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(texts: &[&str]) -> Keys {
        let texts: Vec<_> = texts.iter().map(|text| text.repeat(32)).collect();
        Keys::new(&texts).unwrap()
    }

    #[test]
    fn only_our_keys_and_this_name_open_what_was_sealed() {
        let [one, both] = [keys(&["a"]), keys(&["b", "a"])];
        let sealed = one.seal("SESS", "word".to_owned());
        assert!(!sealed.contains("word"));
        assert_ne!(sealed, one.seal("SESS", "word".to_owned()), "the nonce");
        assert_eq!(both.open("SESS", &sealed).as_deref(), Some("word"));
        assert_eq!(both.open("OTHER", &sealed), None);
        assert_eq!(keys(&["b"]).open("SESS", &sealed), None);
        assert_eq!(one.open("SESS", &both.seal("SESS", String::new())), None);
        for index in 0..sealed.len() {
            let mut changed = sealed.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            // The last letter before the padding has bits that mean nothing.
            if index < sealed.trim_end_matches('=').len() - 1 {
                assert_eq!(one.open("SESS", &changed), None, "{index}");
            }
        }
        for rubbish in ["", "x", "=", "a".repeat(50).as_str(), "ü"] {
            assert_eq!(one.open("SESS", rubbish), None, "{rubbish}");
        }
    }

    #[test]
    fn keys_are_long_and_not_shown() {
        assert!(Keys::new(&[]).is_none());
        assert!(Keys::new(&["x".repeat(31)]).is_none());
        assert_eq!(format!("{:?}", keys(&["word", "b"])), "2 keys");
        let [one, other] = [new_id(), new_id()].map(Option::unwrap);
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
    }
}
