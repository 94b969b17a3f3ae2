//! The verb `routes`. This program is its own application: called with the verb, it is the command
//! line; without, the test.

#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod posts;

use std::process::{Command, ExitCode, Output};

use hatchery::{App, Application, BoxError, Routes};
use serde_json::{Value, json};

/// Set where the routes are to be wrong.
const WRONG: &str = "TEST_WRONG_ROUTES";

/// Where the routes below are.
const ROUTER: u32 = line!() + 4;

#[hatchery::router]
fn router(routes: &mut Routes, _: &Application) -> Result<(), BoxError> {
    routes.get("/latest", posts::show).name("latest");
    routes.redirect("/newest", "latest");
    if std::env::var_os(WRONG).is_some() {
        routes.get("/posts/{slug}", async || "").name("post");
    }
    Ok(())
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("routes") {
        return App::new(hatchery::package!()).run();
    }
    json_is_the_contract();
    people_get_a_table();
    conflicts_end_it_and_name_both_places();
    println!("3 passed");
    ExitCode::SUCCESS
}

/// What the verb answers.
fn ask(args: &[&str], wrong: bool) -> Output {
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.arg("routes").args(args);
    if wrong {
        command.env(WRONG, "1");
    }
    command.output().expect("it runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("text")
}

fn json_is_the_contract() {
    let output = ask(&["--json"], false);
    assert!(output.status.success(), "{output:?}");
    let routes: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let show = format!("{}::posts::show", module_path!());
    let file = file!().replace("main.rs", "posts.rs");
    assert_eq!(
        routes,
        json!([
            {"method": "GET", "path": "/posts/{id}", "name": "post", "handler": show,
             "place": format!("{file}:4"), "middleware": []},
            {"method": "GET", "path": "/latest", "name": "latest", "handler": show,
             "place": format!("{file}:4"), "middleware": []},
            {"method": "ALL", "path": "/newest", "name": null, "handler": "redirect to latest",
             "place": format!("{}:{}", file!(), ROUTER + 1), "middleware": []},
        ])
    );
}

fn people_get_a_table() {
    let output = ask(&["--env", "prod"], false);
    let table = text(output.stdout);
    let lines: Vec<Vec<_>> = table
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(
        lines[0],
        ["method", "path", "name", "middleware", "handler", "place"]
    );
    assert_eq!(lines[1][..3], ["GET", "/posts/{id}", "post"]);
    assert_eq!(lines.len(), 4, "{table}");
}

fn conflicts_end_it_and_name_both_places() {
    let output = ask(&[], true);
    assert_eq!(output.status.code(), Some(1));
    let here = format!("{}:{}", file!(), ROUTER + 3);
    let posts = file!().replace("main.rs", "posts.rs");
    let expected = format!(
        "hatchery: cannot start: {here}: /posts/{{slug}} is the same path as /posts/{{id}} at \
         {posts}:4: give its parameters the same names; \
         {here}: the name `post` is that of /posts/{{id}} at {posts}:4; a name belongs to one \
         path\n",
    );
    assert_eq!(text(output.stderr), expected);
}
