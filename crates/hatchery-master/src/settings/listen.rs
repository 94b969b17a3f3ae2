//! The table `[listen]`: where the pool serves and how its workers share that.

use std::fmt;
use std::net::SocketAddr;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// The most addresses one application can listen on.
pub const ADDRESSES_MAX: usize = 64;

/// The longest path of a unix socket (`sun_path`, without its final NUL).
const UNIX_PATH_MAX: usize = 107;

/// The table `[listen]`. Each field is the key of the same name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Listen {
    /// `"127.0.0.1:7001"`, `"[::1]:7001"`, `":7001"` (all IPv4 addresses), `"unix:/path"`; a bare
    /// port number is read as `":7001"`. Port 0 lets the kernel choose.
    #[serde(deserialize_with = "addresses")]
    pub addresses: Vec<String>,
    /// How workers share an address.
    pub mode: Mode,
    /// The length of the accept queue of each socket, 1 to 65535; the kernel caps it at
    /// `net.core.somaxconn`.
    pub backlog: i32,
}

impl Default for Listen {
    fn default() -> Self {
        Self {
            addresses: vec!["127.0.0.1:7001".to_owned()],
            mode: Mode::Slots,
            backlog: 4096,
        }
    }
}

/// How workers share a TCP address. Unix sockets are always shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// A socket for each slot, and a table in the kernel that chooses among the live ones.
    #[default]
    Slots,
    /// One socket for all workers.
    Shared,
}

impl Mode {
    /// The word that stands for it in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Slots => "slots",
            Self::Shared => "shared",
        }
    }
}

/// Checks one address and gives its normal form; the error says how to write one.
pub(super) fn parse_address(text: &str) -> Result<String, String> {
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            _ if !path.starts_with('/') => Err(format!("`{text}`: the path must begin with `/`")),
            _ if path.len() > UNIX_PATH_MAX => Err(format!(
                "`{text}`: the path is longer than {UNIX_PATH_MAX} bytes"
            )),
            _ if path.contains('\0') => Err("a path cannot contain a NUL".to_owned()),
            _ => Ok(text.to_owned()),
        };
    }
    let port = text.strip_prefix(':').unwrap_or(text);
    if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) {
        return match port.parse::<u16>() {
            Ok(port) => Ok(format!(":{port}")),
            Err(_) => Err(format!("{port} is not a port, the highest one is 65535")),
        };
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => Ok(address.to_string()),
        Err(_) => Err(format!(
            "`{text}` is not an address, write one like \"127.0.0.1:7001\", \"[::1]:7001\", \
             \":7001\" or \"unix:/path\""
        )),
    }
}

/// One address, or a list of them.
fn addresses<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    from.deserialize_any(ListVisitor)
}

struct Address(String);

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AddressVisitor).map(Self)
    }
}

struct AddressVisitor;

impl Visitor<'_> for AddressVisitor {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address like \"127.0.0.1:7001\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        parse_address(text).map_err(E::custom)
    }

    fn visit_u64<E: Error>(self, port: u64) -> Result<String, E> {
        self.visit_str(&port.to_string())
    }

    fn visit_i64<E: Error>(self, port: i64) -> Result<String, E> {
        self.visit_str(&port.to_string())
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = Vec<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of addresses like [\"127.0.0.1:7001\"]")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
        let mut addresses = Vec::new();
        while let Some(Address(address)) = list.next_element()? {
            addresses.push(address);
        }
        Ok(addresses)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
        AddressVisitor.visit_str(text).map(|address| vec![address])
    }

    fn visit_u64<E: Error>(self, port: u64) -> Result<Vec<String>, E> {
        AddressVisitor.visit_u64(port).map(|address| vec![address])
    }

    fn visit_i64<E: Error>(self, port: i64) -> Result<Vec<String>, E> {
        AddressVisitor.visit_i64(port).map(|address| vec![address])
    }
}
