//! Durations and sizes as people write them: `"10s"`, `"512MiB"`.
//!
//! A bare number is refused: `lifetime = 3600` is read as seconds by one and as milliseconds by
//! the other.

use std::fmt;
use std::time::Duration;

use bytesize::ByteSize;
use serde::de::{Error, Visitor};
use serde::{Deserializer, Serializer};

/// The longest duration that is accepted; whoever wants "never" writes `"0s"` where it means that.
pub const DURATION_MAX: Duration = Duration::from_hours(366 * 24);

/// Nothing sensible is longer; it also keeps the parsers away from sums that do not fit.
const TEXT_MAX: usize = 24;

/// Reads `"10s"`, `"1h 30m"`, `"250ms"`; `"0"` and `"0s"` are zero.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    if text.len() > TEXT_MAX {
        return Err(format!("a duration has at most {TEXT_MAX} characters"));
    }
    let duration = humantime::parse_duration(text)
        .map_err(|_| format!("`{text}` is not a duration, write one like \"10s\" or \"250ms\""))?;
    if duration.subsec_nanos() % 1_000_000 != 0 {
        return Err(format!("`{text}` is finer than a millisecond"));
    }
    if duration > DURATION_MAX {
        return Err(format!("`{text}` is longer than 366 days"));
    }
    Ok(duration)
}

/// Writes a duration in the largest unit that is exact, so that reading it gives it back; finer
/// than a millisecond is cut.
pub fn format_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    for (unit_ms, unit) in [(3_600_000, "h"), (60_000, "m"), (1000, "s")] {
        if ms > 0 && ms.is_multiple_of(unit_ms) {
            return format!("{}{unit}", ms / unit_ms);
        }
    }
    if ms == 0 {
        "0s".to_owned()
    } else {
        format!("{ms}ms")
    }
}

/// Reads `"512MiB"`, `"1.5GB"`; a unit is required unless the size is zero.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let error = || format!("`{text}` is not a size, write one like \"512MiB\" or \"1GB\"");
    if text.len() > TEXT_MAX {
        return Err(format!("a size has at most {TEXT_MAX} characters"));
    }
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.trim_matches('0').is_empty() {
        return Err(error());
    }
    let ByteSize(bytes) = text.parse().map_err(|_| error())?;
    // The parser saturates; nobody means 16 EiB.
    if bytes == u64::MAX {
        return Err(error());
    }
    Ok(bytes)
}

/// Writes a size in the largest binary unit that is exact, so that reading it gives it back.
pub fn format_size(bytes: u64) -> String {
    for (shift, unit) in [(40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")] {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// One visitor for all values that are text and could be taken for a number.
struct Text<T> {
    parse: fn(&str) -> Result<T, String>,
    what: &'static str,
    /// How a bare number is written, with a likely unit.
    example: fn(i128) -> String,
}

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).map_err(E::custom)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        Err(E::custom(format!(
            "a number without a unit is not {}, write {}",
            self.what,
            (self.example)(number.into())
        )))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        Err(E::custom(format!(
            "a number without a unit is not {}, write {}",
            self.what,
            (self.example)(number.into())
        )))
    }
}

/// `#[serde(with = "duration")]`.
pub mod duration {
    use super::{Deserializer, Duration, Serializer, Text, format_duration, parse_duration};

    /// Writes it with its unit.
    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_duration(*value))
    }

    /// Reads text; a bare number is refused, with how to write it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        from.deserialize_any(Text {
            parse: parse_duration,
            what: "a duration",
            example: |number| format!("\"{number}s\" or \"{number}ms\""),
        })
    }
}

/// `#[serde(with = "size")]`, in bytes.
pub mod size {
    use super::{Deserializer, Serializer, Text, format_size, parse_size};

    /// Writes it with its unit.
    pub fn serialize<S: Serializer>(value: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_size(*value))
    }

    /// Reads text; a bare number is refused, with how to write it.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        from.deserialize_any(Text {
            parse: parse_size,
            what: "a size",
            example: |number| format!("\"{number}MiB\" or \"{number}KiB\""),
        })
    }
}

/// `#[serde(with = "optional_size")]`: absent is `None`.
pub(super) mod optional_size {
    use super::{Deserializer, Serializer, format_size, size};

    // Serde hands references to `with` functions.
    #[expect(clippy::ref_option)]
    pub(crate) fn serialize<S: Serializer>(value: &Option<u64>, to: S) -> Result<S::Ok, S::Error> {
        match value {
            Some(bytes) => to.serialize_str(&format_size(*bytes)),
            None => to.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
        size::deserialize(from).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_write_the_same() {
        for (text, ms, written) in [
            ("10s", 10_000, "10s"),
            ("250ms", 250, "250ms"),
            ("1h", 3_600_000, "1h"),
            ("1h 30m", 5_400_000, "90m"),
            ("1.5s", 1500, "1500ms"),
            ("0", 0, "0s"),
            ("0s", 0, "0s"),
            ("2days", 172_800_000, "48h"),
        ] {
            let duration = parse_duration(text).unwrap();
            assert_eq!(duration, Duration::from_millis(ms), "{text}");
            assert_eq!(format_duration(duration), written);
            assert_eq!(parse_duration(written).unwrap(), duration);
        }
    }

    #[test]
    fn bad_durations_are_refused() {
        for text in [
            "",
            "10",
            "-1s",
            "ten seconds",
            "10 apples",
            "100us",
            "1.5",
            "367days",
            "99999999999999999999s",
            // Makes the parser's sum overflow; must not get that far.
            "18446744073709551615s1000ms",
        ] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_and_write_the_same() {
        for (text, bytes, written) in [
            ("512MiB", 512 << 20, "512MiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("1GB", 1_000_000_000, "1000000000B"),
            ("0", 0, "0B"),
            ("0B", 0, "0B"),
            (
                "9007199254740993B",
                9_007_199_254_740_993,
                "9007199254740993B",
            ),
            ("64 kib", 64 << 10, "64KiB"),
        ] {
            assert_eq!(parse_size(text).unwrap(), bytes, "{text}");
            assert_eq!(format_size(bytes), written);
            assert_eq!(parse_size(written).unwrap(), bytes);
        }
    }

    #[test]
    fn bad_sizes_are_refused() {
        for text in [
            "",
            "512",
            "-1MiB",
            "MiB",
            "1 elephant",
            "1.2.3GiB",
            "99999999EiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
