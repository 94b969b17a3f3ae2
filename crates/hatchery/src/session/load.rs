//! The way of a session from its cookie into a request, and with the response back.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use cookie::Cookie;

use super::handle::Session;
use super::seal::{self, Keys};
use super::settings::{self, SameSite, Secure, SessionSettings};
use super::store::{Chosen, ErasedStore};
use super::values::{self, Ending, State, Writing};
use crate::{Application, BoxError, Context, Error};

/// Name and value of the largest cookie that browsers take, in bytes.
const COOKIE_BYTES_MAX: usize = 4096;

/// A response that waits for its session to be saved.
pub(crate) type Saving = Pin<Box<dyn Future<Output = Response> + Send>>;

/// All that an application has for sessions.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    /// Once somebody has asked for one; else why there are none.
    made: OnceLock<Result<Made, String>>,
    pub(super) store: OnceLock<Chosen>,
}

#[derive(Debug)]
struct Made {
    settings: SessionSettings,
    keys: Keys,
}

impl Sessions {
    fn made(&self, app: &Application) -> Result<&Made, Error> {
        let made = self.made.get_or_init(|| Made::new(app));
        made.as_ref().map_err(|reason| Error::internal(reason))
    }
}

impl Made {
    fn new(app: &Application) -> Result<Self, String> {
        let (config, env) = (app.config(), app.env());
        if !settings::is_on(config) {
            return Err(
                "there are no sessions: switch them on with the table `[session]`, which may be \
                        empty, in config/config.default.toml"
                    .to_owned(),
            );
        }
        // Both were checked with everything else before.
        let mut keys = settings::keys(config).unwrap_or_default();
        if keys.is_empty() && settings::is_development(env) {
            tracing::warn!(
                "sessions are encrypted with a key that is no secret, as there are no `keys` in the \
                 environment `{env}`: outside of `local` and `unittest` they must be written"
            );
            let directory = app.package().manifest_dir;
            keys.push(format!(
                "hatchery's key for development, which is no secret: {} {directory}",
                app.name()
            ));
        }
        let keys = Keys::new(&keys).ok_or_else(|| format!("keys: {}", settings::missing(env)))?;
        Ok(Self {
            settings: config.section("session").unwrap_or_default(),
            keys,
        })
    }

    /// The session's cookie, with everything but its age.
    fn cookie(&self, ctx: &Context, value: String) -> Cookie<'static> {
        let settings = &self.settings;
        Cookie::build((settings.name.clone(), value))
            .path("/")
            .http_only(settings.http_only)
            .secure(match settings.secure {
                Secure::Auto => ctx.protocol() == "https",
                Secure::Always => true,
                Secure::Never => false,
            })
            .same_site(match settings.same_site {
                SameSite::Strict => cookie::SameSite::Strict,
                SameSite::Lax => cookie::SameSite::Lax,
                SameSite::None => cookie::SameSite::None,
            })
            .build()
    }

    /// Has the response set the cookie.
    fn set_cookie(&self, ctx: &Context, text: String, age: Option<Duration>) {
        let name = &self.settings.name;
        let mut cookie = self.cookie(ctx, self.keys.seal(name, text));
        let age = age.and_then(|age| cookie::time::Duration::try_from(age).ok());
        cookie.set_max_age(age);
        let bytes = cookie.stripped().encoded().to_string().len() - "=".len();
        if bytes > COOKIE_BYTES_MAX {
            ctx.logger().warn(format_args!(
                "the session's cookie `{name}` has {bytes} bytes, and browsers take no more than \
                 {COOKIE_BYTES_MAX}: keep less in it, or use a store"
            ));
        }
        ctx.cookies().set(cookie);
    }

    /// Has the client forget the cookie. Browsers want the same attributes for that.
    fn clear_cookie(&self, ctx: &Context) {
        let mut cookie = self.cookie(ctx, String::new());
        cookie.make_removal();
        ctx.cookies().set(cookie);
    }
}

