//! Makes a failing script shorter, and prints it as a test.

use crate::script::{Action, Script};
use crate::world::World;

/// How often a shorter script is tried.
const MOST: usize = 600;

/// The shortest script that was found that still fails, and its problem.
pub fn shrink(script: &Script) -> (Script, String) {
    let mut best = script.clone();
    let mut problem = World::run(script).problem.unwrap_or_default();
    let mut tries = 0;
    let fails = |script: &Script, tries: &mut usize| {
        *tries += 1;
        if *tries > MOST { None } else { World::run(script).problem }
    };
    let mut is_shorter = true;
    while is_shorter && tries <= MOST {
        is_shorter = false;
        let mut size = best.actions.len().max(1);
        while size > 0 {
            let mut from = 0;
            while from < best.actions.len() {
                let mut shorter = best.clone();
                shorter.actions.drain(from..(from + size).min(best.actions.len()));
                match fails(&shorter, &mut tries) {
                    Some(found) => (best, problem, is_shorter) = (shorter, found, true),
                    None => from += size,
                }
            }
            size /= 2;
        }
        for index in 0..best.actions.len() {
            for smaller in smaller(best.actions[index]) {
                let mut simpler = best.clone();
                simpler.actions[index] = smaller;
                if let Some(found) = fails(&simpler, &mut tries) {
                    (best, problem, is_shorter) = (simpler, found, true);
                    break;
                }
            }
        }
    }
    (best, problem)
}

/// Simpler actions to try in the place of one. Each is smaller in some way, so that this comes to an end.
fn smaller(action: Action) -> Vec<Action> {
    match action {
        Action::Flood(kind, count, accounts, networks) if count > 2 => {
            vec![
                Action::Event(kind, 0, 0),
                Action::Flood(kind, count / 2, accounts, networks),
                Action::Flood(kind, count - 1, accounts, networks),
            ]
        }
        Action::Pass(seconds) if seconds > 1.0 => {
            [1.0, 60.0, 3600.0, 86_400.0].into_iter().filter(|less| *less < seconds).map(Action::Pass).collect()
        }
        Action::Store(mood, calls) if calls > 1 => vec![Action::Store(mood, 1), Action::Store(mood, calls / 2)],
        Action::Receiver(number, reply, times) if times > 1 => vec![Action::Receiver(number, reply, 1)],
        Action::Crash(step) if step > 0 => vec![Action::Crash(0), Action::Crash(step / 2), Action::Crash(step - 1)],
        Action::Fail(operation, errno, times) if times > 1 => vec![Action::Fail(operation, errno, 1)],
        Action::Event(kind, account, network) if account + network > 0 => vec![Action::Event(kind, 0, 0)],
        _ => Vec::new(),
    }
}

/// A script as a test in Rust.
pub fn as_test(script: &Script, name: &str) -> String {
    let actions: String = script.actions.iter().map(|action| format!("            {},\n", code(action))).collect();
    let setup = format!("{:?}", script.setup).replace("driver: ", "driver: Driver::");
    format!("    #[test]\n    fn {name}() {{\n        passes({setup}, &[\n{actions}        ]);\n    }}\n")
}

fn code(action: &Action) -> String {
    match action {
        Action::Receiver(number, reply, times) => format!("Action::Receiver({number}, Reply::{reply:?}, {times})"),
        Action::Store(mood, calls) => format!("Action::Store(Mood::{mood:?}, {calls})"),
        Action::Fail(operation, errno, times) => format!("Action::Fail(Operation::{operation:?}, Errno::{errno:?}, {times})"),
        Action::Damage(damage, number) => format!("Action::Damage(Damage::{damage:?}, {number})"),
        Action::Read(elsewhere, oldest_first, between) => format!("Action::Read({elsewhere}, {oldest_first}, Between::{between:?})"),
        other => format!("Action::{other:?}"),
    }
}
