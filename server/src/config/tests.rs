use std::path::Path;

use super::*;

fn load(file: &str, environment: &[(&str, &str)], serve: &ServeFlags) -> Result<Loaded, ConfigError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("hollerd.toml");
    std::fs::write(&path, file).unwrap();
    let common = CommonFlags { config: Some(path), ..CommonFlags::default() };
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned()));
    Loaded::read(&common, serve, environment.chain([("HOME".to_owned(), "/home/someone".to_owned())]))
}

fn good(file: &str, environment: &[(&str, &str)]) -> Config {
    load(file, environment, &ServeFlags::default()).unwrap().config
}

/// Every fault as text, in order.
fn faults(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    load(file, environment, &ServeFlags::default()).unwrap_err().0.iter().map(ToString::to_string).collect()
}

#[test]
fn defaults_listen_on_loopback_only() {
    let config = good("", &[]);
    assert_eq!(config.listen, ["127.0.0.1:8443".parse().unwrap(), "[::1]:8443".parse().unwrap()]);
    assert_eq!(config.private, Some("127.0.0.1:9464".parse().unwrap()));
    assert_eq!(config.keys, Path::new("/home/someone/.config/holler/hollerd"));
    assert_eq!((config.access_lifetime.as_secs(), config.refresh_lifetime.as_secs()), (600, 2_592_000));
    assert_eq!(config.public_url(), "https://localhost:8443");
}

#[test]
fn flags_come_before_environment_before_file() {
    let file = "[server]\nlisten = [\"127.0.0.1:1\"]\ndata = \"file\"\n[tokens]\naccess_s = 61";
    let environment = [("HOLLER_SERVER__LISTEN", "127.0.0.1:2, [::1]:2"), ("HOLLER_TOKENS__ACCESS_S", "62")];
    let config = good(file, &environment);
    assert_eq!(config.listen, ["127.0.0.1:2".parse().unwrap(), "[::1]:2".parse().unwrap()]);
    assert_eq!((config.access_lifetime.as_secs(), config.data), (62, PathBuf::from("file")));
    let flags = ServeFlags { listen: vec!["127.0.0.1:3".into()], ..ServeFlags::default() };
    let loaded = load(file, &environment, &flags).unwrap();
    assert_eq!(loaded.config.listen, ["127.0.0.1:3".parse().unwrap()]);
    assert_eq!(loaded.place("server", "listen"), Place::Flag("--listen"));
    assert_eq!(loaded.place("tokens", "access_s"), Place::Environment("HOLLER_TOKENS__ACCESS_S".into()));
    assert_eq!(loaded.place("server", "data"), Place::File(loaded.file.clone().unwrap(), Some(3)));
    assert_eq!(loaded.place("log", "filter"), Place::Default);
}

#[test]
fn the_default_file_is_read_if_it_is_there_and_no_other_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let [usual, named] = ["usual", "named"].map(|name| dir.path().join(name));
    let read = |environment: &[(&str, &Path)]| {
        let common = CommonFlags { default_file: Some(usual.clone()), ..CommonFlags::default() };
        let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), v.to_str().unwrap().to_owned()));
        let home = ("HOME".to_owned(), "/home/someone".to_owned());
        Config::load(&common, &ServeFlags::default(), environment.chain([home])).unwrap().data
    };
    assert_eq!(read(&[]), Path::new("data"), "it is not there");
    std::fs::write(&usual, "[server]\ndata = \"usual\"").unwrap();
    std::fs::write(&named, "[server]\ndata = \"named\"").unwrap();
    assert_eq!(read(&[]), Path::new("usual"));
    assert_eq!(read(&[("HOLLER_CONFIG", &named)]), Path::new("named"));
}

