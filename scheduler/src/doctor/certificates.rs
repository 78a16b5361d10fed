//! The dates of certificates, at which the doctor does not look: it says which those are, and how to look.
//!
//! An expired certificate fails the check of the store. Certificates of public clouds are renewed by their owners; those of
//! a store of one's own, which an endpoint names, are the operator's.

use tidewaiter_proto::v1::Finding;

use super::unknown;

/// The variables that name the endpoint of an S3-compatible store.
const ENDPOINTS: [&str; 2] = ["AWS_ENDPOINT_URL", "AWS_ENDPOINT"];

/// The endpoint that the environment names.
pub(super) fn endpoint() -> Option<String> {
    ENDPOINTS.iter().find_map(|name| std::env::var(name).ok()).filter(|endpoint| !endpoint.is_empty())
}

/// What is said of the certificate of an archive's store; `None` where it is nobody's task, or where there is none.
pub(super) fn certificate(scheme: &str, endpoint: Option<&str>) -> Option<Finding> {
    let rest = endpoint.filter(|_| scheme == "s3")?.strip_prefix("https://")?;
    let host = rest.split('/').next().filter(|host| !host.is_empty())?;
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let address = if has_port { host.to_owned() } else { format!("{host}:443") };
    let remedy = format!(
        "look yourself, and renew it in time: openssl s_client -connect {address} </dev/null | openssl x509 -noout -dates"
    );
    let text = "its dates are not looked at here; when it has expired, the check of the store fails";
    Some(unknown("certificate", &address, text, &remedy))
}

#[cfg(test)]
mod tests {
    use tidewaiter_proto::v1::FindingLevel;

    use super::*;

    #[test]
    fn the_certificate_of_a_store_of_ones_own_is_named_and_no_other() {
        for (scheme, endpoint, subject) in [
            ("s3", Some("https://store.customs.example"), Some("store.customs.example:443")),
            ("s3", Some("https://store:9000/path/"), Some("store:9000")),
            ("s3", Some("https://[2001:db8::1]:9000"), Some("[2001:db8::1]:9000")),
            ("s3", Some("https://[2001:db8::1]"), Some("[2001:db8::1]:443")),
            ("s3", Some("http://store:9000"), None),
            ("s3", Some("https://"), None),
            ("s3", None, None),
            ("gs", Some("https://store"), None),
            ("file", Some("https://store"), None),
        ] {
            let finding = certificate(scheme, endpoint);
            assert_eq!(
                finding.as_ref().map(|found| found.subject.as_str()),
                subject,
                "{scheme} {endpoint:?}"
            );
            let Some(finding) = finding else { continue };
            assert_eq!(finding.level(), FindingLevel::Unspecified);
            assert!(finding.remedy.contains(&format!("-connect {}", finding.subject)), "{finding:?}");
        }
    }
}
