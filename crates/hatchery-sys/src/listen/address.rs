//! Where to listen, as people write it.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// Where to listen.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An address and port of this machine: `127.0.0.1:7001`, `[::1]:7001`, or `:7001` for all IPv4
    /// addresses.
    Tcp(SocketAddr),
    /// The absolute path of a socket: `unix:/run/app.sock`.
    Unix(PathBuf),
}

/// A text that is not an [`Address`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseAddressError {
    text: String,
    hint: &'static str,
}

impl fmt::Display for ParseAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "\"{}\" is not an address to listen on: {}",
            self.text, self.hint
        )
    }
}

impl std::error::Error for ParseAddressError {}

impl FromStr for Address {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        parse(text).map_err(|hint| ParseAddressError {
            text: text.to_owned(),
            hint,
        })
    }
}

fn parse(text: &str) -> Result<Address, &'static str> {
    const PORT: &str = "the port must be a number from 0 to 65535";
    if let Some(path) = text.strip_prefix("unix:") {
        return match path {
            _ if !path.starts_with('/') => Err("the path of a unix socket must be absolute"),
            _ if path.ends_with('/') => Err("the path of a unix socket must name a file"),
            _ if path.contains('\0') => Err("a path cannot contain NUL"),
            _ => Ok(Address::Unix(PathBuf::from(path))),
        };
    }
    if text.starts_with('/') {
        return Err("a unix socket is written unix:/path");
    }
    if let Some(port) = text.strip_prefix(':').filter(|port| !port.contains(':')) {
        let port = port.parse().map_err(|_| PORT)?;
        return Ok(Address::Tcp((Ipv4Addr::UNSPECIFIED, port).into()));
    }
    if let Ok(address) = text.parse() {
        return Ok(Address::Tcp(address));
    }
    Err(match text.rsplit_once(':') {
        _ if text.parse::<u16>().is_ok() => "a port alone is written :7001",
        Some((host, _)) if host.contains(':') && !host.starts_with('[') => {
            "an IPv6 address is written in brackets, as in [::1]:7001"
        }
        Some((_, port)) if port.parse::<u16>().is_err() => PORT,
        Some(_) => "names are not looked up; write an IP address, as in 127.0.0.1:7001",
        None => "write 127.0.0.1:7001, [::1]:7001, :7001 or unix:/path",
    })
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        let table = [
            ("127.0.0.1:7001", "127.0.0.1:7001"),
            ("[::1]:7001", "[::1]:7001"),
            ("[::]:0", "[::]:0"),
            (":7001", "0.0.0.0:7001"),
            ("unix:/run/a b.sock", "unix:/run/a b.sock"),
        ];
        for (text, written) in table {
            let address: Address = text.parse().unwrap();
            assert_eq!(address.to_string(), written);
            assert_eq!(written.parse(), Ok(address));
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        let table = [
            ("7001", ":7001"),
            ("localhost:7001", "not looked up"),
            ("::1:7001", "brackets"),
            ("127.0.0.1:70000", "65535"),
            (":x", "65535"),
            ("127.0.0.1:", "65535"),
            ("127.0.0.1", "unix:/path"),
            ("", "unix:/path"),
            ("/run/a.sock", "unix:/path"),
            ("unix:run/a.sock", "absolute"),
            ("unix:", "absolute"),
            ("unix:/run/", "name a file"),
            ("unix:/a\0b", "NUL"),
        ];
        for (text, hint) in table {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(hint) && error.contains(text), "{error}");
        }
    }
}
