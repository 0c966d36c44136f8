//! Content over HTTP: uploads with live refresh, texts, backups, and who may.

use super::*;

const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\0\x01\0\0\0\x01\x08\x06\0\0\0\x1f\x15\xc4\x89";

impl House {
    async fn engineer() -> Self {
        Self::start("", Role::Engineer).await
    }

    async fn send(&self, method: &str, path: &str, body: Body) -> (u16, Vec<u8>) {
        let path = format!("/api/v1/panel/{path}");
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(body)
            .unwrap();
        let response = self.request(request).await;
        let status = response.status().as_u16();
        let bytes = axum::body::to_bytes(response.into_body(), 1 << 24)
            .await
            .unwrap();
        (status, bytes.to_vec())
    }

    async fn upload(&self, path: &str, bytes: &[u8]) -> (u16, Value) {
        // In pieces, as a network brings them.
        let pieces: Vec<_> = bytes
            .chunks(10)
            .map(|c| Ok::<_, std::io::Error>(c.to_vec()))
            .collect();
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let (status, bytes) = self.send("POST", &format!("content/{path}"), body).await;
        (status, serde_json::from_slice(&bytes).unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_reaches_every_screen_before_it_is_answered() {
    let house = House::engineer().await;
    let mut screen = house.screen().await;
    let (status, answer) = house.upload("4", PNG).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(answer["file"], "004.png");
    assert_eq!(answer["item"]["files"][0]["mime"], "image/png");
    let told = screen.next().await;
    assert_eq!(
        (&told["type"], &told["id"]),
        (&json!("media_changed"), &json!(4))
    );
    let (_, list) = house.get("/api/v1/panel/media").await;
    let list: Value = serde_json::from_str(&list).unwrap();
    assert_eq!(list["rev"], told["rev"]);
    let url = list["items"][3]["image"].as_str().unwrap();
    assert!(url.starts_with("/media/004.png?v="), "{url}");
    assert_eq!(house.get(url).await.0, 200);
    assert!(!house.dir.path().join("media/004.svg").exists());

    let (status, answer) = house.upload("4?append=true", PNG).await;
    assert_eq!((status, answer["file"].as_str()), (200, Some("004-2.png")));
    screen.next().await;
    // The next play shows both.
    house.call("POST", "/api/play/4", "{}").await;
    let play = loop {
        let frame = screen.next().await;
        if frame["type"] == "play" {
            break frame;
        }
    };
    assert_eq!(play["images"].as_array().unwrap().len(), 2, "{play}");
    let (status, _) = house
        .send("DELETE", "content/4/004-2.png", Body::empty())
        .await;
    assert_eq!(status, 200);
    assert_eq!(
        house
            .events()
            .await
            .iter()
            .filter(|k| *k == "Audited")
            .count(),
        4
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_are_edited_and_shown() {
    let house = House::engineer().await;
    let texts = r#"{"title":"Bell","caption":"Ding","language":"en","volume":40,"loop":true}"#;
    let (status, answer) = house.call("PUT", "/api/v1/panel/content/2", texts).await;
    assert_eq!(status, 200, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(
        (&answer["title"], &answer["volume"], &answer["loop"]),
        (&json!("Bell"), &json!(40), &json!(true))
    );
    let mut screen = house.screen().await;
    house.call("POST", "/api/play/2", "{}").await;
    screen.next().await;
    let play = screen.next().await;
    assert_eq!(
        (&play["title"], &play["loop"]),
        (&json!("Bell"), &json!(true))
    );
    for bad in [
        r#"{"volume":101}"#,
        r#"{"images":["003.svg"]}"#,
        r#"{"titel":"x"}"#,
        r#"{"title":5}"#,
    ] {
        let (status, _) = house.call("PUT", "/api/v1/panel/content/2", bad).await;
        assert_eq!(status, 422, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_stored_is_refused_with_its_reason() {
    let house = House::engineer().await;
    for (path, bytes, status, code) in [
        ("4", &b"#!/bin/sh"[..], 422, "not_usable"),
        ("4", b"", 422, "not_usable"),
        ("11", PNG, 404, "not_found"),
        ("0", PNG, 404, "not_found"),
    ] {
        let (got, answer) = house.upload(path, bytes).await;
        assert_eq!(
            (got, answer["code"].as_str()),
            (status, Some(code)),
            "{path}: {answer}"
        );
    }
    assert_eq!(
        house.send("POST", "content/x", Body::from(PNG)).await.0,
        400
    );
    let (status, _) = house
        .send("DELETE", "content/4/..%2F..%2Fleitstand.db", Body::empty())
        .await;
    assert_eq!(status, 404);
    // A body that breaks off.
    let pieces = [Ok(PNG.to_vec()), Err(std::io::Error::other("gone"))];
    let body = Body::from_stream(futures_util::stream::iter(pieces));
    let (status, answer) = house.send("POST", "content/4", body).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    let media = std::fs::read_dir(house.dir.path().join("media")).unwrap();
    assert_eq!(media.count(), 20, "nothing is left of any of them");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_engineers_change_content() {
    let house = House::operator().await;
    for (method, path) in [
        ("POST", "content/4"),
        ("PUT", "content/4"),
        ("DELETE", "content/4"),
        ("DELETE", "content/4/004.svg"),
        ("GET", "content.tar"),
        ("PUT", "content.tar"),
    ] {
        assert_eq!(
            house.send(method, path, Body::from(PNG)).await.0,
            403,
            "{method} {path}"
        );
    }
    assert_eq!(house.send("GET", "content", Body::empty()).await.0, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_restores_what_it_was_made_of() {
    let house = House::engineer().await;
    house
        .call("PUT", "/api/v1/panel/content/2", r#"{"title":"Bell"}"#)
        .await;
    let before = house.panel.0.snapshot.borrow().media.clone();
    let (status, backup) = house.send("GET", "content.tar", Body::empty()).await;
    assert_eq!(status, 200);
    assert_eq!(backup.len() % 512, 0);
    for id in 1..=10 {
        house
            .send("DELETE", &format!("content/{id}"), Body::empty())
            .await;
    }
    assert_eq!(house.status().await["media_missing"], 20);
    let (status, answer) = house
        .send("PUT", "content.tar", Body::from(backup[..5000].to_vec()))
        .await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    let broken_off = [
        Ok(backup[..backup.len() / 1024 * 512].to_vec()),
        Err(std::io::Error::other("gone")),
    ];
    let body = Body::from_stream(futures_util::stream::iter(broken_off));
    let (status, answer) = house.send("PUT", "content.tar", body).await;
    assert_eq!(status, 400, "{}", String::from_utf8_lossy(&answer));
    assert_eq!(
        house.status().await["media_missing"],
        20,
        "half a backup restores nothing"
    );
    let (status, answer) = house
        .send("PUT", "content.tar", Body::from(backup.clone()))
        .await;
    assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
    let after = house.panel.0.snapshot.borrow().media.clone();
    assert!(after.complete());
    let shape = |media: &crate::media::Media| -> Vec<_> {
        let item = |i: &crate::media::Item| {
            (
                i.title.clone(),
                i.files()
                    .map(|f| (f.name.clone(), f.size))
                    .collect::<Vec<_>>(),
            )
        };
        media.items().map(|(_, i)| item(i)).collect()
    };
    assert_eq!(shape(&after), shape(&before));
    let (_, again) = house.send("GET", "content.tar", Body::empty()).await;
    assert_eq!(again.len(), backup.len());
}
