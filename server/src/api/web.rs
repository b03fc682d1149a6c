//! The web client: the files that the build put into this binary (`build.rs`), served as they are.
//!
//! `GET /` is its page, asked for anew each time. Everything else lies under `/app/VERSION/`, where VERSION is made of all
//! contents: browsers keep it for good, and a page never gets parts of another version. The service worker alone has a name that
//! stays, `/service-worker.js`: by it browsers find a new version. These paths are no part of the REST interface, need no token and are
//! not described there.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use holler_core::wire::problem::{Problem, ProblemKind};

use super::ProblemResponse;

/// A file of the web client.
struct File {
    /// Its path within the client.
    name: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    brotli: &'static [u8],
}

// VERSION and FILES.
include!(concat!(env!("OUT_DIR"), "/web.rs"));

/// The service worker's name in the build.
const SERVICE: &str = "service.js";

/// What the page and its workers may do: run what this server brings and nothing else, WebAssembly included; talk to this server
/// only; be framed by nobody. Text that somebody wrote could not run even if it were taken for markup.
const POLICY: &str = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; style-src 'self'; \
                      img-src 'self'; connect-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Clocks of 5 µs instead of 100 µs need isolation from other sites.
const ISOLATION: [(&str, &str); 3] = [
    ("cross-origin-embedder-policy", "require-corp"),
    ("content-security-policy", POLICY),
    ("permissions-policy", "microphone=(self), camera=(), geolocation=(), payment=(), usb=()"),
];

/// The page, where this server has one.
pub(super) fn page(request: &HeaderMap) -> Option<Response> {
    Some(page_of(VERSION?, find("index.html")?, request))
}

fn page_of(version: &str, file: &'static File, request: &HeaderMap) -> Response {
    let tag = format!("\"{version}\"");
    let known = request.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    // The headers of a 304 replace those that the browser kept (RFC 9111 section 3.2): it needs the same policy.
    let mut response = if known { isolated(StatusCode::NOT_MODIFIED.into_response()) } else { answer(file, request) };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    if let Ok(tag) = tag.parse() {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// `GET /service-worker.js`: asked for anew each time, so that a new version is found.
pub(super) async fn service(request: HeaderMap) -> Result<Response, ProblemResponse> {
    let found = VERSION.zip(find(SERVICE));
    let (version, file) = found.ok_or_else(|| Problem::new(ProblemKind::NotFound, "this server has no web client"))?;
    Ok(page_of(version, file, &request))
}

/// `GET /app/{version}/{file}`: a file of the client.
pub(super) async fn file(
    Path((version, name)): Path<(String, String)>,
    request: HeaderMap,
) -> Result<Response, ProblemResponse> {
    // A service worker may look after the addresses beside its own and below: under another name it is none.
    let file = find(&name).filter(|_| VERSION == Some(&version) && name != SERVICE);
    let file = file.ok_or_else(|| {
        Problem::new(ProblemKind::NotFound, "this server has another version of the web client: reload the page")
    })?;
    let mut response = answer(file, &request);
    let kept = HeaderValue::from_static("public, max-age=31536000, immutable");
    response.headers_mut().insert(header::CACHE_CONTROL, kept);
    Ok(response)
}

fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn answer(file: &'static File, request: &HeaderMap) -> Response {
    let kind = [(header::CONTENT_TYPE, file.kind), (header::VARY, "accept-encoding")];
    isolated(if takes_brotli(request) {
        (kind, [(header::CONTENT_ENCODING, "br")], file.brotli).into_response()
    } else {
        (kind, file.plain).into_response()
    })
}

fn isolated(mut response: Response) -> Response {
    for (name, value) in ISOLATION {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether the client takes brotli (RFC 9110 section 12.5.3); a weight of zero means no.
fn takes_brotli(request: &HeaderMap) -> bool {
    let accepted = request.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepted.split(',').any(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = parameter.trim().strip_prefix("q=").is_some_and(|weight| weight.parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case("br") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepting(codings: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT_ENCODING, codings.parse().unwrap())])
    }

    #[test]
    fn brotli_goes_only_to_who_takes_it() {
        for codings in ["br", "gzip, deflate, br, zstd", "gzip;q=0.5, BR;q=0.1"] {
            assert!(takes_brotli(&accepting(codings)), "{codings}");
        }
        for codings in ["", "gzip", "brotli", "br;q=0", "br; q=0.0", "*"] {
            assert!(!takes_brotli(&accepting(codings)), "{codings}");
        }
        assert!(!takes_brotli(&HeaderMap::new()));
    }

    #[test]
    fn a_page_that_has_not_changed_keeps_its_policy() {
        static FILE: File = File { name: "index.html", kind: "text/html", plain: b"page", brotli: b"packed" };
        let known = HeaderMap::from_iter([(header::IF_NONE_MATCH, "\"7\"".parse().unwrap())]);
        for (version, status) in [("7", StatusCode::NOT_MODIFIED), ("8", StatusCode::OK)] {
            let response = page_of(version, &FILE, &known);
            assert_eq!(response.status(), status);
            for (name, value) in ISOLATION {
                assert_eq!(response.headers()[name], value, "{status}");
            }
        }
    }

    /// With the client embedded or without, as this build is.
    #[tokio::test]
    async fn the_client_comes_whole_under_its_version_and_under_no_other() {
        for each in FILES {
            assert!(!each.plain.is_empty() && !each.brotli.is_empty(), "{}", each.name);
        }
        assert_eq!(VERSION.is_some(), find("index.html").is_some());
        let path = |version: &str| Path((version.to_owned(), "holler.js".to_owned()));
        assert!(file(path("0"), accepting("br")).await.is_err());
        if let Some(version) = VERSION {
            let response = file(path(version), accepting("br")).await.map_err(|_| "refused").unwrap();
            assert_eq!(response.headers()[header::CONTENT_ENCODING], "br");
            assert!(response.headers()[header::CACHE_CONTROL].to_str().unwrap().contains("immutable"));
            let service = service(HeaderMap::new()).await.map_err(|_| "refused").unwrap();
            assert_eq!(service.headers()[header::CACHE_CONTROL], "no-cache");
            assert!(file(Path((version.to_owned(), SERVICE.to_owned())), HeaderMap::new()).await.is_err());
            let keeps = std::str::from_utf8(find(SERVICE).unwrap().plain).unwrap();
            assert!(keeps.contains(&format!("const VERSION = \"{version}\"")));
            for each in FILES.iter().filter(|each| each.name != SERVICE && each.name != "index.html") {
                // The codec for browsers that have none is kept by those that load it.
                let is_kept = keeps.contains(&format!("\"/app/{version}/{}\"", each.name));
                assert_eq!(is_kept, !each.name.starts_with("opus"), "{}", each.name);
            }
            let page = page(&HeaderMap::new()).unwrap();
            let policy = page.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(!policy.contains("unsafe-inline") && !policy.contains("'unsafe-eval'"));
            assert_eq!(page.headers()[header::CACHE_CONTROL], "no-cache");
        }
    }
}
