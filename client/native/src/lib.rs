//! Holler client.
