//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-07): a `POST` or `PATCH` that is sent again because its answer was lost
//! is done once.
//!
//! A key counts for one user, device, method and path. The first request is noted durably before it runs. Its answer is kept, sealed,
//! for a day, and given again to whoever sends the same; something else under the same key is refused. A refused request changed
//! nothing, so its key is free again. Where the server went down in between, the outcome is not known, and it says so rather than
//! doing it twice. A request runs to its end even where its client has gone.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holler_core::units::DeviceId;
use holler_core::wire::limits::{IDEMPOTENCY_KEY_CHARS_MAX, REST_BODY_BYTES_MAX};
use holler_core::wire::problem::{Problem, ProblemKind};
use serde::{Deserialize, Serialize};

use super::{ProblemResponse, extract, problem};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::StoreError;
use crate::storage::accounts::{Accounts, Begun, RequestHash};

const KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Fields of an answer that are kept with it.
const KEPT: [HeaderName; 3] = [header::CONTENT_TYPE, header::ETAG, header::LOCATION];

/// Requests with a key that run now.
#[derive(Debug, Default)]
pub struct Running(Mutex<HashSet<Named>>);

/// A request by its device, method, path and key.
type Named = (DeviceId, Method, String, String);

impl Running {
    fn set(&self) -> MutexGuard<'_, HashSet<Named>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes its request out of those that run.
struct Claim {
    app: App,
    named: Named,
}

impl Claim {
    /// `None`: the same request runs already.
    fn new(app: &App, named: Named) -> Option<Self> {
        let first = app.requests_running.set().insert(named.clone());
        first.then(|| Self { app: Arc::clone(app), named })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.app.requests_running.set().remove(&self.named);
    }
}

/// What is kept of an answer.
#[derive(Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// Does what carries a key once.
pub(super) async fn once(State(app): State<App>, request: Request, next: Next) -> Result<Response, ProblemResponse> {
    let counts = matches!(*request.method(), Method::POST | Method::PATCH);
    let principal = request.extensions().get::<Principal>().filter(|_| counts).cloned();
    let (Some(key), Some(principal)) = (key(request.headers())?, principal) else {
        return Ok(next.run(request).await);
    };
    let (parts, body) = request.into_parts();
    let named = (principal.device, parts.method.clone(), parts.uri.path().to_owned(), key.clone());
    let Some(claim) = Claim::new(&app, named) else {
        let detail = "the first request with this key is under way: send it again for its answer";
        return Err(refused(ProblemKind::Conflict, detail).retry_after_s(1).into());
    };
    let body = to_bytes(body, REST_BODY_BYTES_MAX).await.map_err(|_| extract::too_large())?;
    let (method, path) = (parts.method.as_str().to_owned(), parts.uri.path().to_owned());
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let content = body.clone();
    let (device, now) = (principal.device, app.clock.unix());
    let (request, begun) = with(&app, move |accounts| {
        let user = principal.user;
        let parts: [&[u8]; 4] = [user.bytes(), method.as_bytes(), path.as_bytes(), key.as_bytes()];
        let request = accounts.request_hash("idempotency.request", &parts);
        let digest = accounts.request_hash("idempotency.digest", &[query.as_bytes(), &content]);
        Ok((request, accounts.begin_request(device, &request, &digest, now)?))
    })
    .await?;
    match begun {
        Begun::Answered(answer) => return replay(&answer),
        Begun::Different => {
            let detail = "this key was used for a request with another body: use a new key";
            return Err(refused(ProblemKind::IdempotencyKeyReused, detail).into());
        }
        Begun::Unanswered => {
            let detail =
                "how the first request with this key ended is not known: look whether it was done, then use a new key";
            return Err(refused(ProblemKind::Conflict, detail).into());
        }
        Begun::New => {}
    }
    // To its end, also where the client has gone: what was done must be found again under its key.
    let work = tokio::spawn(async move {
        let response = next.run(Request::from_parts(parts, Body::from(body))).await;
        let response = keep(&app, device, request, response).await;
        drop(claim);
        response
    });
    match work.await {
        Ok(response) => Ok(response?),
        Err(error) => match error.try_into_panic() {
            // To the layer that turns panics into problems.
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(Problem::new(ProblemKind::Unknown, "it may or may not have happened").into()),
        },
    }
}

fn refused(kind: ProblemKind, detail: &str) -> Problem {
    Problem::new(kind, detail).field("Idempotency-Key")
}

/// The key of a request; as a structured field it stands in quotes, which may be left out.
fn key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(KEY) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
    let plain = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
    if text.is_empty() || text.len() > IDEMPOTENCY_KEY_CHARS_MAX || !plain {
        let detail = format!("expected 1 to {IDEMPOTENCY_KEY_CHARS_MAX} visible characters of ASCII, such as a UUID");
        return Err(refused(ProblemKind::Malformed, &detail));
    }
    Ok(Some(text.to_owned()))
}

async fn with<T: Send + 'static>(
    app: &App,
    work: impl FnOnce(&Accounts<'_>) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, Problem> {
    let (vault, workspace) = (app.store.vault().clone(), app.auth.workspace());
    app.store.write(move |db| work(&Accounts::open(db, &vault, workspace)?)).await.map_err(problem::store)
}

/// Keeps a positive answer; frees the key of a refused request, unless nobody knows what became of it.
async fn keep(app: &App, device: DeviceId, request: RequestHash, response: Response) -> Result<Response, Problem> {
    let status = response.status();
    if !status.is_success() {
        // Without the right to say what happened, or where that is unclear, the note stays.
        let unclear = response.extensions().get::<problem::Told>().is_some_and(|told| told.is(ProblemKind::Unknown));
        if !unclear {
            with(app, move |accounts| accounts.forget_request(device, &request)).await?;
        }
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let fault = |_| Problem::new(ProblemKind::Unknown, "it was done, but its answer could not be gathered");
    let body: Bytes = to_bytes(body, REST_BODY_BYTES_MAX).await.map_err(fault)?;
    let header = |name: &HeaderName| Some((name.to_string(), parts.headers.get(name)?.to_str().ok()?.to_owned()));
    let answer = Answer {
        status: status.as_u16(),
        headers: KEPT.iter().filter_map(header).collect(),
        body: BASE64.encode(&body),
    };
    let answer = serde_json::to_vec(&answer).unwrap_or_default();
    with(app, move |accounts| accounts.answer_request(device, &request, &answer)).await?;
    Ok(Response::from_parts(parts, Body::from(body)))
}

fn replay(answer: &[u8]) -> Result<Response, ProblemResponse> {
    let fault = || Problem::new(ProblemKind::Internal, "the kept answer can't be read");
    let answer: Answer = serde_json::from_slice(answer).map_err(|_| fault())?;
    let status = StatusCode::from_u16(answer.status).map_err(|_| fault())?;
    let mut response = (status, BASE64.decode(answer.body).map_err(|_| fault())?).into_response();
    response.headers_mut().remove(header::CONTENT_TYPE);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}
