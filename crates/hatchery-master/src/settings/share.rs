//! Settings that are a number or a word: `workers = "auto"`, `surge = "25%"`.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most workers that a pool can have.
pub const WORKERS_MAX: u32 = 1024;

/// How many workers are wanted: `"auto"` or a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Workers {
    /// As many as the machine's share for us has processors, at least 4.
    #[default]
    Auto,
    /// This many, 1 to [`WORKERS_MAX`].
    Count(u32),
}

impl Workers {
    /// The number, with `cpu_num` for `auto`; always 1 to [`WORKERS_MAX`].
    pub fn count(self, cpu_num: u32) -> u32 {
        let count = match self {
            Self::Auto => cpu_num,
            Self::Count(count) => count,
        };
        count.clamp(1, WORKERS_MAX)
    }
}

/// How many workers a reload replaces at once: a share of the pool (`"25%"`) or a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surge {
    /// A share of the pool in per cent, 1 to 100; at least one worker.
    Percent(u32),
    /// This many workers, 1 to [`WORKERS_MAX`].
    Workers(u32),
}

impl Surge {
    /// The share of a pool of `workers`, in per cent, 1 to 100: the least that gives a number of
    /// workers its full count.
    pub fn percent(self, workers: u32) -> u32 {
        match self {
            Self::Percent(percent) => percent.clamp(1, 100),
            Self::Workers(count) => {
                let workers = workers.max(1);
                let share = (u64::from(count) * 100).div_ceil(u64::from(workers));
                u32::try_from(share).unwrap_or(100).clamp(1, 100)
            }
        }
    }
}

impl Serialize for Workers {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => to.serialize_str("auto"),
            Self::Count(count) => to.serialize_u32(*count),
        }
    }
}

impl Serialize for Surge {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Percent(percent) => to.collect_str(&format_args!("{percent}%")),
            Self::Workers(count) => to.serialize_u32(*count),
        }
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "\"auto\" or a number of workers from 1 to 1024",
            word: |text| (text == "auto").then_some(Self::Auto),
            number: Self::Count,
        })
    }
}

impl<'de> Deserialize<'de> for Surge {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Either {
            expecting: "a share from \"1%\" to \"100%\" or a number of workers from 1 to 1024",
            word: |text| {
                let percent = text.strip_suffix('%')?.trim_end().parse().ok()?;
                (1..=100)
                    .contains(&percent)
                    .then_some(Self::Percent(percent))
            },
            number: Self::Workers,
        })
    }
}

/// A word, or a number from 1 to [`WORKERS_MAX`].
struct Either<T> {
    expecting: &'static str,
    word: fn(&str) -> Option<T>,
    number: fn(u32) -> T,
}

impl<T> Visitor<'_> for Either<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
        (self.word)(text).ok_or_else(|| E::custom(format!("`{text}` is not {}", self.expecting)))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        match u32::try_from(number) {
            Ok(count @ 1..=WORKERS_MAX) => Ok((self.number)(count)),
            _ => Err(E::custom(format!("{number} is not {}", self.expecting))),
        }
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        match u64::try_from(number) {
            Ok(number) => self.visit_u64(number),
            Err(_) => Err(E::custom(format!("{number} is not {}", self.expecting))),
        }
    }
}
