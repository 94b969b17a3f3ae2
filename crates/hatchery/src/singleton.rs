//! Things that a process has once, or once by name: clients of databases and the like.

use std::any::{Any, TypeId, type_name};
use std::collections::BTreeMap;
use std::fmt;
use std::panic::Location;
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::{Application, BoxError};

/// The shape of a table that [`Application::add_singleton`] reads; declare it with
/// `section::<hatchery::Clients>("redis")`. What is in its parts is checked when they are made.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_field_names, reason = "as the table has them")]
pub struct Clients {
    client: Option<Map<String, Value>>,
    clients: BTreeMap<String, Map<String, Value>>,
    default: Map<String, Value>,
}

/// All of a process.
#[derive(Default)]
pub(crate) struct Singletons(RwLock<Vec<Singleton>>);

struct Singleton {
    type_id: TypeId,
    type_name: &'static str,
    /// The id among several of its type; the only one has none.
    id: Option<String>,
    value: Arc<dyn Any + Send + Sync>,
    place: &'static Location<'static>,
}

/// There is no such singleton.
#[derive(Debug)]
pub struct NoSingleton {
    type_name: &'static str,
    id: Option<String>,
    known: Vec<String>,
}

impl fmt::Display for NoSingleton {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no singleton `{}`", self.type_name)?;
        if let Some(id) = &self.id {
            write!(f, " named `{id}`")?;
        }
        if self.known.is_empty() {
            f.write_str(": make it with `app.add_singleton(…)` in `did_load`")
        } else {
            let known = self.known.join("`, `");
            write!(f, ": there are `{known}`")
        }
    }
}

impl std::error::Error for NoSingleton {}

impl Singletons {
    fn add(&self, singleton: Singleton) -> Result<(), BoxError> {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let same = all
            .iter()
            .find(|other| (other.type_id, &other.id) == (singleton.type_id, &singleton.id));
        if let Some(other) = same {
            let named = singleton.id.map(|id| format!(" named `{id}`"));
            return Err(format!(
                "singleton `{}`{} is made twice: at {} and at {}",
                singleton.type_name,
                named.unwrap_or_default(),
                other.place,
                singleton.place
            )
            .into());
        }
        all.push(singleton);
        Ok(())
    }

    fn find<T: Send + Sync + 'static>(&self, id: Option<&str>) -> Result<Arc<T>, NoSingleton> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut of_type = all.iter().filter(|one| one.type_id == TypeId::of::<T>());
        let found = of_type.clone().find(|one| one.id.as_deref() == id);
        let value = found.and_then(|one| Arc::clone(&one.value).downcast().ok());
        value.ok_or_else(|| NoSingleton {
            type_name: type_name::<T>(),
            id: id.map(str::to_owned),
            known: of_type.by_ref().filter_map(|one| one.id.clone()).collect(),
        })
    }
}

impl Application {
    /// Makes what the table `name` of the configuration describes: one thing from `[name.client]`,
    /// or several from `[name.clients.<id>]`, each over what `[name.default]` says. To be awaited
    /// in `did_load`, so that everything has it.
    ///
    /// ```
    /// # #[derive(serde::Deserialize)]
    /// # struct Options { url: String }
    /// # struct Mailer;
    /// # impl Mailer {
    /// #     async fn connect(_: &str) -> Result<Self, hatchery::BoxError> { Ok(Self) }
    /// # }
    /// # async fn did_load(app: &hatchery::Application) -> Result<(), hatchery::BoxError> {
    /// app.add_singleton("mailer", async |options: Options| Mailer::connect(&options.url).await)
    ///     .await?;
    /// let mailer = app.singleton::<Mailer>()?;
    /// # drop(mailer);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// A table that has both forms or neither, options that are not as `C` wants them, the error of
    /// `create`, and a second singleton of the same type and id.
    #[track_caller]
    pub fn add_singleton<T, C>(
        &self,
        name: &str,
        create: impl AsyncFn(C) -> Result<T, BoxError>,
    ) -> impl Future<Output = Result<(), BoxError>>
    where
        T: Send + Sync + 'static,
        C: DeserializeOwned,
    {
        let place = Location::caller();
        async move {
            let clients: Clients = self.section(name)?;
            let default = format!("{name}.default");
            let (path, ids): (_, Vec<_>) = match (&clients.client, clients.clients.is_empty()) {
                (Some(_), true) => (format!("{name}.client"), vec![None]),
                (None, false) => {
                    let ids = clients.clients.into_keys().map(Some);
                    (format!("{name}.clients"), ids.collect())
                }
                (Some(_), false) => {
                    let text = "has both `client` and `clients`: keep one";
                    return Err(format!("[{name}] {text}").into());
                }
                (None, true) => {
                    let text = format!("write `[{name}.client]` or `[{name}.clients.<id>]`");
                    return Err(format!("[{name}] describes no client: {text}").into());
                }
            };
            for id in ids {
                let path = match &id {
                    Some(id) => format!("{path}.{id}"),
                    None => path.clone(),
                };
                let options: C = self.config().section_over(&default, &path)?;
                let made = create(options).await;
                let value = made.map_err(|error| Failed { path, error })?;
                self.state().singletons.add(Singleton {
                    type_id: TypeId::of::<T>(),
                    type_name: type_name::<T>(),
                    id,
                    value: Arc::new(value),
                    place,
                })?;
            }
            Ok(())
        }
    }

    /// Gives everybody in this process the one `T`: what a hook has made is then found with
    /// [`singleton`](Self::singleton).
    ///
    /// # Errors
    ///
    /// There is one already; the error says where both come from.
    #[track_caller]
    pub fn provide<T: Send + Sync + 'static>(&self, value: T) -> Result<(), BoxError> {
        self.state().singletons.add(Singleton {
            type_id: TypeId::of::<T>(),
            type_name: type_name::<T>(),
            id: None,
            value: Arc::new(value),
            place: Location::caller(),
        })
    }

    /// The one thing of type `T` that [`provide`](Self::provide) was given or [`add_singleton`](Self::add_singleton) has made.
    ///
    /// # Errors
    ///
    /// There is none, or there are several, which have names.
    pub fn singleton<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, NoSingleton> {
        self.state().singletons.find(None)
    }

    /// The thing of type `T` from `[….clients.<id>]`.
    ///
    /// # Errors
    ///
    /// There is none of this id; the error says which there are.
    pub fn singleton_named<T: Send + Sync + 'static>(
        &self,
        id: &str,
    ) -> Result<Arc<T>, NoSingleton> {
        self.state().singletons.find(Some(id))
    }
}

/// What `create` has said, and of which table.
#[derive(Debug)]
struct Failed {
    path: String,
    error: BoxError,
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make [{}]", self.path)
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&*self.error)
    }
}

impl fmt::Debug for Singletons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Singletons")
    }
}

#[cfg(test)]
mod tests;
