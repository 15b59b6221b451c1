//! `apply`, the way back, and an `apply` that died in between.

use super::*;

#[test]
fn apply_moves_everybody_and_removes_what_is_unused_last() {
    let (pins, old, new) = (pins(), bundle(80), bundle(81));
    let snapshot = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let plan = apply(&scene).unwrap();
    let lines = lines(&plan);
    let first = |word: &str| lines.iter().position(|line| line.starts_with(word)).unwrap();
    let last = |word: &str| lines.iter().rposition(|line| line.starts_with(word)).unwrap();
    assert!(last("publish") < first("load"), "{lines:#?}");
    assert!(last("load") < first("replace"), "{lines:#?}");
    assert!(last("replace") < first("verify") && first("verify") < first("make generation 2"), "{lines:#?}");
    assert!(lines.iter().all(|line| !line.starts_with("remove")), "{lines:#?}");
    assert_eq!(lines.iter().filter(|line| line.starts_with("replace")).count(), 4);
    assert!(plan.notes.is_empty());

    let snapshot = after(&pins, &new, &snapshot, &plan);
    assert_eq!(snapshot.generations.keys().collect::<Vec<_>>(), [&1, &2], "a way back is kept");
    assert_eq!((snapshot.classes.len(), snapshot.stored.len()), (2, 2));
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    assert_eq!(apply(&scene).unwrap(), Plan::default(), "there is nothing left to do");

    let third = bundle(82);
    let scene = Scene { pins: &pins, bundle: &third, node: None, snapshot: &snapshot };
    let plan = apply(&scene).unwrap();
    let third_lines = self::lines(&plan);
    let removed = third_lines.iter().position(|line| line.starts_with("remove")).unwrap();
    assert!(third_lines[..removed].iter().any(|line| line.starts_with("make generation 3")), "{third_lines:#?}");
    let snapshot = after(&pins, &third, &snapshot, &plan);
    assert_eq!(snapshot.generations.keys().collect::<Vec<_>>(), [&2, &3], "one way back");
    assert_eq!((snapshot.classes.len(), snapshot.stored.len()), (2, 2));
    assert_eq!(snapshot.documents.len(), 3, "events of the first one still find their rules");
}

#[test]
fn a_rollback_is_the_old_bundle_applied_and_so_is_the_next_one() {
    let (pins, old, new) = (pins(), bundle(80), bundle(81));
    let mut snapshot = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    for (bundle, generation, previous) in [(&new, 2, 1), (&old, 1, 2), (&new, 2, 1)] {
        let scene = Scene { pins: &pins, bundle, node: None, snapshot: &snapshot };
        let plan = apply(&scene).unwrap();
        let lines = lines(&plan);
        if (generation, previous) != (2, 1) {
            assert!(lines.iter().all(|line| !line.starts_with("publish")), "everything is still there: {lines:#?}");
            assert!(lines.contains(&"set 10.77.0.1 to identity index 257 in generation 1".to_owned()), "{lines:#?}");
        }
        assert!(lines.iter().all(|line| !line.starts_with("remove")), "{lines:#?}");
        snapshot = after(&pins, bundle, &snapshot, &plan);
        let current = snapshot.current.as_ref().unwrap();
        assert_eq!((current.generation, current.previous), (generation, Some(previous)));
        assert!(snapshot.records().values().all(|record| record.generation == generation));
    }
}

#[test]
fn an_apply_that_died_between_two_endpoints_goes_on() {
    let (pins, old, new) = (pins(), bundle(80), bundle(81));
    let snapshot = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let whole = apply(&scene).unwrap();
    for count in 0..whole.steps.len() {
        let partly = Plan { steps: whole.steps[..count].to_vec(), ..Plan::default() };
        let snapshot = after(&pins, &new, &snapshot, &partly);
        let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
        let rest = apply(&scene).unwrap();
        let end = after(&pins, &new, &snapshot, &rest);
        assert_eq!(end.in_force(), Some(2), "after {count} steps");
        assert_eq!(end.current.as_ref().unwrap().previous, Some(1), "after {count} steps");
        assert_eq!(end.generations.len(), 2, "after {count} steps");
        let generations = end.endpoints.values().map(|seen| seen.record.as_ref().unwrap().generation);
        assert_eq!(generations.collect::<Vec<_>>(), [2, 2], "after {count} steps");
    }
}

