//! The requests to Kubernetes that pools need: list, make and delete pods, and read the scheduler's Deployment.
//!
//! A refusal says what can be done about it ([`Refusal`]). The token is read anew for every request, because Kubernetes
//! replaces it while a pod runs. Source of the protocol: the Kubernetes API reference, core/v1 and meta/v1.

use std::{env, fmt, path::PathBuf, time::Duration};

use reqwest::{Certificate, Method, StatusCode, header};
use serde_json::Value;
use tidewaiter_core::{Error, Result, ResultExt};
use tidewaiter_metrics::families::POD_REQUESTS;
use url::Url;

use crate::settings::{Owner, RELEASE, Settings};

/// Where a pod finds its token and the API's authority.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Pods of one page of a list.
const PAGE: &str = "500";

/// Why Kubernetes did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// There is such a pod already, or somebody else changed it (409).
    Conflict,
    /// There is none of that name (404), or what is listed is too old (410).
    Gone,
    /// A quota of the namespace is used up (403).
    Quota(String),
    /// The account may not (401, 403).
    Denied(String),
    /// The pod is not what Kubernetes takes (400, 422).
    Invalid(String),
    /// Too many requests, or it is not there for a moment (429, 5xx, no answer); ask again after so long, if it says so.
    Later(String, Option<Duration>),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("it is there already"),
            Self::Gone => f.write_str("it is not there"),
            Self::Quota(message)
            | Self::Denied(message)
            | Self::Invalid(message)
            | Self::Later(message, _) => f.write_str(message),
        }
    }
}

/// A client of the API for the pods of one release.
#[derive(Debug)]
pub struct Client {
    http: reqwest::Client,
    /// The namespace's URL, in core/v1.
    namespace: Url,
    deployments: Url,
    release: String,
    token: Option<PathBuf>,
}

impl Client {
    /// A client for the API that the settings name, or the one that this pod runs in.
    ///
    /// # Errors
    /// [`tidewaiter_core::ErrorKind::Input`] when neither is there.
    pub fn new(settings: &Settings) -> Result<Self> {
        let mut builder = reqwest::Client::builder().timeout(TIMEOUT);
        let (api, token) = match &settings.api {
            Some(api) => (api.clone(), None),
            None => {
                let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
                let (host, port) = (variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
                let (Some(host), Some(port)) = (host, port) else {
                    return Err(Error::input(
                        "pools on demand need Kubernetes, and this process is in no pod of it (KUBERNETES_SERVICE_HOST \
                         is not set): leave --pods out, or name the API in its file",
                    ));
                };
                let authority = format!("{ACCOUNT}/ca.crt");
                let authority = std::fs::read(&authority).context(|| format!("read {authority}"))?;
                let authority = Certificate::from_pem(&authority).map_err(|error| {
                    Error::input("read the API's certificate authority").with_source(error)
                })?;
                builder = builder.add_root_certificate(authority);
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                (format!("https://{host}:{port}"), Some(PathBuf::from(format!("{ACCOUNT}/token"))))
            }
        };
        let url = |path: &str| {
            let url = format!("{}{path}/namespaces/{}/", api.trim_end_matches('/'), settings.namespace);
            Url::parse(&url)
                .map_err(|error| Error::input(format!("the API {api} is no URL")).with_source(error))
        };
        let http = builder
            .build()
            .map_err(|error| Error::internal("make a client of the API").with_source(error))?;
        let (namespace, deployments) = (url("/api/v1")?, url("/apis/apps/v1")?);
        Ok(Self { http, namespace, deployments, release: settings.release.clone(), token })
    }

    /// The pods of the release's pools.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn list(&self) -> Result<Vec<Value>, Refusal> {
        let (mut pods, mut after) = (Vec::new(), String::new());
        loop {
            let mut url = join(&self.namespace, "pods")?;
            url.query_pairs_mut()
                .append_pair("labelSelector", &format!("{RELEASE}={}", self.release))
                .append_pair("limit", PAGE);
            if !after.is_empty() {
                url.query_pairs_mut().append_pair("continue", &after);
            }
            let mut page = self.ask("list", Method::GET, url, None).await?;
            if let Some(items) = page["items"].as_array_mut() {
                pods.append(items);
            }
            after = page["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
            if after.is_empty() {
                return Ok(pods);
            }
        }
    }

    /// Makes a pod.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn create(&self, pod: &Value) -> Result<(), Refusal> {
        self.ask("create", Method::POST, join(&self.namespace, "pods")?, Some(pod)).await.map(drop)
    }

