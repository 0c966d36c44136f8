//! What models may read of the gas service: the cells of its newest state frame. The two services know nothing
//! of each other; they meet here.

use leitstand_kit::{Context, Frames};
use leitstand_models::series::SeriesSource;
use serde_json::Value;

/// The gas cells by id.
pub(crate) struct GasCells(Frames);

impl GasCells {
    pub(crate) fn new(cx: &Context) -> Self {
        Self(cx.frames.clone())
    }
}

impl SeriesSource for GasCells {
    fn values(&self) -> Vec<(String, Option<f64>)> {
        let frame = self.0.latest("gas");
        let state: Value = frame
            .and_then(|json| serde_json::from_str(&json).ok())
            .unwrap_or_default();
        let cells = state.get("cells").and_then(Value::as_array);
        let tag = |cell: &Value| {
            Some((
                cell.get("id")?.as_str()?.to_owned(),
                cell.get("value")?.as_f64(),
            ))
        };
        cells.into_iter().flatten().filter_map(tag).collect()
    }
}