/// The session that a request begins with.
pub(crate) async fn load(ctx: &Context) -> Result<Session, Error> {
    let state = ctx.app().state();
    let made = state.sessions.made(ctx.app())?;
    let mut found = None;
    if let Some(sealed) = ctx.cookies().get(&made.settings.name)
        // A client that was told to forget it may have kept the name.
        && !sealed.is_empty()
    {
        found = match find(ctx, made, &sealed).await? {
            Ok(state) => Some(state),
            Err(reason) => {
                let name = &made.settings.name;
                let text = "the session begins anew";
                ctx.logger()
                    .warn(format_args!("the cookie `{name}` {reason}: {text}"));
                None
            }
        };
    }
    let found = found.or_else(|| state.mocks.session().map(State::beginning_with));
    Ok(Session::new(found.unwrap_or_default()))
}

/// What the cookie stands for, or why that does not count. It is an error when nobody knows.
async fn find(
    ctx: &Context,
    made: &Made,
    sealed: &str,
) -> Result<Result<State, &'static str>, Error> {
    let Some(text) = made.keys.open(&made.settings.name, sealed) else {
        return Ok(Err("opens with none of `keys`, or was changed"));
    };
    let found = match ctx.app().state().sessions.store.get() {
        None => State::read(&text, None),
        Some(chosen) => match values::id_in(&text) {
            None => None,
            Some(id) => {
                let answer = chosen.store.get(&id).await;
                match answer.map_err(|error| failed("load", error))? {
                    None => return Ok(Err("names a session that the store does not have")),
                    Some(text) => State::read(&text, Some(id)),
                }
            }
        },
    };
    Ok(match found {
        None => Err("has no session of this kind in it"),
        Some(state) if state.has_expired(ctx.app().clock().now()) => Err("has expired"),
        Some(state) => Ok(state),
    })
}

/// Saves the session of a request, if somebody has asked for it. Where a store has to be awaited,
/// `response` is taken, and comes back from the future.
pub(crate) fn leave(ctx: &Context, response: &mut Response) -> Option<Saving> {
    let session = ctx.used_session()?;
    let sessions = &ctx.app().state().sessions;
    let made = sessions.made(ctx.app()).ok()?;
    let store = sessions.store.get().map(|chosen| Arc::clone(&chosen.store));
    let now = ctx.app().clock().now();
    let new_id = store.is_some().then_some(seal::new_id);
    let ending = session.state().end(&made.settings, now, new_id);
    match (ending, store) {
        (Ending::Nothing, _) => None,
        (
            Ending::Write(Writing {
                text, cookie_age, ..
            }),
            None,
        ) => {
            made.set_cookie(ctx, text, cookie_age);
            None
        }
        (Ending::Clear(former), store) => {
            made.clear_cookie(ctx);
            let (store, former) = (store?, former?);
            let response = std::mem::take(response);
            Some(Box::pin(async move {
                match store.destroy(&former).await {
                    Ok(()) => response,
                    Err(error) => failed("destroy", error).into_response(),
                }
            }))
        }
        (Ending::Write(writing), Some(store)) => {
            let response = std::mem::take(response);
            let ctx = ctx.clone();
            Some(Box::pin(async move {
                match keep(&ctx, &*store, writing).await {
                    Ok(()) => response,
                    Err(error) => failed("save", error).into_response(),
                }
            }))
        }
    }
}

/// Writes a session into the store, and its id into the cookie.
async fn keep(ctx: &Context, store: &dyn ErasedStore, writing: Writing) -> Result<(), BoxError> {
    let Some(id) = writing.id else {
        return Err("the system has no random numbers for its id".into());
    };
    store.set(&id, &writing.text, writing.ttl).await?;
    if let Some(former) = writing.former {
        store.destroy(&former).await?;
    }
    if let Ok(made) = ctx.app().state().sessions.made(ctx.app()) {
        made.set_cookie(ctx, values::cookie_text(&id), writing.cookie_age);
    }
    Ok(())
}

/// A store has failed.
fn failed(what: &str, error: BoxError) -> Error {
    Error::internal(format!("cannot {what} the session in its store")).with_source(error)
}
