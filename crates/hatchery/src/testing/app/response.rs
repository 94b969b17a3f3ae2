//! What an application under test has answered.

use bytes::Bytes;
use cookie::Cookie;
use http::header::SET_COOKIE;
use http::{HeaderMap, Response, StatusCode};
use serde::de::DeserializeOwned;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct TestResponse {
    /// The request, for messages.
    title: String,
    response: Response<Bytes>,
}

impl TestResponse {
    pub(super) fn new(title: String, response: Response<Bytes>) -> Self {
        Self { title, response }
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// Panics unless the status is this one; says what the body is.
    #[track_caller]
    pub fn expect_status(&self, status: impl TryInto<StatusCode>) -> &Self {
        let wanted = status.try_into().ok().expect("a status code");
        let is = self.status();
        assert!(
            is == wanted,
            "{}: {is}, not {wanted}: {}",
            self.title,
            self.text()
        );
        self
    }

    /// All headers.
    pub fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// The first header of this name, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The cookie of this name that the response sets, with its value as it was before it was
    /// encoded. The last one, if there are several.
    pub fn cookie(&self, name: &str) -> Option<Cookie<'static>> {
        let set = self.headers().get_all(SET_COOKIE).iter().rev();
        let texts = set.filter_map(|header| header.to_str().ok());
        let mut cookies = texts.filter_map(|text| Cookie::parse_encoded(text.to_owned()).ok());
        cookies.find(|cookie| cookie.name() == name)
    }

    /// The body.
    pub fn body(&self) -> &Bytes {
        self.response.body()
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.body()).into_owned()
    }

    /// The body as JSON. Panics when it is none, or not of this type.
    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        let value = serde_json::from_slice(self.body());
        value.unwrap_or_else(|error| panic!("{}: {error}: {}", self.title, self.text()))
    }
}
