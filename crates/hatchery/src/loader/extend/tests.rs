//! Which function an extension is, and which do not go together.

use std::any::Any;

use super::*;
use crate::loader::UnitKind;
use crate::{Context, Package};

type Form = fn(&Context) -> u32;

macro_rules! numbers {
    ($($number:ident = $value:literal),*) => {
        $(
            fn $number() -> &'static (dyn Any + Send + Sync) {
                static FUNCTION: Form = |_| $value;
                &FUNCTION
            }
        )*
    };
}

numbers!(one = 1, two = 2, three = 3, four = 4);

/// Of another form.
fn other() -> &'static (dyn Any + Send + Sync) {
    static FUNCTION: fn(&Context, u32) -> u32 = |_, number| number;
    &FUNCTION
}

/// Something registered, in a few words.
struct Registered {
    module: &'static str,
    name: &'static str,
    line: u32,
    env: Option<&'static str>,
    replaces: bool,
    function: fn() -> &'static (dyn Any + Send + Sync),
}

impl Registered {
    fn base(module: &'static str, line: u32) -> Self {
        Self {
            module,
            name: "level",
            line,
            env: None,
            replaces: false,
            function: one,
        }
    }

    fn replacing(mut self, function: fn() -> &'static (dyn Any + Send + Sync)) -> Self {
        self.replaces = true;
        self.function = function;
        self
    }

    fn env(mut self, env: &'static str) -> Self {
        self.env = Some(env);
        self
    }
}

/// The extensions of a plugin `audit` and an application `blog`.
fn load(items: Vec<Registered>, env: &str) -> Result<Extensions, ExtendError> {
    let package = |module| Package {
        name: "x",
        version: "0",
        manifest_dir: "/",
        module,
    };
    let units = vec![
        Unit::plugin("audit", package("audit")),
        Unit::new(UnitKind::Application, "blog", package("blog")),
    ];
    let items = items.into_iter().map(|item| -> &'static Registration {
        let file = if item.module == "audit" {
            "audit.rs"
        } else {
            "blog.rs"
        };
        let same_form = (item.function)().is::<Form>();
        Box::leak(Box::new(Registration {
            module: item.module,
            name: item.name,
            file,
            line: item.line,
            item: Item::Extension {
                target: "Context",
                env: item.env,
                replaces: item.replaces,
                function: item.function,
                signature: if same_form {
                    "fn(&Context) -> u32"
                } else {
                    "fn(&Context, u32) -> u32"
                },
            },
        }))
    });
    let order = LoadOrder::new(units, &[], items).unwrap();
    Extensions::new(&order, env)
}

/// Whether what counts is the function `expected`; `None`: the extension's own.
fn counts(extensions: &Extensions, expected: Option<fn() -> &'static (dyn Any + Send + Sync)>) {
    let found = extensions.replacement::<Form>("Context", "level");
    let expected = expected.map(|function| *function().downcast_ref::<Form>().unwrap());
    assert_eq!(
        found.map(|one| one as usize),
        expected.map(|one| one as usize)
    );
}

fn problem(items: Vec<Registered>) -> String {
    load(items, "prod").unwrap_err().to_string()
}

#[test]
fn what_nobody_replaces_is_its_own_function() {
    let extensions = load(vec![Registered::base("audit", 1)], "prod").unwrap();
    counts(&extensions, None);
    assert!(extensions.replacement::<Form>("Context", "other").is_none());
}

#[test]
fn the_later_unit_counts_and_an_environments_own_counts_after_all_others() {
    let items = || {
        vec![
            Registered::base("audit", 1),
            Registered::base("audit", 2).replacing(two).env("unittest"),
            Registered::base("blog", 3).replacing(three),
            Registered::base("blog", 4).replacing(four).env("other"),
        ]
    };
    counts(&load(items(), "prod").unwrap(), Some(three));
    counts(&load(items(), "unittest").unwrap(), Some(two));
    counts(&load(items(), "other").unwrap(), Some(four));
}

#[test]
fn a_name_that_is_there_twice_names_both_places() {
    assert_eq!(
        problem(vec![
            Registered::base("blog", 1),
            Registered::base("blog", 5)
        ]),
        "blog.rs:5: `Context::level` is there already, at blog.rs:1: rename or remove one of them"
    );
    assert_eq!(
        problem(vec![
            Registered::base("audit", 1),
            Registered::base("blog", 5)
        ]),
        "blog.rs:5: `Context::level` is there already, at audit.rs:1: write `#[extend(replace)]` if \
         this one is to take its place"
    );
}

#[test]
fn a_replacement_is_of_the_same_form() {
    let items = vec![
        Registered::base("audit", 1),
        Registered::base("blog", 5).replacing(other),
    ];
    assert_eq!(
        problem(items),
        "blog.rs:5: `Context::level` is `fn(&Context, u32) -> u32`, what it replaces at audit.rs:1 \
         is `fn(&Context) -> u32`"
    );
}

#[test]
fn a_replacement_replaces_something() {
    let mut wrong = Registered::base("blog", 5).replacing(two);
    wrong.name = "levle";
    assert_eq!(
        problem(vec![Registered::base("audit", 1), wrong]),
        "blog.rs:5: #[extend(replace)]: there is no `Context::levle` to replace, did you mean \
         `level`?"
    );
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let text = problem(vec![
        Registered::base("blog", 1),
        Registered::base("blog", 2),
        Registered::base("blog", 3),
    ]);
    assert_eq!(text.lines().count(), 2, "{text}");
}
