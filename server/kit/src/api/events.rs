//! `/api/v1/events`: the journal in pages, as JSON or CSV.

use axum::{
    body::Body,
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use super::{Json, Page, Problem, Query};
use crate::{
    Context, Events, Severity,
    auth::access,
    events::{Filter, Stored, csv},
    store::StoreError,
};

/// Bytes of a text to look for. Reasoning: nobody types more, and each row is compared with it.
const TEXT_BYTES_MAX: usize = 200;
/// Entries read at once for CSV.
const CSV_CHUNK: u32 = 1000;

pub(super) fn routes(cx: &Context) -> OpenApiRouter {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(list_csv))
        .with_state(cx.clone())
}

/// Which entries. An empty value counts as not given.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only this service.
    #[serde(default, deserialize_with = "given")]
    service: Option<String>,
    /// At least this severity.
    #[serde(default, deserialize_with = "given")]
    severity: Option<Severity>,
    /// Only this kind, such as `AlarmRaised`.
    #[serde(default, deserialize_with = "given")]
    kind: Option<String>,
    /// The text contains this, ignoring ASCII case; at most 200 bytes.
    #[serde(default, deserialize_with = "given")]
    text: Option<String>,
    /// Only `seq > since`.
    #[serde(default, deserialize_with = "given")]
    since: Option<u64>,
    /// Only `seq <= until`; pass `next` here to continue a list that is newest first.
    #[serde(default, deserialize_with = "given")]
    until: Option<u64>,
    /// At most so many: 1 to 1000, 100 unless told; CSV has no limit unless told.
    #[serde(default, deserialize_with = "given")]
    limit: Option<u32>,
    /// `oldest` first; newest first unless told. `next` is then for `since`.
    #[serde(default, deserialize_with = "given")]
    order: Option<Order>,
    /// `csv` for a table; JSON unless told.
    #[serde(default, deserialize_with = "given")]
    format: Option<Format>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Order {
    Newest,
    Oldest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Format {
    Json,
    Csv,
}

/// A form sends `severity=` for "any".
fn given<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    use serde::de::{Error as _, IntoDeserializer as _, value};
    let text = String::deserialize(deserializer)?;
    if text.is_empty() {
        return Ok(None);
    }
    // Numbers come as texts too; JSON tells them apart from words.
    let number = serde_json::from_str::<T>(&text).map(Some);
    number.or_else(|_| {
        let text: value::StringDeserializer<value::Error> = text.into_deserializer();
        T::deserialize(text).map(Some).map_err(D::Error::custom)
    })
}

impl Wanted {
    fn filter(self) -> Result<Filter, Problem> {
        if self
            .text
            .as_ref()
            .is_some_and(|text| text.len() > TEXT_BYTES_MAX)
        {
            return Err(Problem::bad_request("bad_query", "text: at most 200 bytes"));
        }
        Ok(Filter {
            service: self.service,
            severity: self.severity,
            kind: self.kind,
            text: self.text,
            since: self.since,
            until: self.until,
            limit: self.limit,
            oldest_first: self.order == Some(Order::Oldest),
        })
    }
}

/// What happened, newest first.
#[utoipa::path(get, path = "/api/v1/events", tag = "events", params(Wanted), responses(
    (status = 200, body = Page<Stored>, description = "`next` goes into `until` (or `since` when oldest first)"),
    (status = 400, body = Problem, description = "`bad_query`"),
))]
async fn list(
    State(cx): State<Context>,
    _: access::Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    if wanted.format == Some(Format::Csv) {
        return table(&cx.events, wanted);
    }
    let page = cx
        .events
        .query(wanted.filter()?)
        .await
        .map_err(unreadable)?;
    Ok(Json(Page {
        items: page
            .items
            .iter()
            .map(|entry| &**entry)
            .collect::<Vec<&Stored>>(),
        next: page.next.map(|next| next.to_string()),
    })
    .into_response())
}

/// The same as a table for a spreadsheet.
#[utoipa::path(get, path = "/api/v1/events.csv", tag = "events", params(Wanted), responses(
    (status = 200, content_type = "text/csv", body = String, description = "texts are safe to open in a spreadsheet"),
    (status = 400, body = Problem, description = "`bad_query`"),
))]
async fn list_csv(
    State(cx): State<Context>,
    _: access::Viewer,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    table(&cx.events, wanted)
}

/// Written in chunks as the client takes them, so that the whole journal is never in memory.
fn table(events: &Events, wanted: Wanted) -> Result<Response, Problem> {
    let left = wanted.limit.unwrap_or(u32::MAX);
    let filter = Some(wanted.filter()?);
    let rows = stream::try_unfold(
        (events.clone(), filter, left),
        |(events, filter, left)| async move {
            let Some(mut filter) = filter.filter(|_| left > 0) else {
                return Ok(None);
            };
            filter.limit = Some(left.min(CSV_CHUNK));
            let page = events.query(filter.clone()).await?;
            let text: String = page.items.iter().map(|entry| csv::line(entry)).collect();
            if filter.oldest_first {
                filter.since = page.next.or(filter.since);
            } else {
                filter.until = page.next.or(filter.until);
            }
            let left = left - page.items.len() as u32;
            let rest = page.next.map(|_| filter);
            Ok::<_, StoreError>(Some((text, (events, rest, left))))
        },
    );
    let header = stream::iter([Ok(csv::HEADER.to_owned())]);
    let body = Body::from_stream(futures_util::StreamExt::chain(header, rows));
    let headers = [
        (
            header::CONTENT_TYPE,
            "text/csv; charset=utf-8; header=present",
        ),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"leitstand-events.csv\"",
        ),
        (header::CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

fn unreadable(error: StoreError) -> Problem {
    tracing::error!(%error, "reading the journal");
    Problem::unavailable(
        "journal_unreadable",
        "the journal cannot be read at the moment",
    )
}

/// The JSON of an entry, as in a page and in the stream.
pub(super) fn json(entry: &Stored) -> String {
    // Strings, numbers and a value: nothing of it can fail.
    serde_json::to_string(entry).unwrap_or_default()
}
