//! The examples end by themselves, without an error.

#[path = "../../examples/embed.rs"]
mod embed;
#[path = "../../examples/rooms.rs"]
mod rooms;

#[test]
fn ring_goes_on_without_the_owner_of_a_key() {
    embed::main().unwrap();
}

#[test]
fn rooms_move_to_whoever_owns_them() {
    rooms::main().unwrap();
}
