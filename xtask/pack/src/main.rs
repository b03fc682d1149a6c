//! Turns the web client's WebAssembly into the folder that the server embeds.
//!
//! `pack bindgen MODULE.wasm OUT NAME` writes the JavaScript around the module, as `wasm-bindgen --target web` does.
//! `pack finish OUT SITE FILE…` puts that and the files given beside it into SITE under a name made of all their contents,
//! compresses each with brotli, and prints how large a first load is. The service worker is told them all with their SHA-256: it
//! keeps these and no others.

use std::path::{Path, PathBuf};
use std::{env, fs, io::Write as _};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// The page, which has the version's addresses in it.
const INDEX: &str = "index.html";
/// The service worker, which has the version and its files in it.
const SERVICE: &str = "service.js";
/// brotli's best: it is done once and downloaded often.
const QUALITY: i32 = 11;
/// Its largest window that every browser takes.
const WINDOW_BITS: i32 = 22;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bindgen", module, out, name] => bindgen(Path::new(module), Path::new(out), name),
        ["finish", out, site, files @ ..] => {
            finish(Path::new(out), Path::new(site), &files.iter().map(PathBuf::from).collect::<Vec<_>>())
        }
        _ => bail!("usage: pack bindgen MODULE.wasm OUT NAME | pack finish OUT SITE FILE…"),
    }
}

fn bindgen(module: &Path, out: &Path, name: &str) -> Result<()> {
    Bindgen::new()
        .input_path(module)
        .out_name(name)
        .web(true)?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(out)
        .with_context(|| format!("{} could not be given its JavaScript", module.display()))
}

fn finish(out: &Path, site: &Path, files: &[PathBuf]) -> Result<()> {
    let mut contents = Vec::new();
    gather(out, out, &mut contents)?;
    for file in files {
        let name = file.file_name().and_then(|name| name.to_str()).context("a file without a name")?;
        contents.push((name.to_owned(), fs::read(file).with_context(|| format!("{}", file.display()))?));
    }
    for (name, bytes) in &mut contents {
        if name.ends_with(".js") || name.ends_with(".css") {
            *bytes = tightened(std::str::from_utf8(bytes)?).into_bytes();
        }
    }
    contents.sort();
    let mut hash = Sha256::new();
    for (name, bytes) in &contents {
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    let version: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let base = format!("/app/{version}/");
    if site.exists() {
        fs::remove_dir_all(site)?;
    }
    for (_, bytes) in contents.iter_mut().filter(|(name, _)| name == INDEX) {
        *bytes = std::str::from_utf8(bytes)?.replace("{base}", &base).into_bytes();
    }
    let kept = kept(&contents, &base)?;
    for (_, bytes) in contents.iter_mut().filter(|(name, _)| name == SERVICE) {
        *bytes = std::str::from_utf8(bytes)?.replace("{version}", &version).replace("{files}", &kept).into_bytes();
    }
    let (mut index, mut first, mut module) = (String::new(), 0, 0);
    for (name, bytes) in contents {
        let packed = compress(&bytes)?;
        let path = site.join(&name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, &bytes)?;
        fs::write(site.join(format!("{name}.br")), &packed)?;
        // What a first screen needs: a language other than English is loaded by those who chose it, Opus where there is none, icons and the service worker later.
        let is_later = name.ends_with(".ftl") || name.ends_with(".png") || name == SERVICE || is_for_few(&name);
        if !is_later {
            first += packed.len();
        }
        if name.ends_with(".wasm") && !is_later {
            module += packed.len();
        }
        index.push_str(&format!("{name}\n"));
    }
    // Written last: who finds it finds all the rest.
    fs::write(site.join("manifest"), format!("{version}\n{index}"))?;
    writeln!(
        std::io::stdout(),
        "web client {version}: {:.1} KB brotli at a first load, of which {:.1} KB WebAssembly",
        first as f64 / 1_000.0,
        module as f64 / 1_000.0
    )?;
    Ok(())
}

/// The Opus of browsers that have none is no part of what everybody loads, or keeps.
fn is_for_few(name: &str) -> bool {
    name.starts_with("opus")
}

/// Every address of the client with the SHA-256 of what is there, as JSON: what the service worker keeps.
fn kept(contents: &[(String, Vec<u8>)], base: &str) -> Result<String> {
    let mut kept = Vec::new();
    for (name, bytes) in contents.iter().filter(|(name, _)| name != SERVICE && !is_for_few(name)) {
        // Names are those of files here; one that JSON or a template would have to escape is a mistake.
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte)) {
            bail!("{name}: a file of the client has a plain name");
        }
        let address = if name == INDEX { "/".to_owned() } else { format!("{base}{name}") };
        kept.push(format!("[\"{address}\",\"sha256-{}\"]", base64(&Sha256::digest(bytes))));
    }
    Ok(format!("[{}]", kept.join(",")))
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for group in bytes.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn gather(root: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            gather(root, &path, found)?;
        } else {
            let name = path.strip_prefix(root)?.to_str().context("a name that is not UTF-8")?.to_owned();
            found.push((name, fs::read(&path)?));
        }
    }
    Ok(())
}

/// Without comments that have lines of their own, and without what sets lines in: 4 KB of a first load, compressed. None of these
/// files has a text that goes over several lines.
fn tightened(text: &str) -> String {
    let (mut tight, mut in_comment) = (String::with_capacity(text.len()), false);
    for line in text.lines().map(str::trim) {
        in_comment |= line.starts_with("/*");
        if !in_comment && !line.is_empty() && !line.starts_with("//") {
            tight.push_str(line);
            tight.push('\n');
        }
        in_comment &= !line.ends_with("*/");
    }
    tight
}

fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    let (quality, lgwin, size_hint) = (QUALITY, WINDOW_BITS, bytes.len());
    let params = brotli::enc::BrotliEncoderParams { quality, lgwin, size_hint, ..Default::default() };
    brotli::BrotliCompress(&mut &*bytes, &mut packed, &params)?;
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4648 section 10.
    #[test]
    fn base64_is_as_the_standard_says() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn what_is_tightened_says_the_same() {
        let text = "/* one\n two */\nconst a = 1; // kept\n  /**\n   * of b\n   */\n\n  b(/* also */);\n// gone\n.c { d: e; } /* kept */\n";
        assert_eq!(tightened(text), "const a = 1; // kept\nb(/* also */);\n.c { d: e; } /* kept */\n");
    }

    #[test]
    fn the_service_worker_is_told_every_file_but_itself_and_the_codec() {
        let contents = ["a.js", INDEX, "opus.js", SERVICE].map(|name| (name.to_owned(), b"".to_vec()));
        let empty = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        let expected = format!("[[\"/app/7/a.js\",\"{empty}\"],[\"/\",\"{empty}\"]]");
        assert_eq!(kept(&contents, "/app/7/").unwrap(), expected);
        assert!(kept(&[("a`b".to_owned(), Vec::new())], "/").is_err());
    }
}
