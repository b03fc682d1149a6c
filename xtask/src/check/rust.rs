//! Just enough reading of Rust to see which paths a file names: tokens without comments and strings, without what is
//! compiled for tests only, and with `use` trees spread out.

/// A token and the line it starts on, from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) line: usize,
}

/// A path as written, such as `crate::log::Seq`, and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UsedPath {
    pub(super) segments: Vec<String>,
    pub(super) line: usize,
}

/// Identifiers, `::` and single marks; comments, strings, characters and lifetimes leave nothing.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let at = |index: usize| chars.get(index).copied().unwrap_or('\0');
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    while i < chars.len() {
        let (start, first_line) = (i, line);
        let c = chars[i];
        if c == '/' && at(i + 1) == '/' {
            while i < chars.len() && chars[i] != '\n' {
                i += 1;
            }
        } else if c == '/' && at(i + 1) == '*' {
            i = after_comment(&chars, i);
        } else if c == '"' {
            i = after_string(&chars, i);
        } else if let Some(end) = after_raw_string(&chars, i) {
            i = end;
        } else if c == 'b' && at(i + 1) == '"' {
            i = after_string(&chars, i + 1);
        } else if c == '\'' {
            i = after_quote(&chars, i);
        } else if c.is_alphanumeric() || c == '_' {
            while at(i).is_alphanumeric() || at(i) == '_' {
                i += 1;
            }
            tokens.push(Token { text: chars[start..i].iter().collect(), line: first_line });
        } else if c == ':' && at(i + 1) == ':' {
            i += 2;
            tokens.push(Token { text: "::".into(), line: first_line });
        } else {
            i += 1;
            if !c.is_whitespace() {
                tokens.push(Token { text: c.into(), line: first_line });
            }
        }
        line += chars[start..i.min(chars.len())].iter().filter(|c| **c == '\n').count();
    }
    tokens
}

fn after_comment(chars: &[char], mut i: usize) -> usize {
    let mut depth = 0_usize;
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => {
                (depth, i) = (depth - 1, i + 2);
                if depth == 0 {
                    break;
                }
            }
            _ => i += 1,
        }
    }
    i
}

