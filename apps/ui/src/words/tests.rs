use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use fluent_bundle::{FluentArgs, FluentBundle, FluentResource};

use super::table::Table;
use super::{Arg, Language, say, speak};

fn file(language: Language) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("words").join(format!("{}.ftl", language.tag()));
    std::fs::read_to_string(path).unwrap()
}

/// Every `t!("key", name = …)` of the sources: the key, and the names of its arguments.
fn used() -> BTreeMap<String, BTreeSet<String>> {
    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|end| end == "rs") && !path.ends_with("tests.rs") {
                found.push(std::fs::read_to_string(path).unwrap());
            }
        }
    }
    let (mut texts, mut used) = (Vec::new(), BTreeMap::new());
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut texts);
    for text in texts {
        let code: Vec<&str> = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
        let code = code.join("\n");
        let is_ours = |at: usize| !code[..at].ends_with(|char: char| char.is_alphanumeric() || char == '_');
        for (at, _) in code.match_indices("t!(\"").filter(|(at, _)| is_ours(*at)) {
            let (key, rest) = code[at + 4..].split_once('"').unwrap();
            let names = names(rest);
            let before = used.insert(key.to_owned(), names.clone());
            assert!(before.is_none_or(|before| before == names), "{key} is used with other arguments elsewhere");
        }
    }
    used
}

/// The names in `, name = value, …)`, where a value may have commas and brackets of its own.
fn names(rest: &str) -> BTreeSet<String> {
    let (mut depth, mut part, mut names) = (0, String::new(), BTreeSet::new());
    for char in rest.chars() {
        match char {
            '(' | '[' | '{' => depth += 1,
            ')' if depth == 0 => break,
            ')' | ']' | '}' => depth -= 1,
            ',' if depth == 0 => part.clear(),
            '=' if depth == 0 => {
                names.insert(part.trim().to_owned());
            }
            _ if depth == 0 => part.push(char),
            _ => {}
        }
    }
    names
}

#[test]
fn every_key_that_is_used_is_in_every_language_with_the_same_arguments_and_none_is_unused() {
    let used = used();
    assert!(used.len() > 100, "the sources are read: {}", used.len());
    for language in Language::ALL {
        let file = file(language);
        let table = Table::read(language, &file);
        let there: BTreeMap<String, BTreeSet<String>> = table
            .arguments()
            .into_iter()
            .map(|(key, names)| (key.to_owned(), names.into_iter().map(str::to_owned).collect()))
            .collect();
        for (key, names) in &used {
            assert_eq!(there.get(key), Some(names), "{key} in {}", language.tag());
        }
        for key in there.keys() {
            assert!(used.contains_key(key), "{key} in {} is used nowhere", language.tag());
        }
        assert_eq!(file.lines().filter(|line| line.contains(" = ") || line.ends_with(" =")).count(), there.len());
    }
}

#[test]
fn what_is_said_is_what_fluent_says() {
    for language in Language::ALL {
        let file = file(language);
        let table = Table::read(language, &file);
        let mut bundle = FluentBundle::new(vec![language.tag().parse().unwrap()]);
        bundle.set_use_isolating(language.is_rtl());
        bundle.add_resource(FluentResource::try_new(file.clone()).unwrap()).unwrap();
        for (key, names) in table.arguments() {
            // From 103 on the library's Arabic plurals are wrong: it looks at the number, where CLDR's rules look at its last two digits.
            for count in (0..=100).chain([200, 1_000]) {
                let (mut args, mut theirs) = (Vec::new(), FluentArgs::new());
                for (at, name) in names.iter().enumerate() {
                    // What counts is a number, and one more of them than of the other; the rest is text with signs of its own.
                    if ["count", "of", "here", "all", "position", "waiting", "ms", "seconds", "percent"].contains(name)
                    {
                        let count = count + u64::try_from(at).unwrap();
                        args.push((*name, Arg::Count(count)));
                        theirs.set(*name, count);
                    } else {
                        args.push((*name, Arg::Text("{ $count } <b>".to_owned())));
                        theirs.set(*name, "{ $count } <b>");
                    }
                }
                let mut errors = Vec::new();
                let pattern = bundle.get_message(key).unwrap().value().unwrap();
                let fluent = bundle.format_pattern(pattern, Some(&theirs), &mut errors);
                assert!(errors.is_empty(), "{key}: {errors:?}");
                assert_eq!(table.say(key, &args).unwrap(), fluent, "{key} of {count} in {}", language.tag());
            }
        }
    }
}

#[test]
fn every_plural_of_a_language_has_words_and_a_choice_has_one_for_the_rest() {
    for language in Language::ALL {
        let forms: BTreeSet<&str> = (0..=200).map(|count| language.plural(count)).collect();
        for block in file(language).split(" ->\n").skip(1) {
            let cases: Vec<&str> = block.lines().take_while(|line| line.trim() != "}").collect();
            let there: BTreeSet<&str> =
                cases.iter().filter_map(|case| case.split_once('[')?.1.split_once(']')).map(|(case, _)| case).collect();
            assert_eq!(there, forms, "in {}: {cases:?}", language.tag());
            assert_eq!(cases.iter().filter(|case| case.trim().starts_with("*[other]")).count(), 1, "{cases:?}");
        }
    }
}

#[test]
fn another_language_is_spoken_and_what_it_lacks_is_english() {
    assert_eq!(t!("talk-now"), "Speak now");
    speak(Language::Arabic, "talk-now = تكلّم\n");
    assert_eq!((t!("talk-now").as_str(), t!("back").as_str()), ("تكلّم", "Back"));
    assert_eq!(say("nowhere", &[]), "nowhere");
    speak(Language::English, "");
    assert_eq!(t!("talk-now"), "Speak now");
}

/// The samples of Unicode CLDR's plural rules.
#[test]
fn plurals_are_those_of_cldr() {
    for (form, samples) in [
        ("zero", vec![0]),
        ("one", vec![1]),
        ("two", vec![2]),
        ("few", vec![3, 10, 103, 110, 1_003]),
        ("many", vec![11, 26, 99, 111, 1_011]),
        ("other", vec![100, 101, 102, 200, 201, 202, 300, 1_000, 10_000]),
    ] {
        for sample in samples {
            assert_eq!(Language::Arabic.plural(sample), form, "{sample}");
        }
    }
    assert_eq!([0, 1, 2, 101].map(|count| Language::English.plural(count)), ["other", "one", "other", "other"]);
}

#[test]
fn a_browsers_language_is_known_by_its_tag() {
    assert_eq!(
        ["en-GB", "ar", "AR-eg", "de"].map(Language::of),
        [Some(Language::English), Some(Language::Arabic), Some(Language::Arabic), None]
    );
}

#[test]
fn the_layout_names_no_side() {
    for sheet in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("style")).unwrap() {
        let path = sheet.unwrap().path();
        for line in std::fs::read_to_string(&path).unwrap().lines() {
            let names = line.split(':').next().unwrap_or_default().trim();
            let sides = ["left", "right"].iter().any(|side| names == *side || names.ends_with(&format!("-{side}")));
            assert!(!sides, "{}: {line}: say start or end, which are other sides in other languages", path.display());
        }
    }
}
