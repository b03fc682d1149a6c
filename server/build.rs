//! Embeds the web client: the folder that `HOLLER_WEB_DIR` names, as xtask built it. Without it the server has none.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=HOLLER_WEB_DIR");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("no OUT_DIR")?);
    let code = match env::var_os("HOLLER_WEB_DIR") {
        Some(folder) => embedded(Path::new(&folder))?,
        None => "const VERSION: Option<&str> = None;\nconst FILES: &[File] = &[];\n".to_owned(),
    };
    fs::write(out.join("web.rs"), code)?;
    Ok(())
}

/// The manifest has the version in its first line, and a file in each of the others.
fn embedded(folder: &Path) -> Result<String, Box<dyn Error>> {
    let manifest = folder.join("manifest");
    println!("cargo::rerun-if-changed={}", manifest.display());
    let manifest = fs::read_to_string(&manifest).map_err(|error| format!("{}: {error}", manifest.display()))?;
    let mut lines = manifest.lines();
    let version = lines.next().ok_or("the manifest is empty")?;
    let mut code = format!("const VERSION: Option<&str> = Some({version:?});\nconst FILES: &[File] = &[\n");
    for name in lines {
        let kind = match name.rsplit_once('.').map(|(_, kind)| kind) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            Some("ftl") => "text/plain; charset=utf-8",
            Some("png") => "image/png",
            Some("webmanifest") => "application/manifest+json",
            Some("wasm") => "application/wasm",
            _ => return Err(format!("{name}: no media type is known for it").into()),
        };
        let (plain, brotli) = (folder.join(name), folder.join(format!("{name}.br")));
        writeln!(
            code,
            "File {{ name: {name:?}, kind: {kind:?}, plain: include_bytes!({plain:?}), brotli: include_bytes!({brotli:?}) }},"
        )?;
    }
    code.push_str("];\n");
    Ok(code)
}
