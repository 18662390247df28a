//! JSON in and out, with problem documents for whatever is wrong with it.

use axum::{
    body::{Body, to_bytes},
    extract::FromRequest,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Request, header::CONTENT_TYPE};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::{Code, Problem};

/// A body of JSON. As an extractor it answers `malformed-body` (400) to what is no JSON, and
/// `validation-failed` (422), with the place, to JSON of another shape.
#[derive(Debug, Clone, Copy)]
pub struct Json<T>(pub T);

/// The gateway cuts bodies off at the release's own limit; this bounds a native server.
const BODY_BYTES_MAX: usize = 8 << 20;

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, Problem> {
        // A form or a plain-text body is what another site's page can send without being asked;
        // JSON is not. This is the second fence, after the gateway's.
        let declared = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let media_type = declared.split(';').next().unwrap_or_default().trim();
        if !media_type.eq_ignore_ascii_case("application/json") && !media_type.ends_with("+json") {
            return Err(Problem::new(Code::MalformedBody).detail("Send `content-type: application/json`."));
        }
        let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX)
            .await
            .map_err(|_| Problem::new(Code::BodyTooLarge))?;
        parse(&bytes).map(Json)
    }
}

fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let pointer = pointer(error.path());
        let inner = error.into_inner();
        if inner.is_data() {
            // serde's sentence names fields and types of the contract, and what the client sent.
            Problem::invalid(pointer, without_position(&inner.to_string()))
        } else {
            Problem::new(Code::MalformedBody).detail(format!("Line {}, column {}.", inner.line(), inner.column()))
        }
    })?;
    deserializer
        .end()
        .map_err(|_| Problem::new(Code::MalformedBody).detail("There is text after the JSON value."))?;
    Ok(value)
}

/// `tasks[0].title` as RFC 6901 writes it: `/tasks/0/title`.
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => "/?".to_owned(),
        })
        .collect()
}

fn without_position(message: &str) -> String {
    message.split(" at line ").next().unwrap_or(message).to_owned()
}

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        match serde_json::to_vec(&self.0) {
            Ok(bytes) => {
                let mut response = Response::new(Body::from(bytes));
                response
                    .headers_mut()
                    .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
                response
            }
            Err(error) => Problem::internal(error).into_response(),
        }
    }
}

/// For a field of PATCH that may be left out, be null, or have a value: `Option<Option<T>>`, with
/// `#[serde(default, deserialize_with = "terrace_sdk::nullable")]`. Left out is None, null is
/// `Some(None)`.
///
/// # Errors
/// Those of `T`.
pub fn nullable<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors of parsing it are looked at")]
    struct Board {
        title: String,
        tasks: Vec<Task>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only the errors of parsing it are looked at")]
    struct Task {
        position: f64,
    }

    #[test]
    fn a_wrong_type_is_told_with_its_json_pointer() {
        let problem = parse::<Board>(br#"{"title":"a","tasks":[{"position":1},{"position":"x"}]}"#).unwrap_err();
        assert_eq!(problem.code(), Code::ValidationFailed);
        assert_eq!(problem.fields()[0].pointer, "/tasks/1/position");
        assert!(!problem.fields()[0].detail.contains("line"));
    }

    #[test]
    fn what_is_no_json_is_malformed() {
        for body in ["", "{", "{\"title\":", "{} {}", "nonsense"] {
            let problem = parse::<serde_json::Value>(body.as_bytes()).unwrap_err();
            assert_eq!(problem.code(), Code::MalformedBody, "{body}");
        }
    }

    #[test]
    fn a_patch_tells_null_from_left_out() {
        #[derive(Deserialize)]
        struct Patch {
            #[serde(default, deserialize_with = "nullable")]
            assignee: Option<Option<String>>,
        }
        assert_eq!(parse::<Patch>(b"{}").unwrap().assignee, None);
        assert_eq!(parse::<Patch>(br#"{"assignee":null}"#).unwrap().assignee, Some(None));
        assert_eq!(
            parse::<Patch>(br#"{"assignee":"m"}"#).unwrap().assignee,
            Some(Some("m".to_owned()))
        );
    }
}
