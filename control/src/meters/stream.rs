//! `GET /api/control/meters/stream`: the figures again, every second.

use std::{convert::Infallible, time::Duration};

use axum::{
    Extension, extract,
    response::sse::{Event, Sse},
};
use futures_util::{Stream, stream};
use jiff::Timestamp;
use tokio::{
    sync::{OwnedSemaphorePermit, watch},
    time::{Instant, Interval, MissedTickBehavior, interval, sleep_until},
};

use crate::{Meters, State, authentication::Authenticated, contract::Problem, refusal::Refusal};

/// How long a client should wait after a `bye`.
const RETRY_MS: u64 = 1000;

/// The figures of the last 60 seconds, once a second.
///
/// Server-sent events: `meters` with the figures, and after 10 minutes (or when the session or the
/// node ends) `bye` with `{"retry_ms"}`, after which the client comes back.
#[utoipa::path(
    get, path = "/api/control/meters/stream", operation_id = "control_stream_meters", tag = "meters", security(("session" = [])),
    responses(
        (status = OK, body = Meters, content_type = "text/event-stream", description = "The data of each `meters` event"),
        (status = "default", body = Problem, content_type = "application/problem+json", description = "Refused"),
    ),
)]
pub(crate) async fn stream(
    extract::State(state): extract::State<State>,
    Extension(authenticated): Extension<Authenticated>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Ok(place) = state.streams().clone().try_acquire_owned() else {
        return Err(Refusal::busy(
            "Too many live streams are open; close another one, or poll /api/control/meters.",
            5,
        ));
    };
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let end = Instant::now() + lifetime(&state, &authenticated);
    let closing = state.closing();
    let live = Live {
        state,
        ticks,
        end,
        closing,
        over: false,
        _place: place,
    };
    Ok(Sse::new(stream::unfold(live, Live::next)))
}

/// The configured time, or what is left of the session if that is less.
fn lifetime(state: &State, authenticated: &Authenticated) -> Duration {
    let configured = Duration::from_secs(state.config().stream_seconds);
    let left = authenticated.expires_at.map(|end| end.duration_since(Timestamp::now()));
    left.map_or(configured, |left| {
        configured.min(Duration::try_from(left).unwrap_or_default())
    })
}

/// One open stream. The client leaves, axum drops it, and its place is free.
struct Live {
    state: State,
    ticks: Interval,
    end: Instant,
    closing: watch::Receiver<bool>,
    over: bool,
    _place: OwnedSemaphorePermit,
}

impl Live {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.over {
            return None;
        }
        tokio::select! {
            biased;
            _ = self.closing.wait_for(|closing| *closing) => self.over = true,
            () = sleep_until(self.end) => self.over = true,
            _ = self.ticks.tick() => {}
        }
        let event = if self.over {
            Event::default()
                .event("bye")
                .data(format!("{{\"retry_ms\":{RETRY_MS}}}"))
        } else {
            self.figures().await
        };
        Some((Ok(event), self))
    }

    /// A second without figures is a comment: the stream goes on, and so does the client's clock.
    async fn figures(&self) -> Event {
        let event = match self.state.platform().meters().await {
            Ok(meters) => Event::default()
                .event("meters")
                .json_data(meters)
                .map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        event.unwrap_or_else(|cause| {
            tracing::warn!("Meters were not sent: {cause}");
            Event::default().comment("no figures this second")
        })
    }
}
