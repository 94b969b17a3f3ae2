//! Singletons from the configuration.

use serde_json::json;

use super::*;
use crate::context::tests::app_in;

#[derive(Deserialize)]
struct Options {
    host: String,
    port: u16,
}

struct Client(String);

async fn connect(options: Options) -> Result<Client, BoxError> {
    if options.port == 0 {
        return Err("port 0 is no port".into());
    }
    Ok(Client(format!("{}:{}", options.host, options.port)))
}

#[tokio::test]
async fn one_client_has_what_the_default_says() {
    let redis = json!({ "client": { "host": "a" }, "default": { "host": "z", "port": 1 } });
    let app = app_in("unittest", &json!({ "redis": redis }));
    app.add_singleton("redis", connect).await.unwrap();
    assert_eq!(app.singleton::<Client>().unwrap().0, "a:1");
    let again = app.add_singleton("redis", connect).await.unwrap_err();
    let text = again.to_string();
    let name = type_name::<Client>();
    assert!(
        text.starts_with(&format!("singleton `{name}` is made twice: at ")),
        "{text}"
    );
    assert_eq!(text.matches("tests.rs:").count(), 2, "{text}");
}

#[tokio::test]
async fn several_clients_have_names() {
    let clients = json!({ "cache": { "host": "c" }, "queue": { "host": "q", "port": 2 } });
    let redis = json!({ "clients": clients, "default": { "port": 1 } });
    let app = app_in("unittest", &json!({ "redis": redis }));
    app.add_singleton("redis", connect).await.unwrap();
    let named = |id: &str| {
        app.singleton_named::<Client>(id)
            .map(|client| client.0.clone())
    };
    assert_eq!(named("cache").unwrap(), "c:1");
    assert_eq!(named("queue").unwrap(), "q:2");
    let name = type_name::<Client>();
    assert_eq!(
        named("other").unwrap_err().to_string(),
        format!("no singleton `{name}` named `other`: there are `cache`, `queue`")
    );
}

#[tokio::test]
async fn what_is_wrong_with_a_table_is_said() {
    let why = async |redis: Value| {
        let app = app_in("unittest", &json!({ "redis": redis }));
        app.add_singleton("redis", connect).await.unwrap_err()
    };
    assert_eq!(
        why(json!({ "client": {}, "clients": { "a": {} } }))
            .await
            .to_string(),
        "[redis] has both `client` and `clients`: keep one"
    );
    assert_eq!(
        why(json!({})).await.to_string(),
        "[redis] describes no client: write `[redis.client]` or `[redis.clients.<id>]`"
    );
    let error = why(json!({ "client": { "host": "a", "port": 0 } })).await;
    assert_eq!(error.to_string(), "cannot make [redis.client]");
    assert_eq!(error.source().unwrap().to_string(), "port 0 is no port");
    let error = why(json!({ "client": { "host": "a", "prt": 1 } })).await;
    assert!(error.to_string().contains("redis.client.prt"), "{error}");
}

#[test]
fn nothing_made_is_said_with_what_to_do() {
    let app = app_in("unittest", &json!({}));
    let name = type_name::<Client>();
    assert_eq!(
        app.singleton::<Client>().map(drop).unwrap_err().to_string(),
        format!("no singleton `{name}`: make it with `app.add_singleton(…)` in `did_load`")
    );
}
