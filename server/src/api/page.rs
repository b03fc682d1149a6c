//! `GET /`: what somebody sees who opens the server in a browser: the web client, or, in a server that was built without it, a
//! page that says so.

use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use super::web;

const PAGE: &str = include_str!("page.html");
/// Everything is in the page itself: nothing is loaded, nothing runs.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'";

/// What somebody sees who opens a link in a browser, in a server without the web client. It reads nothing of the link: it has no
/// script.
const LINK_PAGE: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width, initial-scale=1'><title>Holler</title>\
    <style>body{font:17px/1.55 system-ui,sans-serif;max-width:40rem;margin:12vh auto;padding:0 1.25rem;color-scheme:light dark}\
    code{font-family:ui-monospace,monospace}</style><h1>{title}</h1>\
    <p>Copy the whole address of this page, with what stands behind <code>#</code>, and use it in Holler:</p>\
    <p><code>holler {command} 'LINK'</code></p><p>It is as good as a key: show it to nobody else.</p></html>";

/// The web client reads the link itself: what stands behind `#` never comes here.
fn link_page(request: &HeaderMap, title: &str, command: &str) -> Response {
    web::page(request).unwrap_or_else(|| link_page_without_client(title, command))
}

fn link_page_without_client(title: &str, command: &str) -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, LINK_PAGE.replace("{title}", title).replace("{command}", command)).into_response()
}

/// The page that the link of an invite leads to.
#[utoipa::path(
    get, path = "/invite", tag = "server", operation_id = "invite_page",
    responses((status = 200, description = "What to do with the link", body = String, content_type = "text/html")),
)]
pub async fn invite(request: HeaderMap) -> Response {
    link_page(&request, "You are invited", "join")
}

/// The page that a link for a new password leads to.
#[utoipa::path(
    get, path = "/reset", tag = "server", operation_id = "reset_page",
    responses((status = 200, description = "What to do with the link", body = String, content_type = "text/html")),
)]
pub async fn reset(request: HeaderMap) -> Response {
    link_page(&request, "Set a new password", "reset")
}

/// A page for people.
#[utoipa::path(
    get, path = "/", tag = "server", operation_id = "page",
    responses((status = 200, description = "The web client; in a server built without it, that the server runs", body = String, content_type = "text/html")),
)]
pub async fn handler(request: HeaderMap) -> Response {
    web::page(&request).unwrap_or_else(without_client)
}

fn without_client() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE.replace("{version}", env!("CARGO_PKG_VERSION"))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_link_leads_to_the_web_client_where_there_is_one() {
        let none = HeaderMap::new();
        let policy = |response: &Response| response.headers()[header::CONTENT_SECURITY_POLICY].clone();
        let page = handler(none.clone()).await;
        for link in [invite(none.clone()).await, reset(none.clone()).await] {
            match web::page(&none) {
                Some(client) => assert_eq!(policy(&link), policy(&client)),
                None => assert_eq!(policy(&link), policy(&page)),
            }
        }
        let text = axum::body::to_bytes(link_page_without_client("Join", "join").into_body(), 1 << 20).await.unwrap();
        assert!(std::str::from_utf8(&text).unwrap().contains("holler join 'LINK'"));
    }

    #[tokio::test]
    async fn a_server_without_the_web_client_says_what_it_is() {
        let page = without_client();
        assert!(page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().contains("default-src 'none'"));
        let text = axum::body::to_bytes(page.into_body(), 1 << 20).await.unwrap();
        let text = std::str::from_utf8(&text).unwrap();
        assert!(text.contains("/api/v1/openapi.json") && text.contains(env!("CARGO_PKG_VERSION")));
        assert!(!text.contains("{version}"));
        assert!(!text.contains("http://www.w3.org/1999") && !text.contains("src="), "self-contained");
    }
}