#[test]
fn datagrams_are_switched_with_true_or_false_wherever_it_stands() {
    assert_eq!((good("", &[]).udp, good("", &[]).udp_port), (true, None));
    assert!(!good("[voice]\nudp = false", &[]).udp);
    let config = good("[voice]\nudp = true\nudp_port = 4000", &[("HOLLER_VOICE__UDP", "false")]);
    assert_eq!((config.udp, config.udp_port), (false, Some(4_000)));
    let found = faults("[voice]\nudp = \"yes\"\nudp_port = 0", &[]);
    assert!(found[0].contains("voice.udp: expected true or false, found \"yes\""), "{found:#?}");
    assert!(found[1].contains("voice.udp_port: expected a number from 1 to 65535, found 0"), "{found:#?}");
}

#[test]
fn unknown_keys_are_refused_wherever_they_stand_with_what_was_probably_meant() {
    let file = "listen = 1\n\n[server]\nlissten = []\nfilter = \"x\"\n\n[sever]\n\n[telephony]\nnumber = 1\n";
    let found = faults(file, &[("HOLLER_SERVER__LISTTEN", "x"), ("HOLLER_TOKEN", "is the client's")]);
    let wanted = [
        ("toml:1: there is no setting listen.", "Did you mean server.listen?"),
        ("toml:4: there is no setting server.lissten.", "Did you mean server.listen?"),
        ("toml:5: there is no setting server.filter.", "Did you mean log.filter?"),
        ("toml:7: there is no setting sever.", "Did you mean server?"),
        ("toml:10: there is no setting telephony.number.", "config dump --defaults"),
        ("HOLLER_SERVER__LISTTEN", "Did you mean HOLLER_SERVER__LISTEN?"),
    ];
    for (what, remedy) in wanted {
        assert!(found.iter().any(|fault| fault.contains(what) && fault.contains(remedy)), "{what}: {found:#?}");
    }
    assert_eq!(found.len(), wanted.len(), "{found:#?}");
}

#[test]
fn every_fault_is_told_at_once_with_its_line() {
    let file =
        "[tokens]\naccess_s = 5\n\n[tls]\nkey = \"k\"\n\n[server]\nlisten = [\"here\", 1]\npublic_names = [\"a b\"]\n";
    let found = faults(file, &[("HOLLER_LOG__FORMAT", "xml"), ("HOLLER_LOG__FILTER", "a=b=c")]);
    for wanted in [
        "toml:2: tokens.access_s: expected a number of seconds from 60 to 3600, found 5. An example: access_s = 600",
        "toml:5: tls.certificate and tls.key belong together",
        "toml:8: server.listen: expected a list of texts",
        "toml:9: server.public_names: expected DNS names",
        "(HOLLER_LOG__FORMAT): log.format: expected text, json or auto, found \"xml\"",
        "(HOLLER_LOG__FILTER): log.filter: expected a filter",
    ] {
        assert!(found.iter().any(|fault| fault.contains(wanted)), "{wanted}: {found:#?}");
    }
    assert_eq!(found.len(), 6, "{found:#?}");
    let flags = ServeFlags { private: Some("9464".into()), ..ServeFlags::default() };
    assert!(
        load("", &[], &flags)
            .unwrap_err()
            .to_string()
            .contains("the flag --private: private.listen: expected an address")
    );
    let empty = load("", &[("HOLLER_SERVER__DATA", "")], &ServeFlags::default()).unwrap_err().to_string();
    assert!(empty.contains("server.data: expected a text"), "{empty}");
}

#[test]
fn what_is_no_toml_is_told_by_line() {
    let found = faults("[server]\nlisten = [\n\n[log]\nfilter = info\n", &[("HOLLER_TOKENS__ACCESS_S", "x")]);
    assert!(found.iter().any(|fault| fault.contains("toml:5: this is not TOML")), "{found:#?}");
    assert!(found.iter().any(|fault| fault.contains("HOLLER_TOKENS__ACCESS_S")), "{found:#?}");
    let common = CommonFlags { config: Some("/nonexistent/file".into()), ..CommonFlags::default() };
    let error = Config::load(&common, &ServeFlags::default(), []).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/file: the file can't be read"), "{error}");
}

