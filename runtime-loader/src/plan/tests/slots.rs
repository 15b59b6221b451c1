//! Who shares a program, and whose a slot is.

use super::*;

/// How many programs a plan loads.
fn loaded(plan: &Plan) -> usize {
    plan.steps.iter().filter(|step| matches!(step, Step::LoadProgram(_))).count()
}

#[test]
fn endpoints_of_one_policy_share_programs_until_the_slots_are_used_up() {
    let (pins, bundle) = (pins(), bundle(80));
    let mut snapshot = node_with(&pins, &bundle, &[DEATHSTAR]);
    for number in 0..40 {
        let address = format!("10.80.0.{number}").parse().unwrap();
        let fleet = AddRequest {
            name: format!("run/{number}"),
            known_by: KnownBy::Name("default/fleet".to_owned()),
            addresses: vec![address],
            ..request("default/fleet", &format!("vf{number}"))
        };
        let plan = add(&Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot }, &fleet).unwrap();
        // deathstar has the same egress: its program is theirs, too.
        let expected = usize::from([7, 15, 31].contains(&number)) + usize::from([0, 8, 16, 32].contains(&number));
        assert_eq!(loaded(&plan), expected, "fleet {number}");
        snapshot = after(&pins, &bundle, &snapshot, &plan);
    }
    assert_eq!(snapshot.programs.len(), 9);
    let counts = |snapshot: &Snapshot| {
        let mut counts: Vec<usize> = snapshot.programs.values().map(|program| program.slots.len()).collect();
        counts.sort_unstable();
        counts
    };
    assert_eq!(counts(&snapshot), [8, 8, 8, 8, 8, 16, 16, 32, 32]);

    // All together they get programs that are large enough.
    let new = self::bundle(81);
    let plan = apply(&Scene { pins: &pins, bundle: &new, node: None, snapshot: &snapshot }).unwrap();
    assert_eq!(loaded(&plan), 3);
    let end = after(&pins, &new, &snapshot, &plan);
    let taken = |end: &Snapshot, generation: &str| {
        let of = end.programs.iter().filter(|(name, _)| name.starts_with(generation));
        of.map(|(_, program)| program.slots.iter().filter(|id| **id != 0).count()).sum::<usize>()
    };
    assert_eq!((taken(&end, "1-"), taken(&end, "2-")), (0, 82), "the way back is loaded, and empty");
    assert_eq!(counts(&end)[10..], [64, 64]);
    let plan = apply(&Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &end }).unwrap();
    assert_eq!(loaded(&plan), 0, "nothing is loaded on the way back");
    let back = after(&pins, &bundle, &end, &plan);
    assert_eq!((taken(&back, "1-"), taken(&back, "2-")), (82, 0));

    // Who goes leaves a free slot, and the last one takes the program along.
    let mut left = back;
    for id in 2..42 {
        let plan = del(&pins, &left, &Which::Id(id)).unwrap();
        left = after(&pins, &bundle, &left, &plan);
    }
    assert_eq!(taken(&left, "1-"), 2);
    assert_eq!(left.programs.keys().filter(|name| name.starts_with("1-")).count(), 2);
}

#[test]
fn a_slot_that_something_unrecorded_runs_with_is_neither_freed_nor_taken() {
    let (pins, bundle) = (pins(), bundle(80));
    let snapshot = node_with(&pins, &bundle, &[DEATHSTAR, XWING]);
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &snapshot };
    let renewal = add(&scene, &request(DEATHSTAR.0, DEATHSTAR.1)).unwrap();
    let switched = renewal.steps.iter().rposition(|step| matches!(step, Step::Switch { .. })).unwrap();
    let partly = Plan { steps: renewal.steps[..=switched].to_vec(), ..Plan::default() };
    let died = after(&pins, &bundle, &snapshot, &partly);
    let slots = |snapshot: &Snapshot| snapshot.programs.values().map(|p| p.slots.clone()).collect::<Vec<_>>();

    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &died };
    let fleet = AddRequest { addresses: vec!["10.80.0.1".parse().unwrap()], ..request("default/fleet", "veth9") };
    let other = after(&pins, &bundle, &died, &add(&scene, &fleet).unwrap());
    for (before, now) in slots(&died).iter().zip(slots(&other)) {
        assert!(before.iter().zip(&now).all(|(before, now)| *before == 0 || before == now), "{before:?} {now:?}");
    }
    // Whoever sets deathstar right frees what is left over.
    let scene = Scene { pins: &pins, bundle: &bundle, node: None, snapshot: &other };
    let end = after(&pins, &bundle, &other, &apply(&scene).unwrap());
    let of_deathstar = slots(&end).iter().flatten().filter(|id| **id == 1).count();
    assert_eq!(of_deathstar, 2, "one at each hook: {:?}", end.programs);
}
