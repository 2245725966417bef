//! Topic and queues.