#[test]
fn an_earlier_name_is_still_understood() {
    assert_eq!(good("[metrics]\nlisten = \"off\"", &[]).private, None);
    assert_eq!(good("", &[("HOLLER_METRICS__LISTEN", "off")]).private, None);
    let both = [("HOLLER_METRICS__LISTEN", "off"), ("HOLLER_PRIVATE__LISTEN", "off")];
    assert!(faults("", &both)[0].contains("set twice in the environment"));
}

#[test]
fn keys_in_the_data_folder_are_refused() {
    let found = faults("[server]\ndata = \"d\"\nkeys = \"d/keys\"", &[]);
    assert!(found[0].contains("toml:3: the keys folder d/keys lies in the data folder"), "{found:?}");
    let none = Config::load(&CommonFlags::default(), &ServeFlags::default(), []).unwrap_err().to_string();
    assert!(none.contains("neither server.keys nor XDG_CONFIG_HOME nor HOME is set"), "{none}");
}

#[test]
fn the_example_shows_every_setting_as_it_is_by_default() {
    let example = dump::example();
    let uncommented: String = example
        .lines()
        .map(|line| {
            let is_setting = line.strip_prefix('#').is_some_and(|rest| !rest.starts_with(' '));
            format!("{}\n", if is_setting { &line[1..] } else { line })
        })
        .collect();
    let (config, usual) = (good(&uncommented, &[]), good(&example, &[]));
    assert_eq!(usual, good("", &[]), "nothing is set in it");
    let (mut changed, restart) = usual.differences(&config);
    changed.extend(restart);
    changed.sort();
    let mut without =
        ["tls.certificate", "tls.key", "server.keys", "push.contact", "push.roots", "push.fcm_account"].to_vec();
    without.extend(["push.apns_key", "push.apns_key_id", "push.apns_team", "push.apns_topics", "voice.udp_port"]);
    without.sort_unstable();
    assert_eq!(changed, without, "settings without a default of their own");
    for setting in settings::SETTINGS {
        assert!(uncommented.contains(&format!("\n{} = ", setting.key)), "{}", setting.name());
        assert!(settings::find(setting.section, setting.key).is_some_and(|found| std::ptr::eq(found, setting)));
    }
}

#[test]
fn the_dump_reads_back_as_what_is_in_effect_and_says_where_from() {
    let loaded =
        load("[log]\nfilter = \"warn\"", &[("HOLLER_LIMITS__LOGIN_ATTEMPTS", "7")], &ServeFlags::default()).unwrap();
    let text = dump::effective(&loaded);
    assert!(
        text.contains("toml:2\n")
            && text.contains("login_attempts = 7  # from the environment (HOLLER_LIMITS__LOGIN_ATTEMPTS)")
    );
    assert!(text.contains("connections_max = 16000  # default") && text.contains("# key is not set"), "{text}");
    assert_eq!(good(&text, &[]), loaded.config);
}

#[test]
fn the_dump_says_that_a_secret_is_set_and_not_what_it_is() {
    let secret = ("HOLLER_TRACES__HEADERS", "authorization=Bearer canary");
    let loaded = load("[traces]\nendpoint = \"http://127.0.0.1:4318\"", &[secret], &ServeFlags::default()).unwrap();
    let text = dump::effective(&loaded);
    assert!(text.contains("headers is set and not shown") && !text.contains("canary"), "{text}");
}

#[test]
fn what_changed_is_told_apart_by_whether_a_running_server_can_take_it() {
    let other = good("[log]\nfilter = \"warn\"\nformat = \"json\"\n[server]\nconnections_max = 1", &[]);
    let (reload, restart) = good("", &[]).differences(&other);
    assert_eq!(
        (reload, restart),
        (vec!["log.filter".into()], vec!["server.connections_max".into(), "log.format".into()])
    );
}
