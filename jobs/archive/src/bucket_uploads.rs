//! Uploads in parts that somebody began in a bucket of S3 and neither finished nor gave up: their list, and their end.
//!
//! The library of object stores can end such an upload, but not list them; so the one request that lists is made here,
//! with the library's signature and client. Source: Amazon S3 API reference, `ListMultipartUploads`. What is absent:
//! other stores; theirs end by a rule of the bucket. Start at [`BucketUploads::new`].

use std::time::Duration;

use chrono::DateTime;
use futures::TryStreamExt as _;
use object_store::{
    ClientOptions,
    aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey, AwsAuthorizer},
    client::{
        ClientConfigKey, HttpClient, HttpConnector as _, HttpRequest, HttpRequestBody, ReqwestConnector,
    },
    multipart::MultipartStore as _,
    path::Path,
    signer::Signer as _,
};
use tidewaiter_core::{Error, ErrorKind, Result, ResultExt as _};
use url::Url;

/// The region where none is named.
const REGION: &str = "us-east-1";

/// How long a signature holds from which only the bucket's address is taken.
const MOMENT: Duration = Duration::from_secs(1);

/// The unfinished uploads of a bucket.
#[derive(Debug)]
pub struct BucketUploads {
    bucket: AmazonS3,
    region: String,
    client: HttpClient,
}

/// An upload that is neither finished nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BucketUpload {
    /// The object that it would have become.
    pub path: Path,
    /// Its name in the bucket.
    pub id: String,
    /// When it began: milliseconds since 1970-01-01 UTC.
    pub begun_ms: i64,
}

impl BucketUploads {
    /// Those of the bucket that a builder names.
    ///
    /// # Errors
    /// [`ErrorKind::Input`] when the builder lacks something.
    pub fn new(builder: AmazonS3Builder) -> Result<Self> {
        let setting = |key: AmazonS3ConfigKey| builder.get_config_value(&key);
        let region = setting(AmazonS3ConfigKey::Region).unwrap_or_else(|| REGION.to_owned());
        let allow_http = setting(AmazonS3ConfigKey::Client(ClientConfigKey::AllowHttp));
        let options = ClientOptions::new().with_allow_http(allow_http.as_deref() == Some("true"));
        let wrong = |error: object_store::Error| Error::input(format!("open a bucket: {error}"));
        let client = ReqwestConnector::default().connect(&options).map_err(wrong)?;
        Ok(Self { bucket: builder.build().map_err(wrong)?, region, client })
    }

    /// The uploads of objects whose paths begin with a prefix.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn list(&self, prefix: &Path) -> Result<Vec<BucketUpload>> {
        let (mut uploads, mut after) = (Vec::new(), None);
        loop {
            let page = self.page(prefix, after.as_ref()).await?;
            let found = page.split("<Upload>").skip(1).filter_map(upload);
            uploads.extend(found);
            if element(&page, "IsTruncated") != Some("true") {
                return Ok(uploads);
            }
            let markers = element(&page, "NextKeyMarker").zip(element(&page, "NextUploadIdMarker"));
            let Some((key, id)) = markers else { return Ok(uploads) };
            after = Some((key.to_owned(), id.to_owned()));
        }
    }

    /// Ends an upload and deletes its parts.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn abort(&self, path: &Path, id: &str) -> Result<()> {
        match self.bucket.abort_multipart(path, &id.to_owned()).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error).context(|| format!("end the upload of {path}")),
        }
    }

    /// One page of the list, after the key and the id that the last one ended with.
    async fn page(&self, prefix: &Path, after: Option<&(String, String)>) -> Result<String> {
        let doing = || format!("list the unfinished uploads of {prefix}");
        let mut url = self.address().await.context(doing)?;
        url.query_pairs_mut().clear().append_pair("prefix", prefix.as_ref()).append_pair("uploads", "");
        if let Some((key, id)) = after {
            url.query_pairs_mut().append_pair("key-marker", key).append_pair("upload-id-marker", id);
        }
        let credential = self.bucket.credentials().get_credential().await.context(doing)?;
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.uri_mut() =
            url.as_str().parse().map_err(|_| Error::internal(format!("{url} is no address")))?;
        AwsAuthorizer::new(&credential, "s3", &self.region).authorize(&mut request, None);
        let failed = |error: object_store::client::HttpError| {
            Error::unavailable("the store does not answer").with_source(error)
        };
        let answer = self.client.execute(request).await.map_err(failed).context(doing)?;
        let (head, body) = answer.into_parts();
        let pieces: Vec<_> = body.bytes_stream().try_collect().await.map_err(failed).context(doing)?;
        let text = String::from_utf8_lossy(&pieces.concat()).into_owned();
        match head.status.as_u16() {
            200 => Ok(text),
            401 | 403 => Err(Error::new(ErrorKind::Denied, text)).context(doing),
            _ => Err(Error::unavailable(text)).context(doing),
        }
    }

    /// The bucket's address, in whichever style the builder says.
    async fn address(&self) -> Result<Url> {
        let object = Path::from("x");
        let mut signed = self.bucket.signed_url(Default::default(), &object, MOMENT).await?;
        signed.set_query(None);
        let folder = signed.path().strip_suffix("/x").unwrap_or_default().to_owned();
        signed.set_path(&folder);
        Ok(signed)
    }
}

/// An upload of the list, from after its opening tag on.
fn upload(text: &str) -> Option<BucketUpload> {
    // Keys of archives have no characters that XML writes in another way; others are not ours.
    let key = element(text, "Key").filter(|key| !key.contains('&'))?;
    Some(BucketUpload {
        path: Path::parse(key).ok()?,
        id: element(text, "UploadId")?.to_owned(),
        begun_ms: DateTime::parse_from_rfc3339(element(text, "Initiated")?).ok()?.timestamp_millis(),
    })
}

/// The text of the first element of a name.
fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    rest.split_once(&format!("</{name}>")).map(|(text, _)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uploads_are_read_from_a_page() {
        let page = "<ListMultipartUploadsResult><IsTruncated>false</IsTruncated><Upload><Key>a/b.parquet</Key>\
            <UploadId>id-1</UploadId><Initiator><ID>x</ID></Initiator><Initiated>2026-01-02T03:04:05.000Z</Initiated>\
            </Upload><Upload><Key>a&amp;b</Key><UploadId>2</UploadId><Initiated>x</Initiated></Upload></L>";
        let uploads: Vec<BucketUpload> = page.split("<Upload>").skip(1).filter_map(upload).collect();
        let wanted = BucketUpload {
            path: Path::from("a/b.parquet"),
            id: "id-1".to_owned(),
            begun_ms: 1_767_323_045_000,
        };
        assert_eq!(uploads, [wanted]);
        assert_eq!(element(page, "IsTruncated"), Some("false"));
    }
}
