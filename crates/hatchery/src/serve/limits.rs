//! The `[http]` table: what a client may take of a worker.

use std::time::Duration;

use hatchery_master::settings::units;
use http::HeaderName;
use serde::{Deserialize, Serialize};

/// Most serving threads in a worker.
pub(crate) const THREADS_MAX: u32 = 16;

/// hyper's least read buffer, bytes.
const HEADER_BYTES_MIN: u64 = 8 * 1024;

/// What a client may take of a worker, and how requests are served.
///
/// Durations and sizes are strings in the configuration (`"10s"`, `"64KiB"`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Limits {
    /// From a connection's start, or a request's first byte, to the end of its header. Checked
    /// about four times a second.
    #[serde(with = "units::duration")]
    pub(crate) header_timeout: Duration,
    /// How long a connection may stay idle between two requests.
    #[serde(with = "units::duration")]
    pub(crate) keep_alive_timeout: Duration,
    /// Most open connections of one worker. Beyond it, clients wait in the listener's queue.
    pub(crate) max_connections: u32,
    /// Serving threads of one worker, 1 to 16.
    pub(crate) threads: u32,
    /// Whether HTTP/2 (by prior knowledge) is served beside HTTP/1.1.
    pub(crate) http2: bool,
    /// Longest request header, at least 8 KiB.
    #[serde(with = "units::size")]
    pub(crate) max_header_bytes: u64,
    /// Most header fields of a request.
    pub(crate) max_headers: u32,
    /// Longest request body that extractors read; a longer one is answered 413.
    #[serde(with = "units::size")]
    pub(crate) body_limit: u64,
    /// Whether a proxy in front says who asks: then the headers below are believed.
    pub(crate) proxy: bool,
    /// How many addresses of such a header count, from its end; 0 is all. Set it to the number of
    /// proxies, because the rest is what the client wrote.
    pub(crate) max_ips_count: usize,
    /// Headers with the client's address and those of proxies; the first that is there counts.
    pub(crate) ip_headers: Vec<String>,
    /// Headers with the host that the client has asked.
    pub(crate) host_headers: Vec<String>,
    /// Headers with the protocol that the client has used.
    pub(crate) protocol_headers: Vec<String>,
    /// Whether each response says its request's id in `X-Request-Id`, also when nobody used it.
    pub(crate) request_id_header: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(75),
            max_connections: 10_000,
            threads: 1,
            http2: true,
            max_header_bytes: 64 * 1024,
            max_headers: 100,
            body_limit: 2 * 1024 * 1024,
            proxy: false,
            max_ips_count: 1,
            ip_headers: vec!["x-forwarded-for".into(), "x-real-ip".into()],
            host_headers: Vec::new(),
            protocol_headers: vec!["x-forwarded-proto".into()],
            request_id_header: false,
        }
    }
}

impl Limits {
    /// Checks what the types cannot: every complaint is a key of this table and a sentence.
    pub(crate) fn validate(&self) -> Result<(), Vec<(&'static str, String)>> {
        let mut complaints = Vec::new();
        let mut check = |holds: bool, key, sentence: String| {
            if !holds {
                complaints.push((key, sentence));
            }
        };
        check(
            !self.header_timeout.is_zero(),
            "header_timeout",
            "must be longer than 0s".into(),
        );
        check(
            !self.keep_alive_timeout.is_zero(),
            "keep_alive_timeout",
            "must be longer than 0s".into(),
        );
        check(
            self.max_connections > 0,
            "max_connections",
            "must be at least 1".into(),
        );
        check(
            (1..=THREADS_MAX).contains(&self.threads),
            "threads",
            format!("must be 1 to {THREADS_MAX}"),
        );
        check(
            (HEADER_BYTES_MIN..=u64::from(u32::MAX)).contains(&self.max_header_bytes),
            "max_header_bytes",
            "must be 8KiB to 4GiB".into(),
        );
        check(
            (1..=10_000).contains(&self.max_headers),
            "max_headers",
            "must be 1 to 10000".into(),
        );
        check(
            usize::try_from(self.body_limit).is_ok(),
            "body_limit",
            "is more than this machine can address".into(),
        );
        for (key, names) in [
            ("ip_headers", &self.ip_headers),
            ("host_headers", &self.host_headers),
            ("protocol_headers", &self.protocol_headers),
        ] {
            for name in names {
                let is_name = HeaderName::from_bytes(name.as_bytes()).is_ok();
                check(is_name, key, format!("`{name}` is no name of a header"));
            }
        }
        if complaints.is_empty() {
            Ok(())
        } else {
            Err(complaints)
        }
    }

    /// The share of `max_connections` of one of `threads` serving threads, at least 1.
    pub(crate) fn connections_per_thread(&self) -> usize {
        usize::try_from(self.max_connections.div_ceil(self.threads.max(1))).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_write_durations_and_sizes() {
        let limits: Limits = toml::from_str(
            "header_timeout = \"1m 30s\"\nmax_header_bytes = \"16KiB\"\nbody_limit = \"2600001B\"",
        )
        .unwrap();
        assert_eq!(limits.header_timeout, Duration::from_secs(90));
        assert_eq!(limits.max_header_bytes, 16 * 1024);
        assert_eq!(
            limits.keep_alive_timeout,
            Limits::default().keep_alive_timeout
        );
        let again: Limits = toml::from_str(&toml::to_string(&limits).unwrap()).unwrap();
        assert_eq!(again, limits);
    }

    #[test]
    fn unknown_keys_and_rubbish_are_refused() {
        assert!(toml::from_str::<Limits>("header_timout = \"1s\"").is_err());
        assert!(toml::from_str::<Limits>("header_timeout = \"soon\"").is_err());
        assert!(toml::from_str::<Limits>("body_limit = \"much\"").is_err());
        // A sum that does not fit what the parser computes with.
        let long = "header_timeout = \"18446744073709551615s1000ms\"";
        assert!(toml::from_str::<Limits>(long).is_err());
    }

    #[test]
    fn complaints_name_their_keys() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let wrong = Limits {
            threads: 17,
            max_connections: 0,
            max_header_bytes: 1,
            ..Limits::default()
        };
        let keys: Vec<_> = wrong
            .validate()
            .unwrap_err()
            .into_iter()
            .map(|(key, _)| key)
            .collect();
        assert_eq!(keys, ["max_connections", "threads", "max_header_bytes"]);
    }
}
