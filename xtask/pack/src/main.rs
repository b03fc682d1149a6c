//! Turns the web client's WebAssembly into the folder that the server embeds.
//!
//! `pack bindgen MODULE.wasm OUT` writes the JavaScript around the module, as `wasm-bindgen --target web` does.
//! `pack finish OUT SITE FILE…` puts that and the files given beside it into SITE under a name made of all their contents,
//! compresses each with brotli, and prints how large a first load is.

use std::path::{Path, PathBuf};
use std::{env, fs, io::Write as _};

use anyhow::{Context as _, Result, bail};
use sha2::{Digest as _, Sha256};
use wasm_bindgen_cli_support::Bindgen;

/// brotli's best: it is done once and downloaded often.
const QUALITY: i32 = 11;
/// Its largest window that every browser takes.
const WINDOW_BITS: i32 = 22;

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["bindgen", module, out] => bindgen(Path::new(module), Path::new(out)),
        ["finish", out, site, files @ ..] => {
            finish(Path::new(out), Path::new(site), &files.iter().map(PathBuf::from).collect::<Vec<_>>())
        }
        _ => bail!("usage: pack bindgen MODULE.wasm OUT | pack finish OUT SITE FILE…"),
    }
}

fn bindgen(module: &Path, out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out)?;
    }
    Bindgen::new()
        .input_path(module)
        .out_name("holler")
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
    contents.sort();
    let mut hash = Sha256::new();
    for (name, bytes) in contents.iter().filter(|(name, _)| name != "index.html") {
        hash.update(name.as_bytes());
        hash.update((bytes.len() as u64).to_be_bytes());
        hash.update(bytes);
    }
    let version: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    let base = format!("/app/{version}/");
    if site.exists() {
        fs::remove_dir_all(site)?;
    }
    let (mut index, mut first, mut module) = (String::new(), 0, 0);
    for (name, mut bytes) in contents {
        if name == "index.html" {
            bytes = String::from_utf8(bytes)?.replace("{base}", &base).into_bytes();
        }
        let packed = compress(&bytes)?;
        let path = site.join(&name);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, &bytes)?;
        fs::write(site.join(format!("{name}.br")), &packed)?;
        // A language other than English is loaded by those who chose it.
        if !name.ends_with(".ftl") {
            first += packed.len();
        }
        if name.ends_with(".wasm") {
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

fn compress(bytes: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: QUALITY, lgwin: WINDOW_BITS, ..Default::default() };
    brotli::BrotliCompress(&mut &*bytes, &mut packed, &params)?;
    Ok(packed)
}
