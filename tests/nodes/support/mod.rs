//! What the tests of nodes have in common.

// Processes are looked at in /proc, and hosts are network namespaces.
#[cfg(target_os = "linux")]
pub mod census;
pub mod ends;
#[cfg(target_os = "linux")]
pub mod faults;
#[cfg(target_os = "linux")]
pub mod figures;
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
#[cfg(target_os = "linux")]
pub mod torture;
#[cfg(target_os = "linux")]
pub mod verdicts;

use std::sync::Mutex;

/// Held by tests that run rings of real processes.
static ONE_RING: Mutex<()> = Mutex::new(());

/// Waits for its turn: rings of real processes run one after the other. What is timed in them is healing, not the
/// scheduler, and they take the same addresses.
pub fn alone() -> impl Drop {
    ONE_RING.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}
