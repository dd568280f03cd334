//! The limits of classes, as objects of the embedded Lua.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::prelude::*;

use crate::archive::limits::{Limit, LimitStep, PartitionSizes};
use crate::lua::value::{Host, Text, partition, partitions};

/// `limits() -> limits`: what is known of the sizes of partitions
pub(crate) fn new(lua: &Lua, (): ()) -> LuaResult<LuaAnyUserData> {
    lua.create_userdata(LuaLimits::default())
}

#[derive(Default)]
struct LuaLimits(Rc<RefCell<PartitionSizes>>);

impl LuaUserData for LuaLimits {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // full(host, archive user, number of entries): a partition is full
        methods.add_method("full", |_, this, (Host(host), name, entries): (Host, Text, u64)| {
            if let Some(partition) = partition(&name) {
                this.0.borrow_mut().set(&host, partition, entries);
            }
            Ok(())
        });
        // removed(host, archive user): a partition was removed
        methods.add_method("removed", |_, this, (Host(host), name): (Host, Text)| {
            if let Some(partition) = partition(&name) {
                this.0.borrow_mut().remove(&host, &partition);
            }
            Ok(())
        });
        // forget(host | nil: all)
        methods.add_method("forget", |_, this, host: Option<Host>| {
            this.0.borrow_mut().forget(host.as_ref().map(|Host(host)| host.as_str()));
            Ok(())
        });
        // enforce(host, number of entries, archive users of a class, newest first) -> limit
        methods.add_method("enforce", |lua, this, (Host(host), limit, users): (Host, u64, LuaTable)| {
            lua.create_userdata(LuaLimit { limit: Limit::new(&host, limit, partitions(&users)), sizes: Rc::clone(&this.0) })
        });
    }
}

/// A limit that is being enforced.
struct LuaLimit {
    limit: Limit,
    sizes: Rc<RefCell<PartitionSizes>>,
}

impl LuaUserData for LuaLimit {
    fn add_methods<M: LuaUserDataMethods<Self>>(methods: &mut M) {
        // next() -> nil: it is enforced | "count", archive user: count its entries, and call counted() | "remove", archive user
        methods.add_method_mut("next", |_, this, ()| {
            Ok(match this.limit.next_step(&this.sizes.borrow()) {
                None => (None, None),
                Some(LimitStep::Count(partition)) => (Some("count"), Some(partition.to_string())),
                Some(LimitStep::Remove(partition)) => (Some("remove"), Some(partition.to_string())),
            })
        });
        // counted(number of entries)
        methods.add_method_mut("counted", |_, this, entries: u64| {
            this.limit.counted(&mut this.sizes.borrow_mut(), entries);
            Ok(())
        });
    }
}
