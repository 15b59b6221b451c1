//! The way back to the generation before.

use crate::handmade;
use crate::lab::{DEATHSTAR, Lab, XWING, utf8};

#[test]
fn a_rollback_brings_the_old_policy_back_without_its_bundle() {
    let Some(lab) = Lab::new() else { return };
    let (old, new) = (lab.bundle(80), lab.bundle(81));
    lab.add(&old, DEATHSTAR);
    lab.add(&old, XWING);
    let refused = lab.fails(3, &["rollback"]);
    assert!(refused.contains("no generation to go back to"), "{refused}");
    lab.ok(&["apply", "--bundle", utf8(&new)]);
    std::fs::remove_dir_all(&old).unwrap();
    std::fs::remove_dir_all(&new).unwrap();
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));

    let before = lab.listing();
    let dry = lab.ok(&["rollback", "--dry-run"]);
    assert!(dry.contains("make generation 1 the current one, 2 the previous one"), "{dry}");
    assert!(!dry.contains("publish"), "its tables are still there: {dry}");
    assert_eq!(lab.listing(), before);
    let said = lab.ok(&["rollback"]);
    assert!(said.contains("generation 1") && said.contains("is in force again"), "{said}");
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
    lab.ok(&["rollback"]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"), "and forth again");
    for _ in 0..2 {
        lab.ok(&["rollback", "--to", "1"]);
        assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"), "said twice it is still there");
    }
    lab.fails(3, &["rollback", "--to", "9"]);
    lab.ok(&["rollback", "--to", "2"]);
    // What comes after a rollback needs no bundle either.
    lab.ok(&["endpoint", "del", "--endpoint", XWING.0]);
    lab.ok(&["endpoint", "add", "--endpoint", XWING.0, "--interface", XWING.1]);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
}

#[test]
fn an_endpoint_that_came_after_the_switch_goes_back_too() {
    let Some(lab) = Lab::new() else { return };
    let (old, new) = (lab.bundle(80), lab.bundle(81));
    lab.add(&old, XWING);
    lab.ok(&["apply", "--bundle", utf8(&new)]);
    lab.add(&new, DEATHSTAR);
    assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
    let dry = lab.ok(&["rollback", "--dry-run"]);
    assert!(dry.contains("publish class"), "its tables were never made: {dry}");
    lab.ok(&["rollback"]);
    assert!(lab.connects("10.77.0.1:80") && !lab.connects("10.77.0.1:81"));
}

#[test]
fn a_damaged_store_is_refused_and_the_policy_in_force_stays() {
    let Some(lab) = Lab::new() else { return };
    lab.add(&lab.bundle(80), DEATHSTAR);
    lab.add(&lab.bundle(80), XWING);
    lab.ok(&["apply", "--bundle", utf8(&lab.bundle(81))]);
    // An object is read when its program is not there.
    for program in std::fs::read_dir(lab.root().join("programs")).unwrap().flatten() {
        if program.file_name().to_str().unwrap().starts_with("1-") {
            std::fs::remove_dir_all(program.path()).unwrap();
        }
    }
    for damaged in ["objects/to-tables.o", handmade::TABLES] {
        let file = lab.state().join("generations/1/files").join(damaged);
        let good = std::fs::read(&file).unwrap();
        let mut bytes = good.clone();
        bytes[99] ^= 1;
        std::fs::write(&file, bytes).unwrap();
        let refused = lab.fails(3, &["rollback"]);
        assert!(refused.contains(&format!("`{damaged}` is damaged")), "{refused}");
        assert!(lab.connects("10.77.0.1:81") && !lab.connects("10.77.0.1:80"));
        assert!(lab.ok(&["status"]).contains("generation  2 (previous: 1)"));
        std::fs::write(&file, good).unwrap();
    }
    lab.ok(&[
        "apply",
        "--bundle",
        utf8(&lab.write_bundle("third", &handmade::files(82, |p| crate::lab::objects()[p].clone()))),
    ]);
    assert!(lab.connects("10.77.0.1:82"));
    assert!(!lab.state().join("generations/1/files").exists(), "one way back");
}
