//! What was measured is kept and answered in ranges, also after the power went.

use leitstand_tests::Server;

#[test]
fn what_the_cells_measured_is_there_after_a_restart() {
    let mut server = Server::demo();
    let name = server.wait_for("a series of a cell", "/api/v1/history", |list| {
        let items = list["items"].as_array()?;
        let mut names = items.iter().filter_map(|s| s["name"].as_str());
        names
            .find(|name| name.starts_with("gas."))
            .map(str::to_owned)
    });
    // From long ago to far ahead, so that no clock matters; a year in a few steps.
    let now = server.get("/api/v1/site").ok()["clock"]["unix_ms"]
        .as_i64()
        .unwrap();
    let (from, to) = (now - 3_600_000, now + 3_600_000);
    let path = format!("/api/v1/history/data?series={name}&from={from}&to={to}&steps=1000");
    let covered = |server: &Server| {
        server.wait_for("some seconds of history", &path, |data| {
            assert_eq!(data["source"], "raw");
            let items = data["items"].as_array()?;
            let covered: f64 = items.iter().filter_map(|i| i["covered_s"].as_f64()).sum();
            for item in items {
                assert!(item["min"].as_f64() <= item["max"].as_f64(), "{item}");
            }
            (covered >= 2.0).then_some(covered)
        })
    };
    let before = covered(&server);
    server.kill_9();
    server.restart();
    assert!(covered(&server) >= before);
    let year = format!(
        "/api/v1/history/data?series={name}&from={}&steps=100",
        now - 365 * 86_400_000
    );
    assert_eq!(server.get(&year).ok()["source"], "hours");
}
