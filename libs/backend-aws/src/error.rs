//! What AWS says, in the ports' words.

use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use waybill_messaging::Error;

/// Refusals that no waiting mends: a person has to look at permissions, names or code.
const BROKEN: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthorizationError",
    "InvalidClientTokenId",
    "InvalidParameter",
    "InvalidParameterException",
    "InvalidParameterValue",
    "InvalidRequestException",
    "KMSInvalidStateException",
    "NotFoundException",
    "NoSuchBucket",
    "ResourceNotFoundException",
    "UnrecognizedClientException",
    "ValidationError",
    "ValidationException",
    "AWS.SimpleQueueService.NonExistentQueue",
    "QueueDoesNotExist",
];

/// Sorted by what the caller can do: wait, or call a person.
pub(crate) fn port_error<E, R>(what: &'static str, error: SdkError<E, R>) -> Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    let code = error
        .as_service_error()
        .and_then(ProvideErrorMetadata::code);
    let broken = code.is_some_and(|code| BROKEN.contains(&code))
        || matches!(error, SdkError::ConstructionFailure(_));
    if broken {
        Error::broken(what, error)
    } else {
        Error::unavailable(what, error)
    }
}
