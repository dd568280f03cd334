//! One seed decides everything: a run that is repeated leaves the same store, the same files and the same log, byte by byte.

use std::path::Path;

use audit_core::file::{Access, Files};

use crate::disk::FOLDER;
use crate::script::Script;
use crate::world::World;

impl World {
    /// Everything that a run leaves: the entries of the store, the bytes of the files, what was logged, and what was checked.
    fn remains(&self) -> Vec<String> {
        let mut lines = self.log.clone();
        for (user, list) in self.store.all() {
            lines.extend(list.iter().map(|stored| format!("{user:?} {stored:?}")));
        }
        let mut names = self.disk.files.list(Path::new(FOLDER)).expect("no faults are left");
        names.sort();
        for name in names {
            let file = self.disk.files.open(&Path::new(FOLDER).join(&name), Access::Read).expect("it is listed");
            let mut bytes = vec![0; file.length().expect("it is there") as usize];
            file.read_at(&mut bytes, 0).expect("no faults are left");
            lines.push(format!("{name:?} {}", String::from_utf8_lossy(&bytes).escape_debug()));
        }
        lines.push(format!("{} steps, {:?}, {:?}", self.steps, self.problem, self.model));
        lines
    }
}

#[test]
fn a_seed_decides_every_byte() {
    for seed in 0..12 {
        let script = Script::of(seed);
        let (first, second) = (World::run(&script).remains(), World::run(&script).remains());
        let differs = first.iter().zip(&second).find(|(first, second)| first != second);
        assert_eq!((differs, first.len()), (None, second.len()), "seed {seed} is not the same again");
    }
}
