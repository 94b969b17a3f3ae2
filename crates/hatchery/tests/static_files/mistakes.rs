//! What is wrong with an entry is said at the start, with its place.

use crate::support::{configured, tree};

#[tokio::test]
async fn mistakes_have_a_place() {
    let dir = tree();
    let base = dir.path().display();
    let start = "[[routes]]\ntype = \"static\"\nroute = \"/static\"\n";
    let files = format!("{start}path = \"files\"\n[routes.options]\n");
    for (text, expected) in [
        (
            format!("{start}path = \"flies\"\n"),
            format!("1:1: there is no directory {base}/flies"),
        ),
        (
            format!("{start}path = [\"files\", \"secret.txt\"]\n"),
            format!("1:1: {base}/secret.txt is no directory"),
        ),
        (
            format!("{start}path = []\n"),
            "1:1: `path` names at least one directory".to_owned(),
        ),
        (
            "[[routes]]\ntype = \"static\"\nroute = \"/{user}\"\npath = \"files\"\n".to_owned(),
            "1:1: the route of static files is a path without parameters, not `/{user}`".to_owned(),
        ),
        (
            format!("{files}indx = \"x\"\n"),
            "6:1: unknown key `routes[0].options.indx`, did you mean `index`?".to_owned(),
        ),
        (
            format!("{files}index = \"a/b\"\n"),
            "1:1: `index` is the name of a file, not `a/b`".to_owned(),
        ),
        (
            format!("{files}immutable = true\n"),
            "1:1: `immutable` needs a `max_age`, say \"365days\"".to_owned(),
        ),
        (
            format!("{files}memory = \"1KiB\"\n"),
            "1:1: `memory_file` is more than `memory`".to_owned(),
        ),
    ] {
        let error = configured(&dir, "prod", &text).await.unwrap_err();
        let expected = format!("config/config.default.toml:{expected}");
        assert!(error.contains(&expected), "{error}\n{expected}");
    }
    let twice = format!("{start}path = \"files\"\n").repeat(2);
    let error = configured(&dir, "prod", &twice).await.unwrap_err();
    assert!(
        error.contains("config.default.toml:1:1; remove one of the two"),
        "{error}"
    );
    let unknown = format!("{start}path = \"files\"\nmiddlewares = [\"x\"]\n");
    let error = configured(&dir, "prod", &unknown).await.unwrap_err();
    assert!(error.contains("no middleware is called `x`"), "{error}");
}
