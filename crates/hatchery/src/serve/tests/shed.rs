//! What a thread refuses while memory is very short.

use super::*;

#[test]
fn what_is_above_half_of_the_usual_load_is_refused() {
    let gate = gate();
    let running = start(limits(), router(&gate));
    let mut waiting: Vec<_> = (0..8).map(|_| running.connect()).collect();
    for client in &mut waiting {
        client.send_get("/gate");
    }
    until("eight are in flight", || running.page.in_flight() == 8);
    running.pressure.send_replace(PressureLevel::Shed);

    // A thread that is new looks for a second before it knows what is usual.
    let mut client = running.connect();
    let start = Instant::now();
    let refused = loop {
        let answer = client.get("/hello");
        if answer.status != 200 {
            break answer;
        }
        assert!(start.elapsed() < PATIENCE, "it serves all");
        std::thread::sleep(Duration::from_millis(5));
    };
    assert_eq!((refused.status, refused.close), (503, false));
    assert_eq!(running.page.refused_total(), 1);
    // A body that nobody has read does not hurt the connection's next request.
    assert_eq!(client.post("/echo", "body").status, 503);

    // What had begun is finished, and half as much is served.
    gate.add_permits(8);
    for client in &mut waiting {
        assert_eq!(client.answer(), ok("through"));
    }
    until("all is answered", || running.page.in_flight() == 0);
    assert_eq!(client.post("/echo", "body"), ok("body"));
    for client in &mut waiting[..4] {
        client.send_get("/gate");
    }
    until("four are in flight", || running.page.in_flight() == 4);
    assert_eq!(client.get("/hello").status, 503);

    // At its end everything is served at once.
    running.pressure.send_replace(PressureLevel::Hold);
    until("it serves", || {
        running.connect().get("/hello").status == 200
    });
    for client in &mut waiting[4..] {
        client.send_get("/gate");
    }
    until("eight are in flight", || running.page.in_flight() == 8);
    gate.add_permits(8);
    for client in &mut waiting {
        assert_eq!(client.answer(), ok("through"));
    }
}
