//! `./x check docs`: what the documentation names is there.
//!
//! Pages rot by naming what has moved. So every relative link must lead somewhere, every `path/to/file.ext` in
//! backticks must exist, every `path.rs::name` must be a function, type or constant in that file, and every `./x task`
//! must be one.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

use anyhow::Result;

use super::{Source, tracked, verdict};
use crate::is_task;
use crate::sh::Outcome;

/// Checks every tracked Markdown page.
pub(crate) fn check() -> Result<Outcome> {
    verdict(violations(&tracked()?, is_task))
}

fn violations(sources: &[Source], is_task: fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for page in sources.iter().filter(|source| source.path.ends_with(".md")) {
        let mut fenced = false;
        for (at, line) in page.text.lines().enumerate() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
                continue;
            }
            let mut say = |what: String| found.push(format!("{}:{}: {what}", page.path, at + 1));
            for task in tasks(line) {
                if !is_task(task) {
                    say(format!("`./x {task}` is no task"));
                }
            }
            if fenced {
                continue;
            }
            for target in links(line) {
                if let Some(problem) = broken(&page.path, target, sources) {
                    say(problem);
                }
            }
            for code in line.split('`').skip(1).step_by(2) {
                if let Some(problem) = missing(code, sources) {
                    say(problem);
                }
            }
        }
    }
    found
}

/// The words after `./x`, where they can be a task's name.
fn tasks(line: &str) -> impl Iterator<Item = &str> {
    line.split("./x ").skip(1).filter_map(|rest| {
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '-')).unwrap_or(rest.len());
        (end > 0).then(|| &rest[..end])
    })
}

/// The targets of `[text](target)`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

fn broken(page: &str, target: &str, sources: &[Source]) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target.split_once('#').map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let path = if file.is_empty() { PathBuf::from(page) } else { joined(page, file) };
    let path = path.to_string_lossy();
    let folder = format!("{}/", path.trim_end_matches('/'));
    let Some(source) = sources.iter().find(|source| source.path == path) else {
        let there = sources.iter().any(|source| source.path.starts_with(&folder));
        return (!there).then(|| format!("the link {target} leads nowhere"));
    };
    let anchor = anchor?;
    let there = headings(&source.text).contains(anchor);
    (!there).then(|| format!("the link {target} names a heading that is not there"))
}

fn joined(page: &str, file: &str) -> PathBuf {
    let mut path = PathBuf::from(page);
    path.pop();
    for part in Path::new(file).components() {
        match part {
            Component::ParentDir => {
                path.pop();
            }
            Component::Normal(part) => path.push(part),
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// Headings as the usual renderers turn them into anchors.
fn headings(text: &str) -> BTreeSet<String> {
    let titles = text.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    let anchor = |title: &str| {
        let kept = title.to_lowercase();
        kept.chars()
            .filter(|c| c.is_alphanumeric() || " -_".contains(*c))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect()
    };
    titles.map(anchor).collect()
}

/// A path of this repository in backticks that is not there, or a name that is not in its file.
fn missing(code: &str, sources: &[Source]) -> Option<String> {
    const KINDS: &[&str] = &[".rs", ".md", ".toml", ".sql", ".json"];
    let (path, name) = code.split_once("::").map_or((code, None), |(path, name)| (path, Some(name)));
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let ours =
        plain && path.contains('/') && !path.starts_with(['/', '.']) && KINDS.iter().any(|kind| path.ends_with(kind));
    if !ours {
        return None;
    }
    let Some(source) = sources.iter().find(|source| source.path == path) else {
        return Some(format!("`{path}` is not there"));
    };
    let name = name?;
    let words = ["fn", "struct", "enum", "trait", "type", "const", "static", "mod"];
    let there = words.iter().any(|word| {
        let declared = format!("{word} {name}");
        source.text.match_indices(&declared).any(|(at, _)| {
            let next = source.text[at + declared.len()..].chars().next();
            next.is_none_or(|c| !(c.is_alphanumeric() || c == '_'))
        })
    });
    (!there).then(|| format!("`{code}`: {path} declares no {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(page: &str) -> Vec<String> {
        let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
        let sources = [
            source("docs/A.md", page),
            source("docs/adr/0001-x.md", "# One: the way, we go\n"),
            source("core/src/floor.rs", "pub fn grants_in_order() {}\npub(crate) struct Floor;\n"),
        ];
        violations(&sources, |name| name == "test")
    }

    #[test]
    fn what_is_there_passes() {
        let page = "[a](adr/0001-x.md#one-the-way-we-go) [b](../core/src/) [c](https://example.org/x) [d](#top)\n# Top\n\
                    `core/src/floor.rs::grants_in_order` `core/src/floor.rs::Floor` `./x test` `data/holler.db` `a::b`\n";
        assert_eq!(found(page), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_found() {
        for (page, words) in [
            ("[a](adr/0002-y.md)", "leads nowhere"),
            ("[a](adr/0001-x.md#two)", "names a heading"),
            ("[a](#top)", "names a heading"),
            ("`core/src/log.rs`", "is not there"),
            ("`core/src/floor.rs::grants`", "declares no grants"),
            ("run `./x fly`", "is no task"),
            ("```\n./x fly away\n```", "is no task"),
        ] {
            let found = found(page);
            assert_eq!(found.len(), 1, "{page}: {found:?}");
            assert!(found[0].contains(words), "{found:?}");
        }
    }
}
