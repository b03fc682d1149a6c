//! What is secret in a link: the token of an invite, or of a new password.
//!
//! A token is a word that says what it is for, the workspace (the key that everything of it is found by), and 20 random bytes. It
//! stands behind the `#` of the link, which browsers never send, so that it gets into no log and no referrer. The database keeps a
//! keyed hash of the random bytes only.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::units::WorkspaceId;
use holler_core::wire::limits::LINK_TOKEN_CHARS_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};
use qrcode::QrCode;
use qrcode::render::{svg, unicode};
use zeroize::Zeroizing;

/// 160 bits: nobody guesses one.
const SECRET_BYTES: usize = 20;
const TOKEN_BYTES: usize = 16 + SECRET_BYTES;

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To join.
    Invite,
    /// To set a new password.
    Reset,
}

impl Purpose {
    const fn prefix(self) -> &'static str {
        match self {
            Self::Invite => "hi1.",
            Self::Reset => "hp1.",
        }
    }

    /// The page that the link leads to.
    pub const fn path(self) -> &'static str {
        match self {
            Self::Invite => "/invite",
            Self::Reset => "/reset",
        }
    }

    /// What whoever shows a link is told that leads nowhere, whatever the reason.
    pub fn over(self) -> Problem {
        match self {
            Self::Invite => Problem::new(
                ProblemKind::NotFound,
                "this invite is not good: it was used up, taken back, has expired or never was; ask for a new one",
            ),
            Self::Reset => Problem::new(
                ProblemKind::Unauthenticated,
                "this link is not good: it was used, replaced, has expired or never was; ask an admin for a new one",
            ),
        }
        .field("token")
    }
}

/// A link's token and the secret in it.
pub struct LinkToken {
    purpose: Purpose,
    workspace: WorkspaceId,
    secret: Zeroizing<[u8; SECRET_BYTES]>,
}

impl LinkToken {
    /// Draws a new one.
    pub fn draw(purpose: Purpose, workspace: WorkspaceId) -> Result<Self, getrandom::Error> {
        let mut secret = Zeroizing::new([0; SECRET_BYTES]);
        getrandom::fill(&mut *secret)?;
        Ok(Self { purpose, workspace, secret })
    }

    /// Reads the text form. A whole link is taken too: people paste what they have.
    pub fn parse(purpose: Purpose, text: &str) -> Option<Self> {
        let text = text.rsplit_once('#').map_or(text, |(_, token)| token);
        let encoded = text.strip_prefix(purpose.prefix()).filter(|_| text.len() <= LINK_TOKEN_CHARS_MAX)?;
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        if encoded.len() != TOKEN_BYTES.div_ceil(3) * 4
            || BASE64.decode_slice(encoded, &mut *bytes).ok()? != TOKEN_BYTES
        {
            return None;
        }
        let (mut workspace, mut secret) = ([0; 16], Zeroizing::new([0; SECRET_BYTES]));
        workspace.copy_from_slice(&bytes[..16]);
        secret.copy_from_slice(&bytes[16..]);
        Some(Self { purpose, workspace: WorkspaceId::from_bytes(workspace), secret })
    }

    /// The tenant whose link it is.
    pub fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// What the database finds it by, as a keyed hash.
    pub fn secret(&self) -> &[u8] {
        &*self.secret
    }

    /// The whole link to the server at `url`.
    pub fn link(&self, url: &str) -> Zeroizing<String> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        bytes[..16].copy_from_slice(self.workspace.bytes());
        bytes[16..].copy_from_slice(&*self.secret);
        let token = Zeroizing::new(BASE64.encode(*bytes));
        let (path, prefix) = (self.purpose.path(), self.purpose.prefix());
        Zeroizing::new(format!("{}{path}#{prefix}{}", url.trim_end_matches('/'), *token))
    }
}

/// A link as a QR code (ISO/IEC 18004), an SVG image of at least 240 pixels.
pub fn qr_svg(link: &str) -> Result<String, Problem> {
    Ok(code(link)?.render::<svg::Color<'_>>().min_dimensions(240, 240).quiet_zone(true).build())
}

/// A link as a QR code for a terminal: half blocks, light on dark.
pub fn qr_text(link: &str) -> Result<String, Problem> {
    let code = code(link)?;
    let mut text = code.render::<unicode::Dense1x2>();
    text.quiet_zone(true).dark_color(unicode::Dense1x2::Light).light_color(unicode::Dense1x2::Dark);
    Ok(text.build())
}

fn code(link: &str) -> Result<QrCode, Problem> {
    // Too long for a QR code is what no server's name can make it: 2,953 bytes.
    QrCode::new(link).map_err(|error| Problem::new(ProblemKind::Internal, format!("the link has no QR code: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HERE: WorkspaceId = WorkspaceId::from_bytes([9; 16]);

    #[test]
    fn a_token_is_read_back_also_from_its_link() {
        let token = LinkToken::draw(Purpose::Invite, HERE).unwrap();
        let link = token.link("https://radio.example.org/");
        assert!(link.starts_with("https://radio.example.org/invite#hi1."), "{}", *link);
        let text = link.rsplit_once('#').unwrap().1;
        assert!(text.len() <= LINK_TOKEN_CHARS_MAX, "{}", text.len());
        for form in [text, &link] {
            let read = LinkToken::parse(Purpose::Invite, form).unwrap();
            assert_eq!((read.workspace(), read.secret()), (HERE, token.secret()));
        }
        assert!(LinkToken::parse(Purpose::Reset, text).is_none(), "each is good for one thing");
        assert!(LinkToken::parse(Purpose::Invite, &text[..text.len() - 1]).is_none());
        assert_ne!(*link, *LinkToken::draw(Purpose::Invite, HERE).unwrap().link("https://radio.example.org"));
    }

    #[test]
    fn a_link_has_a_picture() {
        let link = LinkToken::draw(Purpose::Reset, HERE).unwrap().link("https://a-rather-long-name.example.org:8443");
        let svg = qr_svg(&link).unwrap();
        assert!(svg.starts_with("<?xml") && svg.ends_with("</svg>"), "{svg:.80}");
        let text = qr_text(&link).unwrap();
        let widths: Vec<_> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0] && *width <= 80), "fits a terminal: {widths:?}");
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text in ".{0,100}", body in "[A-Za-z0-9_-]{40,60}") {
            let _ = LinkToken::parse(Purpose::Invite, &text);
            let _ = LinkToken::parse(Purpose::Invite, &format!("hi1.{body}"));
        }
    }
}
