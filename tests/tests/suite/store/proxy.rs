//! A server between a client and the S3-compatible one that does to some requests what real servers do now and then.
//!
//! It reads one request of a connection, forwards it, writes the answer and closes the connection. Start at
//! [`Proxy::next`].

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It is refused with this status and code, and does not reach the server.
    Refused(u16, &'static str),
    /// It is carried out, and the connection is closed instead of the answer.
    LostAnswer,
}

/// What becomes of the next requests of a method whose path contains a text; of all where both are empty.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    kind: Kind,
    method: &'static str,
    path: &'static str,
    times: usize,
}

impl Fault {
    /// The server asks for fewer requests, so many times.
    pub(super) fn slow_down(method: &'static str, path: &'static str, times: usize) -> Self {
        Self { kind: Kind::Refused(503, "SlowDown"), method, path, times }
    }

    /// The credentials are not valid any more, for so many requests.
    pub(super) fn expired(times: usize) -> Self {
        Self { kind: Kind::Refused(400, "ExpiredToken"), method: "", path: "", times }
    }

    /// One request is carried out, and its answer is lost.
    pub(super) fn lost_answer(method: &'static str, path: &'static str) -> Self {
        Self { kind: Kind::LostAnswer, method, path, times: 1 }
    }
}

/// The server; it ends with the test.
pub(super) struct Proxy {
    pub(super) port: u16,
    faults: Arc<Mutex<VecDeque<Fault>>>,
    serving: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Proxy {
    /// Before the server at a port.
    pub(super) async fn start(server: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let faults: Arc<Mutex<VecDeque<Fault>>> = Arc::default();
        let known = Arc::clone(&faults);
        let serving = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                // A client that hangs up is no matter of the test.
                tokio::spawn(async move { drop(serve(client, server, &known).await) });
            }
        });
        Self { port, faults, serving }
    }

    /// Says what becomes of the next requests, after what was said before.
    pub(super) fn next(&self, faults: impl IntoIterator<Item = Fault>) {
        self.faults.lock().expect("not poisoned").extend(faults);
    }

    /// Whether everything that was said has taken place.
    pub(super) fn is_spent(&self) -> bool {
        self.faults.lock().expect("not poisoned").is_empty()
    }
}

/// The answer to a request without credentials.
pub(super) async fn get(server: u16, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1:{server}\r\nconnection: close\r\n\r\n");
    let answer = forward(server, request.as_bytes()).await.expect("it answers");
    String::from_utf8_lossy(&answer).into_owned()
}

async fn serve(mut client: TcpStream, server: u16, faults: &Mutex<VecDeque<Fault>>) -> std::io::Result<()> {
    let Some((head, body)) = read_request(&mut client).await? else { return Ok(()) };
    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let fault = take(&mut faults.lock().expect("not poisoned"), method, path);
    if let Some(Kind::Refused(status, code)) = fault {
        let text =
            format!("<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{code}</Message></Error>");
        let answer = format!(
            "HTTP/1.1 {status} {code}\r\ncontent-type: application/xml\r\ncontent-length: {}\r\n\
             connection: close\r\n\r\n{text}",
            text.len()
        );
        return client.write_all(answer.as_bytes()).await;
    }
    let (first, rest) = head.split_once("\r\n").unwrap_or((&head, ""));
    let rest: String = rest
        .split("\r\n")
        .filter(|line| !line.is_empty() && !line.to_ascii_lowercase().starts_with("connection:"))
        .map(|line| format!("{line}\r\n"))
        .collect();
    let request = [format!("{first}\r\n{rest}connection: close\r\n\r\n").into_bytes(), body].concat();
    let answer = forward(server, &request).await?;
    if fault.is_none() {
        client.write_all(&answer).await?;
        client.shutdown().await?;
    }
    Ok(())
}

/// The fault of a request, if there is one for it.
fn take(faults: &mut VecDeque<Fault>, method: &str, path: &str) -> Option<Kind> {
    let matches =
        |fault: &Fault| (fault.method.is_empty() || fault.method == method) && path.contains(fault.path);
    let place = faults.iter().position(matches)?;
    let fault = &mut faults[place];
    fault.times -= 1;
    let kind = fault.kind;
    if fault.times == 0 {
        faults.remove(place);
    }
    Some(kind)
}

/// A request's head, without the empty line after it, and its body; `None` where the client said nothing.
async fn read_request(client: &mut TcpStream) -> std::io::Result<Option<(String, Vec<u8>)>> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if client.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = head.split("\r\n").find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    let mut body = bytes.split_off(end + 4);
    while body.len() < length.unwrap_or(0) {
        if client.read_buf(&mut body).await? == 0 {
            break;
        }
    }
    Ok(Some((head, body)))
}

async fn forward(server: u16, request: &[u8]) -> std::io::Result<Vec<u8>> {
    let mut connection = TcpStream::connect(("127.0.0.1", server)).await?;
    connection.write_all(request).await?;
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).await?;
    Ok(answer)
}
