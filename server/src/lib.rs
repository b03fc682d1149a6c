//! Holler server.
