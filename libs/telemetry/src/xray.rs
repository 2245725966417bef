//! Trace Context as X-Ray writes it: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1`.
//!
//! The root is the trace id of W3C with dashes, so nothing is lost. X-Ray takes trace
//! ids that do not begin with a time since October 2023.

use crate::trace::is_traceparent;

/// The header's name, in lower case.
pub const HEADER: &str = "x-amzn-trace-id";

/// A W3C `traceparent` that says the same. `None`: this is no such header.
///
/// API Gateway and load balancers tell a root and no parent. W3C has no such thing: the lower half
/// of the root stands for whoever it was. Where nothing is said of sampling, or `?`, it is sampled.
pub fn to_traceparent(header: &str) -> Option<String> {
    let field = |name: &str| {
        let mut fields = header.split(';').map(str::trim);
        fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
    };
    let (time, rest) = field("Root")?.strip_prefix("1-")?.split_once('-')?;
    let trace = (time.len() == 8).then(|| format!("{time}{rest}"))?;
    let parent = field("Parent").unwrap_or(trace.get(16..)?);
    let sampled = u8::from(field("Sampled") != Some("0"));
    let traceparent = format!("00-{trace}-{parent}-{sampled:02x}").to_ascii_lowercase();
    is_traceparent(&traceparent).then_some(traceparent)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1";
    const W3C: &str = "00-5759e988bd862e3fe1be46a994272793-53995c3f42cd8ad8-01";

    #[test]
    fn a_header_says_the_same_in_the_words_of_w3c() {
        assert_eq!(to_traceparent(HEADER).as_deref(), Some(W3C));
        let unsampled = HEADER.replace("Sampled=1", "Sampled=0");
        let w3c = to_traceparent(&unsampled).unwrap();
        assert!(w3c.ends_with("-00"), "{w3c}");
    }

    #[test]
    fn what_gateways_and_functions_add_is_passed_over() {
        let lambda = format!("Self=1-67891234-12456789abcdef012345678; {HEADER}; Lineage=a:1");
        assert_eq!(to_traceparent(&lambda).as_deref(), Some(W3C));
        let gateway = "Root=1-5759E988-BD862E3FE1BE46A994272793";
        let read = to_traceparent(gateway).unwrap();
        assert_eq!(
            read,
            "00-5759e988bd862e3fe1be46a994272793-e1be46a994272793-01"
        );
    }

    #[test]
    fn what_is_no_trace_is_none() {
        for broken in [
            "",
            "Parent=53995c3f42cd8ad8",
            "Root=1-5759e988",
            "Root=2-5759e988-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a99427279",
            "Root=1-00000000-000000000000000000000000",
            "Root=1-5759e98-8bd862e3fe1be46a994272793",
            "Root=1-é759e98-bd862e3fe1be46a994272793",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=0",
        ] {
            assert_eq!(to_traceparent(broken), None, "{broken}");
        }
    }
}
