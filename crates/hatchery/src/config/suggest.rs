//! "Did you mean": the candidate that a mistyped word is closest to.

/// The closest of `candidates`, when it is close enough to be what was meant.
pub(crate) fn suggest<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> Option<&'c str> {
    let word = normal(word);
    // One slip for each three letters, at least one: more is another word.
    let slips_max = (word.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&word, &normal(candidate)),
                candidate,
            )
        })
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// `, did you mean `x`?`, or nothing.
pub(crate) fn did_you_mean<'c>(
    word: &str,
    candidates: impl IntoIterator<Item = &'c str>,
) -> String {
    suggest(word, candidates)
        .map(|candidate| format!(", did you mean `{candidate}`?"))
        .unwrap_or_default()
}

/// `readyTimeout`, `ready-timeout` and `ready_timeout` are the same word.
fn normal(word: &str) -> String {
    word.chars()
        .filter(|letter| !matches!(letter, '-' | '_'))
        .flat_map(char::to_lowercase)
        .take(64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::suggest;

    #[test]
    fn suggests_what_is_close() {
        let keys = ["lifetime", "lifetime_spacing", "ready_timeout", "surge"];
        for (word, expected) in [
            ("lifetme", Some("lifetime")),
            ("lifetmie", Some("lifetime")),
            ("readyTimeout", Some("ready_timeout")),
            ("ready-timeout", Some("ready_timeout")),
            ("sruge", Some("surge")),
            ("lifetime_spaceing", Some("lifetime_spacing")),
            ("memory", None),
            ("", None),
            ("x", None),
        ] {
            assert_eq!(suggest(word, keys), expected, "{word}");
        }
    }
}
