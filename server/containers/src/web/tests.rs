#![allow(clippy::unwrap_used)]
use axum::body::Body;
use tower::ServiceExt as _;

use super::*;
use crate::tests::Lab;

async fn ask(lab: &Lab, legacy_get: bool, method: &str, path: &str, body: &str) -> (u16, Value) {
    let state = Shared {
        verbs: lab.verbs.clone(),
        legacy_get,
        base: "http://127.0.0.1:1".into(),
    };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::from(body.to_owned()))
        .unwrap();
    let answer = router(Arc::new(state)).oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn golden_c30_the_table_of_the_web_variant() {
    let lab = Lab::new("max_running = 3").await;
    let message = async |legacy, method, path, body| {
        let (status, answer) = ask(&lab, legacy, method, path, body).await;
        assert_eq!(status, 200, "{method} {path}");
        answer["message"].as_str().unwrap_or_default().to_owned()
    };
    let (_, greeting) = ask(&lab, true, "GET", "/", "").await;
    assert_eq!(greeting["data"]["links"].as_array().unwrap().len(), 3);
    for path in ["/stat", "/STAT", "/stat?x=1"] {
        assert_eq!(message(false, "GET", path, "").await, "OK");
        assert_eq!(message(false, "POST", path, "{}").await, "OK");
    }
    for path in ["/foo", "/foo/bar", "/stat/"] {
        assert_eq!(message(true, "GET", path, "").await, "Bad request");
    }
    assert_eq!(
        message(true, "POST", "/stat", "").await,
        "Bad request (Malformed request)"
    );
    assert_eq!(message(true, "POST", "/destroy", "{}").await, "Bad request");
    assert_eq!(ask(&lab, true, "PUT", "/stat", "{}").await.0, 501);

    assert_eq!(message(false, "GET", "/create", "").await, "Bad request");
    assert_eq!(lab.mock.creates(), 0, "a mere link started a container");
    assert_eq!(message(true, "GET", "/create", "").await, "OK");
    ask(&lab, true, "HEAD", "/create", "").await;
    assert_eq!(lab.engine.available(), 1);
    assert_eq!(message(false, "POST", "/create", "{}").await, "OK");
}
