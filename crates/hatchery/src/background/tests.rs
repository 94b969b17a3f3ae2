//! Work after the response.

use std::sync::{Arc, Mutex};

use serde_json::json;
use tokio::sync::oneshot;

use crate::ErrorOrigin;
use crate::context::tests::app_in;

#[tokio::test]
async fn semantic_44_a_failure_in_the_background_is_an_event_and_harms_nobody() {
    let app = app_in("unittest", &json!({}));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let ears = Arc::clone(&heard);
    app.on_error(move |event| {
        let path = event.context().unwrap().path().to_owned();
        let line = format!("{path} {:?} {}", event.origin(), event.error());
        ears.lock().unwrap().push(line);
    });
    let ctx = app.anonymous_context();
    ctx.run_in_background("fails", async { Err("no mail server".into()) });
    ctx.run_in_background("panics", async { panic!("a mistake") });
    ctx.run_in_background("succeeds", async { Ok(()) });
    app.background_tasks_finished().await;
    let origin = |task: &str| {
        let task = task.to_owned();
        format!("{:?}", ErrorOrigin::Background { task })
    };
    let expected = [
        format!("/ {} no mail server", origin("fails")),
        format!("/ {} panicked: a mistake", origin("panics")),
    ];
    assert_eq!(*heard.lock().unwrap(), expected);
}

#[tokio::test]
async fn semantic_44_the_context_stays_usable_and_a_drain_waits() {
    let app = app_in("unittest", &json!({}));
    let ctx = app.anonymous_context();
    ctx.set_user("ann".to_owned());
    let ((go, goes), (tell, told)) = (oneshot::channel::<()>(), oneshot::channel());
    let kept = ctx.clone();
    ctx.run_in_background("later", async move {
        goes.await?;
        let _ = tell.send(kept.user::<String>());
        Ok(())
    });
    drop(ctx);
    assert_eq!(app.background().running(), 1);
    let idle = app.background_tasks_finished();
    tokio::pin!(idle);
    assert!(is_pending(idle.as_mut()).await);
    go.send(()).unwrap();
    idle.await;
    assert_eq!(**told.await.unwrap().as_ref().unwrap(), "ann");
    assert_eq!(app.background().running(), 0);
}

/// Whether it has nothing to say yet.
async fn is_pending(mut future: std::pin::Pin<&mut impl Future<Output = ()>>) -> bool {
    std::future::poll_fn(|turn| std::task::Poll::Ready(future.as_mut().poll(turn).is_pending()))
        .await
}
