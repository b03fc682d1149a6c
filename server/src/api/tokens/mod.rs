//! Tokens for scripts: access tokens that live long, each with scopes and a device of its own.

pub mod create;
pub mod list;
pub mod revoke;

use holler_core::wire::rest::Token;

use crate::storage::accounts::TokenRow;

fn seen(row: TokenRow) -> Token {
    Token {
        id: row.device.id,
        name: row.device.name,
        scopes: row.scopes,
        created_at: row.device.created_at,
        expires_at: row.expires_at,
        revoked: row.device.revoked,
    }
}