#[test]
fn the_old_bundle_after_a_switch_that_died_takes_every_program_back() {
    let (pins, old, new) = (pins(), bundle(80), bundle(81));
    let before = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &before };
    let whole = apply(&scene).unwrap();
    for count in 0..whole.steps.len() {
        let partly = Plan { steps: whole.steps[..count].to_vec(), ..Plan::default() };
        let snapshot = after(&pins, &new, &before, &partly);
        let scene = Scene { pins: &pins, bundle: &old, node: None, snapshot: &snapshot };
        let back = lines(&apply(&scene).unwrap());
        for (id, seen) in &snapshot.endpoints {
            let strange = Hook::ALL.into_iter().filter(|hook| seen.links[hook] != before.endpoints[id].links[hook]);
            for hook in strange {
                let line = format!("replace {hook} of endpoint {id} (program {})", seen.links[&hook].prog_id);
                assert!(back.contains(&line), "after {count} steps, {line}: {back:#?}");
            }
        }
    }
}

#[test]
fn an_unfinished_generation_is_not_removed_by_another_command() {
    let (pins, old, new) = (pins(), bundle(80), bundle(81));
    let snapshot = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let whole = apply(&scene).unwrap();
    let switched = whole.steps.iter().position(|step| matches!(step, Step::Switch { .. })).unwrap();
    let partly = Plan { steps: whole.steps[..=switched].to_vec(), ..Plan::default() };
    let snapshot = after(&pins, &new, &snapshot, &partly);
    let plan = del(&pins, &snapshot, &Which::Name(XWING.0.to_owned())).unwrap();
    let lines = lines(&plan);
    assert!(lines.iter().all(|line| !line.contains("of generation 2")), "{lines:#?}");
    assert!(lines.iter().any(|line| line.starts_with("set 10.77.0.3") && line.ends_with("generation 2")), "{lines:#?}");
    // Another bundle instead of the one that was not finished: then it goes.
    let third = bundle(82);
    let scene = Scene { pins: &pins, bundle: &third, node: None, snapshot: &snapshot };
    let end = after(&pins, &third, &snapshot, &apply(&scene).unwrap());
    assert_eq!(end.generations.keys().collect::<Vec<_>>(), [&1, &3]);
    assert_eq!(end.current.unwrap().previous, Some(1));
}

#[test]
fn documents_of_the_past_stay_for_a_while() {
    let pins = pins();
    let mut snapshot = node_with(&pins, &bundle(1), &[DEATHSTAR]);
    for port in 2..20 {
        let bundle = bundle(port);
        let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
        let plan = apply(&scene).unwrap();
        snapshot = after(&pins, &bundle, &snapshot, &plan);
    }
    assert_eq!(snapshot.documents.iter().copied().collect::<Vec<_>>(), (11..=19).collect::<Vec<u32>>());
}

#[test]
fn what_is_gone_is_noted_and_left() {
    let (pins, old) = (pins(), bundle(80));
    let mut snapshot = node_with(&pins, &old, &[DEATHSTAR, XWING]);
    // deathstar's interface went away, xwing is not in the new bundle, and a third one lost its record.
    let deathstar = snapshot.endpoints.get_mut(&1).unwrap();
    deathstar.ifindex = None;
    deathstar.links.values_mut().for_each(|link| link.ifindex = 0);
    snapshot.endpoints.insert(3, Seen::default());
    let mut files = handmade::files(81, |path| path.as_bytes().to_vec());
    let mut manifest: Manifest = serde_json::from_slice(&files["manifest.json"]).unwrap();
    manifest.endpoints.remove(XWING.0);
    handmade::seal(&mut files, &manifest);
    let new = Bundle::from_files(files).unwrap();
    let scene = Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot };
    let plan = apply(&scene).unwrap();
    assert_eq!(plan.notes.len(), 3, "{:#?}", plan.notes);
    assert!(plan.notes[0].contains("interface veth1 is gone"));
    assert!(plan.notes[1].contains("keeps the policy of generation 1"));
    assert!(plan.notes[2].contains("`endpoint del --id 3`"));
    let touched = lines(&plan).into_iter().find(|line| line.starts_with("replace") || line.starts_with("remove"));
    assert_eq!(touched, None);
}