fn after_string(chars: &[char], mut i: usize) -> usize {
    i += 1;
    while i < chars.len() && chars[i] != '"' {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

fn after_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let mut i = start;
    if chars[i] == 'b' {
        i += 1;
    }
    if chars.get(i) != Some(&'r') {
        return None;
    }
    let hashes = chars[i + 1..].iter().take_while(|c| **c == '#').count();
    i += 1 + hashes;
    if chars.get(i) != Some(&'"') {
        return None;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let rest = &chars[i + 1..];
    let length = rest.windows(end.len()).position(|window| window == end.as_slice()).unwrap_or(rest.len());
    Some(i + 1 + length + end.len())
}

/// A character ('x', '\n') or a lifetime ('a): in both cases the mark after it.
fn after_quote(chars: &[char], i: usize) -> usize {
    if chars.get(i + 1) == Some(&'\\') {
        let rest = &chars[(i + 3).min(chars.len())..];
        return i + 3 + rest.iter().position(|c| *c == '\'').map_or(rest.len(), |end| end + 1);
    }
    if chars.get(i + 2) == Some(&'\'') {
        return i + 3;
    }
    let name = chars[i + 1..].iter().take_while(|c| c.is_alphanumeric() || **c == '_').count();
    i + 1 + name
}

/// The tokens without items under `#[cfg(test)]`, and how many lines those items take.
pub(super) fn without_tests(tokens: &[Token]) -> (Vec<Token>, usize) {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let (mut kept, mut lines, mut i) = (Vec::new(), 0, 0);
    while i < tokens.len() {
        if tokens[i..].len() >= MARK.len() && tokens[i..].iter().zip(MARK).all(|(token, mark)| token.text == mark) {
            let end = after_item(tokens, i + MARK.len());
            lines += tokens[end - 1].line - tokens[i].line + 1;
            i = end;
        } else {
            kept.push(tokens[i].clone());
            i += 1;
        }
    }
    (kept, lines)
}

/// The end of the item that starts here: after its `;`, or after the brace that closes its body.
fn after_item(tokens: &[Token], mut i: usize) -> usize {
    let mut depth = 0_usize;
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            "{" | "(" | "[" => depth += 1,
            "}" | ")" | "]" => {
                depth = depth.saturating_sub(1);
                if depth == 0 && tokens[i].text == "}" {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
        i += 1;
    }
    tokens.len()
}

/// Every path named: those of `use` trees spread out, and those in the code.
pub(super) fn paths(tokens: &[Token]) -> Vec<UsedPath> {
    let mut found = Vec::new();
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i].text == "use" {
            i = tree(tokens, i + 1, &[], &mut found);
        } else if is_name(&tokens[i].text) && tokens.get(i + 1).is_some_and(|next| next.text == "::") {
            let line = tokens[i].line;
            let mut segments = vec![tokens[i].text.clone()];
            i += 1;
            while i + 1 < tokens.len() && tokens[i].text == "::" && is_name(&tokens[i + 1].text) {
                segments.push(tokens[i + 1].text.clone());
                i += 2;
            }
            found.push(UsedPath { segments, line });
        } else {
            i += 1;
        }
    }
    found
}

/// One branch of a `use` tree, up to and not past the `,`, `}` or `;` behind it.
fn tree(tokens: &[Token], mut i: usize, prefix: &[String], found: &mut Vec<UsedPath>) -> usize {
    let mut segments = prefix.to_vec();
    let line = tokens.get(i).map_or(0, |token| token.line);
    while i < tokens.len() {
        match tokens[i].text.as_str() {
            "{" => {
                i += 1;
                while i < tokens.len() && tokens[i].text != "}" {
                    i = tree(tokens, i, &segments, found);
                    if tokens.get(i).is_some_and(|token| token.text == ",") {
                        i += 1;
                    }
                }
                return i + 1;
            }
            "as" => i += 2,
            "::" => i += 1,
            name if is_name(name) || name == "*" => {
                segments.push(name.to_owned());
                i += 1;
            }
            _ => break,
        }
    }
    found.push(UsedPath { segments, line });
    // A mark that ends no branch would stop us on the spot: a `use` that is none, as in `use<'a>`.
    if tokens.get(i).is_some_and(|token| !matches!(token.text.as_str(), "," | "}" | ";")) { i + 1 } else { i }
}

fn is_name(text: &str) -> bool {
    text.chars().next().is_some_and(|c| c.is_alphabetic() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(source: &str) -> Vec<String> {
        paths(&without_tests(&tokens(source)).0).into_iter().map(|path| path.segments.join("::")).collect()
    }

    #[test]
    fn trees_are_spread_out() {
        let found = named("use std::{fs, net::{self, TcpStream as T}, time::*};\nfn f() { a::b::<C>::d(); }");
        assert_eq!(found, ["std::fs", "std::net::self", "std::net::TcpStream", "std::time::*", "a::b"]);
    }

    #[test]
    fn comments_strings_characters_and_tests_name_nothing() {
        let source = r####"
            // std::fs
            /* std::net /* nested */ std::net */
            const A: &str = "std::fs \" std::fs"; const B: &[u8] = b"std::fs";
            const C: &str = r##"std::fs " "# std::fs"##; const D: char = '"'; const E: char = '\'';
            fn f<'a>(x: &'a str) -> core::fmt::Result { g(x) }
            #[cfg(test)]
            #[path = "x.rs"]
            mod tests;
            #[cfg(test)]
            mod more { use std::fs; fn f() { std::net::x(); } }
            use std::mem;
        "####;
        assert_eq!(named(source), ["core::fmt::Result", "std::mem"]);
    }

    #[test]
    fn lines_are_counted_across_everything() {
        let source = "/* \n\n */ \"\n\"\nuse a::b;\n#[cfg(test)]\nmod tests {\n    fn f() {}\n}\nuse c::d;";
        let (kept, test_lines) = without_tests(&tokens(source));
        let lines: Vec<usize> = paths(&kept).iter().map(|path| path.line).collect();
        assert_eq!((lines, test_lines), (vec![5, 10], 4));
    }

    #[test]
    fn half_written_code_ends() {
        for source in ["use a::{b", "use", "/* /*", "\"", "r#\"", "'", "'\\", "#[cfg(test)]", "#[cfg(test)] mod x {"] {
            let _ = named(source);
        }
    }
}
