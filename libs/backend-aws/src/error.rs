//! What AWS says, in the ports' words.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use waybill_messaging::Error;

/// Refusals of whatever is asked: a person has to look at permissions, credentials or names.
const REFUSED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "InvalidClientTokenId",
    "KMSInvalidStateException",
    "NoSuchBucket",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
];

/// Refusals of this request, which no waiting mends.
const BROKEN: &[&str] = &[
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "InvalidRequestException",
    "NotFoundException",
    "ValidationError",
    "ValidationException",
];

/// Sorted by what the caller can do: wait, call a person, or give it up.
pub(crate) fn port_error<E, R>(what: &'static str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    let is_one_of = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
    if is_one_of(REFUSED) {
        Error::refused(what, error)
    } else if is_one_of(BROKEN) || matches!(error, SdkError::ConstructionFailure(_)) {
        Error::broken(what, error)
    } else {
        Error::unavailable(what, error)
    }
}
