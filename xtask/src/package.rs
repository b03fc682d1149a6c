//! `./x package`: a Debian package of the release builds, made with dpkg-deb.
//!
//! Manual pages, completions and the settings' example come from the programs themselves, so that they say what the programs do. The
//! same commit gives the same package: files carry the commit's time and belong to root.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::setup::{self, Purpose};
use crate::{build, sh};

const PROGRAMS: [&str; 2] = ["hollerd", "holler"];
const SOURCES: &str = "packaging/debian";
/// The shells for which completions are packed, and where Debian has them.
const COMPLETIONS: [(&str, &str, &str, &str); 3] = [
    ("bash", "usr/share/bash-completion/completions", "", ""),
    ("zsh", "usr/share/zsh/vendor-completions", "_", ""),
    ("fish", "usr/share/fish/vendor_completions.d", "", ".fish"),
];
/// Where the packaged server keeps things, instead of the defaults for a person's own.
const SETTINGS: [(&str, &str); 2] = [
    ("#data = \"data\"", "data = \"/var/lib/holler/data\""),
    ("#keys = \"/var/lib/holler/keys\"", "keys = \"/var/lib/holler/keys\""),
];

/// Builds the package and says where it is. With `--as-built`, of the programs that are there.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let is_built = match arguments {
        [] => false,
        [only] if only == "--as-built" => true,
        _ => bail!("usage: ./x package [--as-built]"),
    };
    for tool in ["dpkg-deb", "dpkg-shlibdeps", "gzip", "strip"] {
        ensure!(sh::on_path(tool), "{tool} is not there: `apt-get install dpkg-dev binutils gzip` brings it");
    }
    if !is_built {
        setup::ensure(&[Purpose::Build])?;
        build::release()?;
    }
    let top = sh::target_dir().join("package");
    let root = top.join("root");
    if top.exists() {
        fs::remove_dir_all(&top).with_context(|| format!("{} can't be removed", top.display()))?;
    }
    programs(&root)?;
    manual(&root, &top.join("man"))?;
    completions(&root)?;
    service(&root)?;
    documents(&root)?;
    control(&root, &top)?;
    let package = pack(&root, &top)?;
    println!("built {}", package.display());
    Ok(())
}

fn programs(root: &Path) -> Result<()> {
    for name in PROGRAMS {
        let program = root.join("usr/bin").join(name);
        copy(&build::binary(name), &program, 0o755)?;
        sh::run(sh::program("strip").arg("--strip-debug").arg(&program))?;
    }
    Ok(())
}

fn manual(root: &Path, scratch: &Path) -> Result<()> {
    for name in PROGRAMS {
        sh::run(sh::program(build::binary(name)).arg("man").arg(scratch))?;
    }
    let mut pages: Vec<PathBuf> = fs::read_dir(scratch)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    pages.sort();
    for page in pages {
        let packed = root.join("usr/share/man/man1").join(page.file_name().context("a page without a name")?);
        copy(&page, &packed, 0o644)?;
        compress(&packed)?;
    }
    Ok(())
}

fn completions(root: &Path) -> Result<()> {
    for name in PROGRAMS {
        for (shell, folder, before, after) in COMPLETIONS {
            let script = sh::output(sh::program(build::binary(name)).args(["completions", shell]))?;
            write(&root.join(folder).join(format!("{before}{name}{after}")), &script, 0o644)?;
        }
    }
    Ok(())
}

fn service(root: &Path) -> Result<()> {
    let source = |name: &str| Path::new(SOURCES).join(name);
    copy(&source("hollerd.service"), &root.join("usr/lib/systemd/system/hollerd.service"), 0o644)?;
    copy(&source("sysusers.conf"), &root.join("usr/lib/sysusers.d/hollerd.conf"), 0o644)?;
    let mut settings = sh::output(sh::program(build::binary("hollerd")).args(["config", "dump", "--defaults"]))?;
    for (usual, packaged) in SETTINGS {
        ensure!(settings.contains(usual), "`hollerd config dump --defaults` no longer has the line {usual}");
        settings = settings.replace(usual, packaged);
    }
    write(&root.join("etc/holler/hollerd.toml"), &settings, 0o644)
}

