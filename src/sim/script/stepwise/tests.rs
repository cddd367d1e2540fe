use super::super::run;

fn complaint(text: &str) -> String {
    run(text).unwrap_err().to_string()
}

#[test]
fn node_26_joins_stepwise() {
    let played = run("stepwise
        ring 14 21 32 38
        join 26 through 14
        arrive 26       # finds 32
        answer 26
        arrive 26       # the list and the predecessor of 32
        answer 26
        arrive 26       # 21 vouches for the place
        answer 26
        print
        stabilize 26
        arrive 26
        answer 26
        notify 26 32
        rectify 32
        arrive 32
        answer 32
        stabilize 21
        arrive 21
        answer 21
        arrive 21
        answer 21
        notify 21 26
    ")
    .unwrap();
    assert_eq!(
        played.drawing,
        "14 after [38] before [21 32 38]\n\
         21 after [14] before [32 38 14]\n\
         26 after [] before [32 38 14]\n\
         32 after [21] before [38 14 21]\n\
         38 after [32] before [14 21 32]\n\
         14 after [38] before [21 32 38]\n\
         21 after [14] before [26 32 38]\n\
         26 after [] before [32 38 14]\n\
         32 after [26] before [38 14 21]\n\
         38 after [32] before [14 21 32]\n"
    );
    assert_eq!(played.neighbors[&21].successors().len(), 3);
}

#[test]
fn living_node_that_is_suspected_is_dropped() {
    let played = run("stepwise\nring 1 8 14 21\nstabilize 1\narrive 1\nsuspect 1").unwrap();
    assert!(played.drawing.starts_with("1 after [21] before [14 21] short\n"), "{}", played.drawing);
    assert!(played.drawing.ends_with("1 notifies 14\n"), "{}", played.drawing);
}

#[test]
fn death_is_met_when_the_question_arrives() {
    let played = run("stepwise\nring 1 8 14 21\ncrash 8\nstabilize 1\narrive 1\nanswer 1").unwrap();
    assert!(played.drawing.starts_with("1 after [21] before [14 21] short\n"), "{}", played.drawing);
}

#[test]
fn commands_that_make_no_sense_name_their_line() {
    for (commands, expected) in [
        ("arrive 1", "line 3: 1 asks nothing"),
        ("answer 1", "line 3: no answer is on its way to 1"),
        ("stabilize 2", "line 3: 2 is not up"),
        ("stabilize 1\nstabilize 1", "line 4: 1 holds a conversation already"),
        ("stabilize 1\narrive 1\narrive 1", "line 5: the question of 1 has arrived already"),
        ("rectify 1", "line 3: no notification waits at 1"),
        ("notify 1 8", "line 3: no notification of 1 is on its way to 8"),
        ("admission 1", "line 3: 1 has admitted no joiner"),
        ("join 1 through 8", "line 3: 1 is a member already"),
        ("alone 1", "line 3: 1 is up already"),
        ("crash 64", "line 3: \"64\" is no number below 2^6"),
        ("bits 5", "line 3: the circle is given before any node"),
        ("\n# a comment\nfly 1", "line 5: no stepwise command: fly 1"),
    ] {
        assert_eq!(complaint(&format!("stepwise\nring 1 8\n{commands}")), expected);
    }
    assert_eq!(complaint("stepwise\nring 1"), "line 2: a ring has at least two nodes; one is: alone");
    assert_eq!(complaint("stepwise\nr 33"), "line 2: r takes a number from 1 to 32");
}