    /// Deletes a pod; one that has `ended` at once, another one after it has finished its tasks.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn delete(&self, name: &str, ended: bool) -> Result<(), Refusal> {
        let mut url = join(&self.namespace, &format!("pods/{name}"))?;
        if ended {
            url.query_pairs_mut().append_pair("gracePeriodSeconds", "0");
        }
        self.ask("delete", Method::DELETE, url, None).await.map(drop)
    }

    /// The Deployment of a name, as the owner of pods.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn owner(&self, name: &str) -> Result<Owner, Refusal> {
        let url = join(&self.deployments, &format!("deployments/{name}"))?;
        let found = self.ask("owner", Method::GET, url, None).await?;
        let uid = found["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
        Ok(Owner { name: name.to_owned(), uid })
    }

    async fn ask(
        &self,
        operation: &'static str,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<Value, Refusal> {
        let answer = self.answer(method, url, body).await;
        let status = answer.as_ref().map_or(0, |(status, ..)| status.as_u16());
        POD_REQUESTS.add(&[operation, &status.to_string()], 1.0);
        let (status, after, text) = answer?;
        let answer: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            return Ok(answer);
        }
        let said = answer["message"].as_str().unwrap_or(text.trim());
        Err(refusal(status, after, said))
    }

    async fn answer(
        &self,
        method: Method,
        url: Url,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Option<Duration>, String), Refusal> {
        let later = |error: reqwest::Error| {
            // Its own text leaves out what went wrong below it.
            Refusal::Later(format!("Kubernetes does not answer: {}", chain(&error)), None)
        };
        let mut request = self.http.request(method, url).header(header::ACCEPT, "application/json");
        if let Some(path) = &self.token {
            let token = tokio::fs::read_to_string(path).await;
            let token =
                token.map_err(|error| Refusal::Denied(format!("read {}: {error}", path.display())))?;
            request = request.bearer_auth(token.trim());
        }
        if let Some(body) = body {
            request = request.header(header::CONTENT_TYPE, "application/json").body(body.to_string());
        }
        let answer = request.send().await.map_err(later)?;
        let (status, after) = (answer.status(), answer.headers().get(header::RETRY_AFTER).cloned());
        let after = after.and_then(|after| Some(Duration::from_secs(after.to_str().ok()?.parse().ok()?)));
        Ok((status, after, answer.text().await.map_err(later)?))
    }
}

fn join(base: &Url, path: &str) -> Result<Url, Refusal> {
    base.join(path).map_err(|error| Refusal::Invalid(format!("{path}: {error}")))
}

/// An error with those below it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

fn refusal(status: StatusCode, after: Option<Duration>, said: &str) -> Refusal {
    let message = format!("Kubernetes answers {}: {said}", status.as_u16());
    match status.as_u16() {
        404 | 410 => Refusal::Gone,
        409 => Refusal::Conflict,
        403 if said.contains("exceeded quota") => Refusal::Quota(message),
        401 | 403 => Refusal::Denied(message),
        408 | 429 | 500.. => Refusal::Later(message, after),
        _ => Refusal::Invalid(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_can_be_done() {
        let of =
            |status: u16, said: &str| refusal(StatusCode::from_u16(status).expect("a status"), None, said);
        assert_eq!(of(409, "already exists"), Refusal::Conflict);
        assert_eq!((of(404, ""), of(410, "too old")), (Refusal::Gone, Refusal::Gone));
        let quota = "pods \"a\" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=8, limited: pods=8";
        assert!(matches!(of(403, quota), Refusal::Quota(message) if message.contains("limited: pods=8")));
        assert!(matches!(of(403, "cannot create resource \"pods\""), Refusal::Denied(_)));
        assert!(matches!(of(422, "spec.containers: Required value"), Refusal::Invalid(_)));
        for status in [429, 500, 503] {
            assert!(matches!(of(status, "later"), Refusal::Later(..)), "{status}");
        }
    }
}
