//! Selectors to identities.
