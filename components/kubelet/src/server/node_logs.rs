//! `/logs/`: the files below /var/log, for whoever may read the node's logs.

use std::path::{Path as FilePath, PathBuf};

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::{Html, IntoResponse, Response};
use http::{StatusCode, header};
use tokio_util::io::ReaderStream;

use super::{ServerState, refuse};

const ROOT: &str = "/var/log";

pub(super) async fn root(state: State<ServerState>) -> Response {
    serve(state, Path(String::new())).await
}

pub(super) async fn serve(State(state): State<ServerState>, Path(path): Path<String>) -> Response {
    if !state.system_logs {
        return refuse(
            StatusCode::METHOD_NOT_ALLOWED,
            "logs endpoint is disabled: enableSystemLogHandler is false",
        );
    }
    match answer(FilePath::new(ROOT), &path).await {
        Ok(response) => response,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            refuse(StatusCode::NOT_FOUND, "404 page not found")
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            refuse(StatusCode::FORBIDDEN, "403 Forbidden")
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, error),
    }
}

/// A folder's list or a file's content.
async fn answer(root: &FilePath, path: &str) -> std::io::Result<Response> {
    let place = resolve(root, path)?;
    let file = tokio::fs::File::open(&place).await?;
    let about = file.metadata().await?;
    if about.is_dir() {
        if !path.is_empty() && !path.ends_with('/') {
            let name = path.rsplit('/').next().unwrap_or_default();
            let location = [(header::LOCATION, format!("{name}/"))];
            return Ok((StatusCode::MOVED_PERMANENTLY, location).into_response());
        }
        return Ok(Html(listing(&place)?).into_response());
    }
    if !about.is_file() {
        return Err(std::io::ErrorKind::NotFound.into());
    }
    // What is written meanwhile is left for the next request.
    let length = about.len();
    let stream = ReaderStream::new(tokio::io::AsyncReadExt::take(file, length));
    Ok((
        [
            (header::CONTENT_TYPE, "text/plain; charset=utf-8".to_owned()),
            (header::CONTENT_LENGTH, length.to_string()),
        ],
        Body::from_stream(stream),
    )
        .into_response())
}

/// The file that a path means. `..` leads nowhere; links do, as they do upstream: the logs of pods are links.
fn resolve(root: &FilePath, path: &str) -> std::io::Result<PathBuf> {
    let mut place = root.to_owned();
    for part in path.split('/').filter(|part| !part.is_empty()) {
        if part == ".." || part.contains('\0') {
            return Err(std::io::ErrorKind::NotFound.into());
        }
        place.push(part);
    }
    Ok(place)
}

fn listing(folder: &FilePath) -> std::io::Result<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let slash = if entry.path().is_dir() { "/" } else { "" };
        names.push(format!("{}{slash}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    let mut page =
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n".to_owned();
    for name in names {
        let link = percent_encoding::utf8_percent_encode(&name, LINK);
        let text = name
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&#34;");
        page.push_str(&format!("<a href=\"{link}\">{text}</a>\n"));
    }
    page.push_str("</pre>\n");
    Ok(page)
}

/// What a name must not have in a relative link.
const LINK: &percent_encoding::AsciiSet = &percent_encoding::CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b':')
    .add(b'\'');

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn folders_are_listed_and_files_are_sent() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::create_dir(directory.path().join("pods")).unwrap();
        std::fs::write(directory.path().join("a<b.log"), "line\n").unwrap();
        let ask = |path: &'static str| {
            let root = directory.path().to_owned();
            async move {
                match answer(&root, path).await {
                    Ok(response) => {
                        let status = response.status().as_u16();
                        let body = response.into_body().collect().await.unwrap().to_bytes();
                        (status, String::from_utf8_lossy(&body).into_owned())
                    }
                    Err(error) => (0, error.kind().to_string()),
                }
            }
        };
        let (status, page) = ask("").await;
        assert_eq!(status, 200);
        assert!(page.contains("<a href=\"a%3Cb.log\">a&lt;b.log</a>\n"), "{page}");
        assert!(page.contains("<a href=\"pods/\">pods/</a>\n"), "{page}");
        assert_eq!(ask("a<b.log").await, (200, "line\n".to_owned()));
        assert_eq!(ask("pods").await.0, 301);
        assert_eq!(ask("pods/").await.0, 200);
        for path in ["none", "..", "pods/../a<b.log", "../../etc/passwd"] {
            assert_eq!(ask(path).await, (0, "entity not found".to_owned()), "{path}");
        }
    }
}
