//! A share of `./x lab kill`: real processes, killed at random instants.

#[test]
fn killed_at_random_instants_nothing_is_lost_doubled_or_reordered() {
    let folder = holler_lab::programs::build().unwrap();
    let report = holler_lab::kill::run(&folder, 30, 7).unwrap();
    assert_eq!(report.faults, Vec::<String>::new());
    assert!(report.server_kills > 0 && report.client_kills > 0, "{report:?}");
    assert!(report.acked > 30 && report.log > 30 && report.kept > 0, "{report:?}");
}
