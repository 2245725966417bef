//! Why the state of a breaker is not known.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot reach the ledger")]
    Port(#[from] waybill_messaging::Error),
    #[error("the stored state of breaker {name} cannot be read")]
    Corrupt {
        name: String,
        source: serde_json::Error,
    },
    /// Too many others changed it at the same time. Ask again later.
    #[error("the state of breaker {name} keeps changing")]
    Contended { name: String },
}
