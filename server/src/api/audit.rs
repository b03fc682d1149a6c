//! `GET /api/v1/audit`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::AuditEntry;

use super::pages::{Page, PageQuery};
use super::{ProblemResponse, extract::Query};
use crate::app::App;
use crate::storage::audit::{self, Action, Opened};

/// The longest target that is looked for, in characters.
const TARGET_CHARS_MAX: usize = 128;

/// Which entries.
#[derive(Clone, Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// Where to go on: from the field `Link` of the page before. Absent: from the newest entry.
    #[param(min_length = 1, max_length = 512, pattern = r"^[A-Za-z0-9_-]+$")]
    cursor: Option<String>,
    /// Entries wanted: 1 to 500; 500 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// Only this action, such as `member.set`.
    #[param(max_length = 64, pattern = "^[a-z_]+\\.[a-z_]+$")]
    action: Option<String>,
    /// Only what was done to this: an identifier.
    #[param(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_.:-]+$")]
    target: Option<String>,
}

/// Who changed what, the newest first.
///
/// Entries are chained by their hashes and never change; `hollerd audit verify` checks the chain. What an entry says about a person
/// who was erased can't be read any more: then `details` is absent. A page of filtered entries may have fewer than were wanted, or none,
/// and still lead to a next one.
#[utoipa::path(
    get, path = "/api/v1/audit", tag = "workspace", operation_id = "list_audit",
    params(AuditQuery),
    responses(
        (status = 200, description = "Entries; `Link` leads to the next page", body = [AuditEntry]),
        (status = 422, description = "out-of-bounds: the limit, or an action that there is not"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    Query(AuditQuery { cursor, limit, action, target }): Query<AuditQuery>,
) -> Result<Response, ProblemResponse> {
    let query = PageQuery { cursor, limit };
    let limit = query.limit()?;
    let action = action.map(|text| text.parse::<Action>()).transpose();
    let action = action.map_err(|fault| Problem::new(ProblemKind::OutOfBounds, fault).field("action"))?;
    let plain = |target: &str| target.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.:-".contains(&byte));
    if target.as_ref().is_some_and(|target| target.is_empty() || target.len() > TARGET_CHARS_MAX || !plain(target)) {
        let detail = "expected an identifier such as those in `targets`";
        return Err(Problem::new(ProblemKind::OutOfBounds, detail).field("target").into());
    }
    let filters = [("action", action.map(Action::as_str)), ("target", target.as_deref())];
    let others: String =
        filters.iter().filter_map(|(name, value)| Some(format!("&{name}={}", value.as_ref()?))).collect();
    let page = app
        .auth
        .read(move |accounts| {
            let before = query.cursor.as_deref().map(|cursor| accounts.open_cursor("audit", cursor)).transpose()?;
            let before = before.and_then(|key| key.try_into().ok()).map(u64::from_be_bytes);
            let limit_u32 = u32::try_from(limit).unwrap_or(u32::MAX);
            let page = accounts.audit_page(&audit::Query { before, action, target, limit: limit_u32 })?;
            let next = page.next.map(|before| accounts.cursor("audit", &before.to_be_bytes())).transpose()?;
            Ok(Page { items: page.entries, limit, next })
        })
        .await?;
    Ok(page.map(seen).respond(&others))
}

fn seen(entry: Opened) -> AuditEntry {
    use std::fmt::Write as _;
    let mut hash = String::with_capacity(2 * entry.hash.len());
    for byte in entry.hash {
        // Writing to a text can't fail.
        let _ = write!(hash, "{byte:02x}");
    }
    AuditEntry {
        number: entry.number,
        at: entry.at,
        actor: entry.actor,
        action: entry.action,
        targets: entry.targets,
        about: entry.about,
        details: entry.details,
        hash,
    }
}
