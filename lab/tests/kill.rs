//! A share of `./x lab kill`: real processes, killed at random instants.

use std::process::Command;

#[test]
fn killed_at_random_instants_nothing_is_lost_doubled_or_reordered() {
    let own = std::env::current_exe().unwrap();
    // target/debug/deps/kill-…
    let folder = own.parent().unwrap().parent().unwrap();
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "-p", "holler-server", "-p", "holler-cli", "--target-dir"]);
    build.arg(folder.parent().unwrap()).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "building hollerd and holler");
    let report = holler_lab::kill::run(folder, 30, 7).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert!(report.server_kills > 0 && report.client_kills > 0 && report.acked > 30 && report.log > 30, "{report:?}");
}
