//! The server of the page: plain HTTP/1.1, one answer a connection.
//!
//! It is meant for one reader every few seconds, inside a network that the operator protects; it answers GET and HEAD of
//! `/metrics` and nothing else. A reader that sends nothing, or never reads, is given up after some seconds.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};

use crate::{families, page::Page, process};

/// How long a reader may take to ask, and to read the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// The most bytes of a request's head.
const LARGEST_HEAD: usize = 8 << 10;

/// Connections that are served at once; others wait.
const CONNECTIONS: usize = 16;

/// The pause after a connection that could not be taken, as when there are too many open files.
const PAUSE: Duration = Duration::from_millis(100);

/// What a process can say of itself at any time.
#[async_trait]
pub trait Source: Send + Sync {
    /// Writes families of its own to the page.
    async fn write(&self, page: &mut Page);
}

/// Listens for readers of the page; port 0 takes a free one.
///
/// # Errors
/// When the address is taken or not this machine's.
pub async fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Serves the page until the future is dropped.
pub async fn serve(listener: TcpListener, source: Arc<dyn Source>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        // The semaphore is never closed.
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((connection, _)) => {
                let source = Arc::clone(&source);
                tokio::spawn(async move {
                    let answer = answer(connection, source.as_ref());
                    if let Ok(Err(error)) = tokio::time::timeout(PATIENCE, answer).await {
                        tracing::debug!(%error, "a reader of the metrics went away");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a reader of the metrics is not taken");
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(mut connection: TcpStream, source: &dyn Source) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        if head.len() > LARGEST_HEAD || connection.read_buf(&mut head).await? == 0 {
            return Ok(());
        }
    }
    let line = head.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, body) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", page(source).await),
        ("GET" | "HEAD", _) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    connection.write_all(head.as_bytes()).await?;
    if method != "HEAD" {
        connection.write_all(body.as_bytes()).await?;
    }
    connection.shutdown().await
}

/// The whole page.
async fn page(source: &dyn Source) -> String {
    let mut page = Page::default();
    source.write(&mut page).await;
    families::write(&mut page);
    process::write(&mut page);
    page.text().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct One;

    #[async_trait]
    impl Source for One {
        async fn write(&self, page: &mut Page) {
            page.gauge("one", "One.", 1.0);
        }
    }

    async fn ask(address: SocketAddr, request: &str) -> String {
        let mut connection = TcpStream::connect(address).await.expect("connects");
        connection.write_all(request.as_bytes()).await.expect("written");
        let mut answer = String::new();
        connection.read_to_string(&mut answer).await.expect("read");
        answer
    }

    #[tokio::test]
    async fn the_page_is_served_and_nothing_else() {
        let listener = bind("127.0.0.1:0".parse().expect("an address")).await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(serve(listener, Arc::new(One)));
        let answer = ask(address, "GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n").await;
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
        assert!(body.starts_with("# HELP one One.\n# TYPE one gauge\none 1\n"), "{body}");
        assert!(body.contains("\ntidewaiter_fit_rounds_total "), "{body}");
        let head_only = ask(address, "HEAD /metrics HTTP/1.1\r\n\r\n").await;
        assert!(head_only.starts_with("HTTP/1.1 200") && head_only.ends_with("\r\n\r\n"));
        for (request, status) in [
            ("GET / HTTP/1.1\r\n\r\n", "404"),
            ("GET /../etc/passwd HTTP/1.1\r\n\r\n", "404"),
            ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
            ("\r\n\r\n", "405"),
        ] {
            assert!(ask(address, request).await.starts_with(&format!("HTTP/1.1 {status}")), "{request}");
        }
        let endless = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(2 * LARGEST_HEAD));
        let mut connection = TcpStream::connect(address).await.expect("connects");
        // The server may close before all is written.
        let _ = connection.write_all(endless.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer).await;
        assert!(answer.is_empty());
        server.abort();
    }
}