fn documents(root: &Path) -> Result<()> {
    let folder = root.join("usr/share/doc/holler");
    for name in ["README.md", "LICENSE-MIT", "LICENSE-APACHE", "docs/OPERATIONS.md", "docs/CLI.md"] {
        let file = Path::new(name).file_name().context("a document without a name")?;
        copy(Path::new(name), &folder.join(file), 0o644)?;
    }
    copy(&Path::new(SOURCES).join("copyright"), &folder.join("copyright"), 0o644)?;
    copy(Path::new("CHANGELOG.md"), &folder.join("changelog"), 0o644)?;
    compress(&folder.join("changelog"))
}

fn control(root: &Path, top: &Path) -> Result<()> {
    let folder = root.join("DEBIAN");
    for name in ["postinst", "prerm", "postrm"] {
        copy(&Path::new(SOURCES).join(name), &folder.join(name), 0o755)?;
    }
    write(&folder.join("conffiles"), "/etc/holler/hollerd.toml\n", 0o644)?;
    let size: u64 =
        files(root)?.iter().map(|file| fs::metadata(file).map_or(0, |found| found.len().div_ceil(1024))).sum();
    let text = format!(
        "Package: holler\nVersion: {}\nArchitecture: {}\nMaintainer: Holler <holler@localhost>\nSection: comm\nPriority: optional\n\
         Installed-Size: {size}\nDepends: passwd, {}\nRecommends: ca-certificates\n\
         Description: push-to-talk for teams over bad networks, self-hosted\n \
         hollerd is the server with everything embedded, holler the command line client.\n \
         The server is not started by the installation: see /etc/holler/hollerd.toml.\n",
        env!("CARGO_PKG_VERSION"),
        architecture()?,
        libraries(root, top)?,
    );
    write(&folder.join("control"), &text, 0o644)
}

fn architecture() -> Result<String> {
    Ok(sh::output(sh::program("dpkg").arg("--print-architecture"))?.trim().to_owned())
}

/// The packages of the shared libraries that the programs need.
fn libraries(root: &Path, top: &Path) -> Result<String> {
    // It reads this file and nothing in it.
    write(&top.join("debian/control"), "Source: holler\n\nPackage: holler\nArchitecture: any\n", 0o644)?;
    let programs = PROGRAMS.map(|name| root.join("usr/bin").join(name));
    let found = sh::output(sh::program("dpkg-shlibdeps").current_dir(top).arg("-O").args(programs))?;
    let libraries = found.trim().strip_prefix("shlibs:Depends=").context("dpkg-shlibdeps said something else")?;
    Ok(libraries.to_owned())
}

fn pack(root: &Path, top: &Path) -> Result<PathBuf> {
    let time = sh::output(sh::program("git").args(["log", "-1", "--format=%ct"]))?.trim().to_owned();
    let mut build = sh::program("dpkg-deb");
    build.env("SOURCE_DATE_EPOCH", time).args(["--root-owner-group", "-Zxz", "--build"]).arg(root).arg(top);
    sh::run(&mut build)?;
    Ok(top.join(format!("holler_{}_{}.deb", env!("CARGO_PKG_VERSION"), architecture()?)))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() { found.extend(files(&path)?) } else { found.push(path) }
    }
    Ok(found)
}

fn compress(file: &Path) -> Result<()> {
    sh::run(sh::program("gzip").arg("-9n").arg(file))
}

fn copy(from: &Path, to: &Path, mode: u32) -> Result<()> {
    let bytes = fs::read(from).with_context(|| format!("{} can't be read", from.display()))?;
    put(to, &bytes, mode)
}

fn write(to: &Path, text: &str, mode: u32) -> Result<()> {
    put(to, text.as_bytes(), mode)
}

fn put(to: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder = to.parent().context("a file without a folder")?;
    let done = || -> std::io::Result<()> {
        fs::create_dir_all(folder)?;
        fs::write(to, bytes)?;
        fs::set_permissions(to, fs::Permissions::from_mode(mode))
    };
    done().with_context(|| format!("{} can't be written", to.display()))
}
