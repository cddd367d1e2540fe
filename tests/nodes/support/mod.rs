//! Shared parts of the tests of nodes.

// The costs of processes are read from /proc, and hosts are network namespaces.
#[cfg(target_os = "linux")]
pub mod census;
pub mod ends;
#[cfg(target_os = "linux")]
pub mod faults;
#[cfg(target_os = "linux")]
pub mod figures;
pub mod home;
#[cfg(target_os = "linux")]
pub mod hosts;
pub mod ideal;
#[cfg(target_os = "linux")]
pub mod load;
#[cfg(target_os = "linux")]
pub mod lookups;
#[cfg(target_os = "linux")]
pub mod member;
#[cfg(target_os = "linux")]
pub mod network;
pub mod plain;
pub mod process;
pub mod schema;
pub mod screen;
pub mod service;
pub mod shell;
#[cfg(target_os = "linux")]
pub mod torture;
#[cfg(target_os = "linux")]
pub mod verdicts;

use std::cell::RefCell;
use std::panic;
use std::sync::{Mutex, MutexGuard, Once};
use std::thread;

/// Held by tests that run rings of real processes.
static ONE_RING: Mutex<()> = Mutex::new(());

thread_local! {
    /// Why this thread panicked.
    static WHY: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// One test's turn to run a ring of real processes.
pub struct Alone(#[expect(dead_code, reason = "it is held")] MutexGuard<'static, ()>);

/// Waits for its turn: rings of real processes run one after the other. They measure healing and not the scheduler, and
/// they use the same addresses.
pub fn alone() -> Alone {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |why| {
            WHY.set(Some(why.to_string()));
            usual(why);
        }));
    });
    Alone(ONE_RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
}

/// When a test fails, many processes print their logs: after these, print the reason of the failure once more.
impl Drop for Alone {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("--- why it failed:\n{}", WHY.take().unwrap_or_default());
        }
    }
}
