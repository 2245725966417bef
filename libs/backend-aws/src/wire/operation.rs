//! What a request asks for.

use std::fmt;

use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// Such as `SQS.ReceiveMessage`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Operation {
    pub service: &'static str,
    pub name: String,
}

/// The first part of `X-Amz-Target`, without its version, and the service.
const TARGETS: &[(&str, &str)] = &[
    ("DynamoDB_", "DynamoDB"),
    ("AmazonSQS", "SQS"),
    ("TrentService", "KMS"),
    ("AWSEvents", "EventBridge"),
    ("secretsmanager", "SecretsManager"),
];
/// The same in the path of a request in CBOR: `/service/TARGET/operation/NAME`.
const CBOR: &str = "/service/GraniteServiceVersion20100801/operation/";
/// In the body of a request in form encoding, which SNS alone still speaks here.
const FORM: &str = "Action=";

impl Operation {
    pub(super) fn of(request: &HttpRequest) -> Self {
        targeted(request)
            .or_else(|| in_cbor(request))
            .or_else(|| in_form(request))
            .unwrap_or_else(|| rest(request))
    }

    fn new(service: &'static str, name: &str) -> Self {
        let name = name.to_owned();
        Self { service, name }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.service, self.name)
    }
}

fn targeted(request: &HttpRequest) -> Option<Operation> {
    let (target, name) = request.headers().get("x-amz-target")?.rsplit_once('.')?;
    let known = TARGETS.iter().find(|(start, _)| target.starts_with(start));
    Some(Operation::new(known.map_or("other", |(_, s)| s), name))
}

fn in_cbor(request: &HttpRequest) -> Option<Operation> {
    let (_, name) = request.uri().split_once(CBOR)?;
    Some(Operation::new("CloudWatch", name))
}

fn in_form(request: &HttpRequest) -> Option<Operation> {
    let body = request.body().bytes()?.strip_prefix(FORM.as_bytes())?;
    let name = body.split(|byte| *byte == b'&').next()?;
    Some(Operation::new("SNS", str::from_utf8(name).ok()?))
}

/// S3 has no name of an operation in its requests: its method, and what of the bucket it is about.
fn rest(request: &HttpRequest) -> Operation {
    let (path, query) = match request.uri().split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.uri(), ""),
    };
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    let about = match path.trim_end_matches('/').contains('/') {
        true => "Object",
        false if query.contains("lifecycle") => "BucketLifecycle",
        false if query.contains("list-type") => "Objects",
        false => "Bucket",
    };
    let method = request.method();
    let verb = match method {
        "GET" if about == "Objects" => "List",
        "GET" => "Get",
        "PUT" => "Put",
        "HEAD" => "Head",
        "DELETE" | "POST" => "Delete",
        other => other,
    };
    Operation::new("S3", &format!("{verb}{about}"))
}

#[cfg(test)]
mod tests {
    use aws_smithy_types::body::SdkBody;

    use super::*;

    fn request(method: &str, uri: &str, target: Option<&'static str>, body: &str) -> String {
        let mut request = HttpRequest::new(SdkBody::from(body));
        request.set_method(method).unwrap();
        request.set_uri(uri).unwrap();
        if let Some(target) = target {
            request.headers_mut().insert("x-amz-target", target);
        }
        Operation::of(&request).to_string()
    }

    #[test]
    fn each_protocol_names_its_operation_somewhere() {
        let post = |target| request("POST", "http://h/", Some(target), "{}");
        assert_eq!(post("DynamoDB_20120810.GetItem"), "DynamoDB.GetItem");
        assert_eq!(post("AmazonSQS.ReceiveMessage"), "SQS.ReceiveMessage");
        assert_eq!(post("TrentService.Encrypt"), "KMS.Encrypt");
        assert_eq!(post("AWSEvents.PutEvents"), "EventBridge.PutEvents");
        let get = "secretsmanager.GetSecretValue";
        assert_eq!(post(get), "SecretsManager.GetSecretValue");
        let form = "Action=PublishBatch&Version=2010-03-31";
        let sns = request("POST", "http://h/", None, form);
        assert_eq!(sns, "SNS.PublishBatch");
        let uri = "http://h/service/GraniteServiceVersion20100801/operation/PutMetricData";
        assert_eq!(request("POST", uri, None, ""), "CloudWatch.PutMetricData");
        let s3 = |method, path| request(method, &format!("http://h/{path}"), None, "");
        assert_eq!(
            s3("PUT", "bucket/tenant/name?x-id=PutObject"),
            "S3.PutObject"
        );
        assert_eq!(s3("GET", "bucket/tenant/name"), "S3.GetObject");
        assert_eq!(s3("PUT", "bucket/"), "S3.PutBucket");
        assert_eq!(s3("PUT", "bucket/?lifecycle"), "S3.PutBucketLifecycle");
        assert_eq!(s3("GET", "bucket/?list-type=2"), "S3.ListObjects");
        assert_eq!(s3("HEAD", "bucket/"), "S3.HeadBucket");
    }
}
