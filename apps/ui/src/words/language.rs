//! The languages, and what a program must know of each.

/// A language that the screens speak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English: built in.
    #[default]
    English,
    /// Arabic.
    Arabic,
}

impl Language {
    /// Every language.
    pub const ALL: [Self; 2] = [Self::English, Self::Arabic];

    /// Its tag (BCP 47), which is the name of its file too.
    pub fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Arabic => "ar",
        }
    }

    /// What those who speak it call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::English => "English",
            Self::Arabic => "العربية",
        }
    }

    /// The language of a tag such as `en`, `en-GB` or `ar-EG` (BCP 47); `None`: not spoken here.
    pub fn of(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// Whether it is written from right to left.
    pub fn is_rtl(self) -> bool {
        match self {
            Self::English => false,
            Self::Arabic => true,
        }
    }

    /// The plural that a whole number takes (Unicode CLDR, "Language Plural Rules", cardinals).
    pub(super) fn plural(self, count: u64) -> &'static str {
        match (self, count, count % 100) {
            (Self::English, 1, _) => "one",
            (Self::English, ..) => "other",
            (Self::Arabic, 0, _) => "zero",
            (Self::Arabic, 1, _) => "one",
            (Self::Arabic, 2, _) => "two",
            (Self::Arabic, _, 3..=10) => "few",
            (Self::Arabic, _, 11..=99) => "many",
            (Self::Arabic, ..) => "other",
        }
    }
}
