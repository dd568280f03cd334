//! Signals that end the process: `prosodyctl mod_audit` may be interrupted.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// Whether Ctrl-C ends the process at once. Signals belong to the process, so this is a static.
static ENDS_AT_ONCE: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

/// The exit status of an interrupted process, as in shells.
const INTERRUPTED: i32 = 130;

/// `exit_on_interrupt() -> boolean`. Lets Ctrl-C end the process, and returns whether that worked. Lua's own handler only reaches
/// the main coroutine, and a command of prosodyctl runs in another one.
pub(super) fn exit_on_interrupt() -> bool {
    flag::register_conditional_shutdown(SIGINT, INTERRUPTED, Arc::clone(&ENDS_AT_ONCE)).is_ok()
}

/// Runs a function that must not be interrupted. The function can ask whether the process was told to end. The process ends
/// afterwards.
pub(super) fn held_back<R>(run: impl FnOnce(&dyn Fn() -> bool) -> R) -> R {
    let told = Arc::new(AtomicUsize::new(0));
    let number = |signal: i32| usize::try_from(signal).unwrap_or_default();
    ENDS_AT_ONCE.store(false, Ordering::SeqCst);
    let register = |signal| flag::register_usize(signal, Arc::clone(&told), number(signal)).ok();
    let registered: Vec<_> = [SIGINT, SIGTERM, SIGHUP].into_iter().filter_map(register).collect();
    let result = run(&|| told.load(Ordering::SeqCst) != 0);
    for id in registered {
        low_level::unregister(id);
    }
    ENDS_AT_ONCE.store(true, Ordering::SeqCst);
    // signal-hook ignores a signal after its handler is removed.
    for signal in [SIGTERM, SIGHUP] {
        let _ = flag::register_conditional_default(signal, Arc::new(AtomicBool::new(true)));
    }
    match told.load(Ordering::SeqCst) {
        0 => {}
        signal if signal == number(SIGINT) => low_level::exit(INTERRUPTED),
        signal if signal == number(SIGHUP) => end_by(SIGHUP),
        _ => end_by(SIGTERM),
    }
    result
}

fn end_by(signal: i32) {
    let _ = low_level::emulate_default_handler(signal);
}
