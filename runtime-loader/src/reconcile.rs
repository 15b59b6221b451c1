//! Act: takes the steps of a plan.
//!
//! When a step fails, what this run made is removed again, newest first: a failed command leaves nothing. Once a
//! running program was replaced there is no way back that cuts nobody, so from then on what was made stays, and the
//! next run goes on from there.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use ciliumc_abi::counter::Counter;
use ciliumc_abi::endpoint::Endpoint as Value;
use ciliumc_abi::manifest::{IPCACHE_FILE, MANIFEST_FILE, PROVENANCE_FILE};
use ciliumc_abi::names;

use crate::attach::{self, Place};
use crate::bundle::Bundle;
use crate::conntrack;
use crate::deny;
use crate::entry;
use crate::error::{Context, Error};
use crate::ipcache::Live;
use crate::maps::{self, Writable};
use crate::names::Hook;
use crate::pins::{JUMP, PROGRAM, Pins, aside};
use crate::plan::{Load, Plan, ProgramLoad, Publication, Step};
use crate::program::Loader;
use crate::state::{self, Slot};
use crate::sys::bpf;
use crate::sys::files;
use crate::sys::mapping::Mapping;
use crate::sys::{probe, rcu};

/// Takes the steps in order. `bundle` is the one that the plan was made from; `del` and `unload` have none.
pub fn run(pins: &Pins, bundle: Option<&Bundle>, plan: &Plan) -> Result<(), Error> {
    Session::new(pins, bundle).run(plan)
}

/// Takes several plans of one bundle: what takes long to make is made once.
pub struct Session<'a> {
    ctx: Ctx<'a>,
}

impl<'a> Session<'a> {
    /// A session in which nothing was done yet.
    pub fn new(pins: &'a Pins, bundle: Option<&'a Bundle>) -> Self {
        let ctx = Ctx {
            pins,
            bundle,
            loader: Loader::default(),
            loaded: BTreeMap::new(),
            running: BTreeMap::new(),
            tries: BTreeMap::new(),
            connected: BTreeMap::new(),
            undo: Vec::new(),
        };
        Self { ctx }
    }

    /// Takes the steps of a plan in order.
    pub fn run(&mut self, plan: &Plan) -> Result<(), Error> {
        let result = plan.steps.iter().try_for_each(|step| self.ctx.step(step));
        if result.is_err() {
            self.ctx.undo();
        }
        self.ctx.undo.clear();
        self.ctx.loaded.clear();
        self.ctx.running.clear();
        result
    }
}

/// How to take back what a step made.
enum Undo {
    /// Remove a file, a pin, or a folder with what is in it.
    Remove(PathBuf),
    /// Detach a program.
    Detach(Place, Hook),
    /// Give an address back.
    Address { generation: u32, address: IpAddr, base: u32 },
    /// Free a slot.
    Slot(Slot),
    /// Let two programs ask each other again.
    Part(Vec<Slot>),
    /// What was said of other nodes' addresses.
    Remotes(Option<Vec<u8>>),
}

struct Ctx<'a> {
    pins: &'a Pins,
    bundle: Option<&'a Bundle>,
    loader: Loader,
    /// What is loaded and not attached yet.
    loaded: BTreeMap<(u16, Hook), OwnedFd>,
    /// Where this run put programs, with their kernel ids.
    running: BTreeMap<(u16, Hook), (Place, u32)>,
    /// Tries that were read, by generation and family (IPv4: true).
    tries: BTreeMap<(u32, bool), Live>,
    /// Local addresses with conntrack entries when this session first looked, by family.
    connected: BTreeMap<bool, BTreeSet<IpAddr>>,
    undo: Vec<Undo>,
}

impl<'a> Ctx<'a> {
    fn step(&mut self, step: &Step) -> Result<(), Error> {
        let pins = self.pins;
        match step {
            Step::RemoveLeftover(path) => remove(path),
            Step::CreateNodeMap { name, layout } => {
                let path = pins.node().join(name);
                self.folder(&pins.node())?;
                self.undo.push(Undo::Remove(path.clone()));
                maps::create(&path, name, layout, &[], Writable::Later).map(drop)
            }
            Step::PublishClass { digest, file, tables } => self.publish_class(digest, file, tables),
            Step::PublishGeneration(publication) => self.publish_generation(publication),
            Step::StoreFiles { generation, files } => self.store_files(*generation, files),
            Step::RecordEndpoint(record) => {
                let path = pins.endpoint_record(record.id);
                self.folder(&pins.endpoint_records())?;
                if !path.exists() {
                    self.undo.push(Undo::Remove(path.clone()));
                }
                let mut record = record.clone();
                let running = Hook::ALL.map(|hook| Some((hook, self.running.get(&(record.id, hook))?.1)));
                record.programs.extend(running.into_iter().flatten());
                state::write(&path, &record)
            }
            Step::LoadProgram(load) => self.load_program(load),
            Step::Load(load) => self.load(load),
            Step::LoadDenyAll { endpoint, hook, .. } => self.load_deny_all(*endpoint, *hook),
            Step::Attach { place, hook } => self.attach(place, *hook),
            Step::Switch { place, hook, from } => self.switch(place, *hook, *from),
            Step::SetAddress { generation, address, index, base } => {
                let (generation, address, base) = (*generation, *address, *base);
                self.undo.push(Undo::Address { generation, address, base });
                self.set_address(generation, address, *index)
            }
            Step::SetRemotes(remotes) => {
                let path = pins.remotes();
                let old = files::read_optional(&path).context(|| format!("cannot read `{}`", path.display()))?;
                self.undo.push(Undo::Remotes(old));
                state::write(&path, remotes)
            }
            Step::Part { slots, .. } => {
                self.undo.push(Undo::Part(slots.clone()));
                // Of an older loader, or taken away by somebody: then there is nothing to part.
                let there = |slot: &&Slot| pins.program(&slot.program).join(names::OPPOSITES).exists();
                slots.iter().filter(there).try_for_each(|slot| self.part(&slot.program, slot.number))
            }
            Step::Meet { slots, .. } => self.meet(slots.values()),
            Step::Verify(endpoints) => endpoints.iter().try_for_each(|id| self.verify(*id)),
            Step::ForgetConnections(address) => self.forget_connections(*address),
            Step::SetCurrent(current) => {
                self.folder(&pins.state)?;
                state::write(&pins.current(), current)
            }
            Step::RemoveEndpoint(id) => {
                let record: Option<state::Endpoint> = state::read(&pins.endpoint_record(*id))?;
                for hook in Hook::ALL {
                    match &record {
                        Some(record) => attach::detach(pins, &record.place(), hook)?,
                        None => attach::detach_tcx(pins, *id, hook)?,
                    }
                }
                remove(&pins.endpoint(*id))?;
                remove(&pins.endpoint_record(*id))
            }
            Step::Settle => {
                rcu::synchronize();
                Ok(())
            }
            Step::FreeSlots { program, slots } => slots.iter().try_for_each(|slot| self.free_slot(program, *slot)),
            Step::RemoveProgram(name) => remove_whole(&pins.program(name)),
            Step::RemoveClass(digest) => remove_whole(&pins.class(digest)),
            Step::RemoveGeneration(number) => {
                self.tries.retain(|(generation, _), _| generation != number);
                remove_whole(&pins.generation(*number))
            }
            Step::RemoveFiles(number) => remove_whole(&pins.files(*number)),
            Step::RemoveDocuments(number) => remove_whole(&pins.documents(*number)),
            Step::RemoveNode { folders } => {
                folders.iter().try_for_each(|folder| remove(folder))?;
                files::remove_if_empty(&pins.root).context(|| format!("cannot remove `{}`", pins.root.display()))
            }
        }
    }

    /// Makes a folder, and remembers the topmost one that was not there.
    fn folder(&mut self, path: &Path) -> Result<(), Error> {
        let missing = path.ancestors().take_while(|folder| !folder.exists()).last();
        if let Some(missing) = missing {
            self.undo.push(Undo::Remove(missing.to_owned()));
        }
        files::make_folder(path).context(|| format!("cannot make the folder `{}`", path.display()))
    }

    /// A folder in which to make what a rename commits.
    fn folder_aside(&mut self, path: &Path) -> Result<PathBuf, Error> {
        let folder = aside(path);
        self.folder(path.parent().unwrap_or(path))?;
        remove(&folder)?;
        self.undo.push(Undo::Remove(folder.clone()));
        files::make_folder(&folder).context(|| format!("cannot make the folder `{}`", folder.display()))?;
        Ok(folder)
    }

    fn commit(&mut self, path: &Path) -> Result<(), Error> {
        self.undo.push(Undo::Remove(path.to_owned()));
        rename(&aside(path), path)
    }

    fn publish_class(
        &mut self,
        digest: &str,
        file: &str,
        tables: &[(String, ciliumc_abi::manifest::Section, bpf::Layout)],
    ) -> Result<(), Error> {
        let path = self.pins.class(digest);
        let folder = self.folder_aside(&path)?;
        for (name, _, layout) in tables {
            let (_, bytes) = self.bundle()?.table(file, name)?;
            // Identities that come later get their rows there; all else is final.
            let writable = if name == names::ID_ROW { Writable::Later } else { Writable::Never };
            maps::create(&folder.join(name), name, layout, bytes, writable)?;
        }
        self.commit(&path)
    }

    fn publish_generation(&mut self, publication: &Publication) -> Result<(), Error> {
        let number = publication.generation.number;
        let documents = self.pins.documents(number);
        let aside_documents = self.folder_aside(&documents)?;
        let bundle = self.bundle()?;
        let copies =
            [(MANIFEST_FILE, MANIFEST_FILE), (PROVENANCE_FILE, PROVENANCE_FILE), (IPCACHE_FILE, state::RECORDS_FILE)];
        for (from, to) in copies {
            let path = aside_documents.join(to);
            let bytes = bundle.file(from)?;
            files::write_atomic(&path, bytes).context(|| format!("cannot write `{}`", path.display()))?;
        }
        state::write(&aside_documents.join(state::GENERATION_FILE), &publication.generation)?;
        self.commit(&documents)?;

        let path = self.pins.generation(number);
        let folder = self.folder_aside(&path)?;
        for (name, layout) in &publication.maps {
            let (bytes, writable) = match name.as_str() {
                names::IPCACHE4 => (publication.tries.v4.to_bytes(), Writable::Later),
                names::IPCACHE6 => (publication.tries.v6.to_bytes(), Writable::Later),
                _ => {
                    let numbers = publication.identities.iter().flat_map(|number| number.to_ne_bytes());
                    (numbers.collect(), Writable::Never)
                }
            };
            maps::create(&folder.join(name), name, layout, &bytes, writable)?;
        }
        self.commit(&path)
    }

    fn store_files(&mut self, generation: u32, paths: &[String]) -> Result<(), Error> {
        let path = self.pins.files(generation);
        let folder = self.folder_aside(&path)?;
        let bundle = self.bundle()?;
        for relative in paths {
            let path = folder.join(relative);
            let cannot = || format!("cannot write `{}`", path.display());
            files::make_folder(path.parent().unwrap_or(&folder)).context(cannot)?;
            files::write(&path, bundle.file(relative)?).context(cannot)?;
        }
        self.commit(&path)
    }

    fn create_counters(&mut self, endpoint: u16, hook: Hook, layout: &bpf::Layout) -> Result<OwnedFd, Error> {
        let path = aside(&self.pins.counters(endpoint, hook));
        remove(&path)?;
        self.undo.push(Undo::Remove(path.clone()));
        maps::create(&path, names::COUNTERS, layout, &[], Writable::Later)
    }

    fn load_deny_all(&mut self, endpoint: u16, hook: Hook) -> Result<(), Error> {
        self.folder(&self.pins.endpoint(endpoint))?;
        let counters = self.create_counters(endpoint, hook, &deny::COUNTERS)?;
        let metrics = maps::open(&self.pins.node().join(names::METRICS))?;
        let program = deny::load(hook, metrics.as_fd(), counters.as_fd())?;
        self.loaded.insert((endpoint, hook), program);
        Ok(())
    }

    fn load_program(&mut self, load: &ProgramLoad) -> Result<(), Error> {
        let path = self.pins.program(&load.name);
        let folder = self.folder_aside(&path)?;
        for (name, layout) in &load.maps {
            maps::create(&folder.join(name), name, layout, &[], Writable::Later)?;
        }
        let object = self.bundle()?.file(&load.object)?;
        let program = self.loader.load(&load.object, object, load.hook.program(), &load.scalars, &load.bindings)?;
        let jump = maps::create(&folder.join(JUMP), JUMP, &entry::JUMP, &[], Writable::Later)?;
        let set = bpf::prog_array_set(jump.as_fd(), 0, program.as_fd());
        set.context(|| format!("cannot set what leads to `{}`", load.name))?;
        bpf::obj_pin(program.as_fd(), &folder.join(PROGRAM))
            .context(|| format!("cannot pin the program `{}`", load.name))?;
        self.commit(&path)
    }

    fn load(&mut self, load: &Load) -> Result<(), Error> {
        let Slot { program, number } = &load.slot;
        self.folder(&self.pins.endpoint(load.endpoint))?;
        self.undo.push(Undo::Slot(load.slot.clone()));
        self.zero_counters(load)?;
        self.set_slot(program, *number, load.value)?;
        let jump = maps::open(&self.pins.program(program).join(JUMP))?;
        let metrics = maps::open(&self.pins.node().join(names::METRICS))?;
        let entry = entry::load(load.hook, load.endpoint, *number, jump.as_fd(), metrics.as_fd())?;
        self.loaded.insert((load.endpoint, load.hook), entry);
        Ok(())
    }

    /// Who has a slot begins to count at zero. A program without tables counts nothing.
    fn zero_counters(&self, load: &Load) -> Result<(), Error> {
        let path = self.pins.program(&load.slot.program).join(names::COUNTERS);
        if !path.exists() {
            return Ok(());
        }
        let cannot = || format!("cannot write `{}`", path.display());
        let cpus = probe::possible_cpus().context(cannot)?;
        let zeros = vec![0; size_of::<Counter>() * cpus * load.counters as usize];
        let map = maps::open(&path)?;
        bpf::array_write(map.as_fd(), load.value.first_counter, &zeros).context(cannot)
    }

    fn set_slot(&self, program: &str, number: u32, value: Value) -> Result<(), Error> {
        let path = self.pins.program(program).join(names::ENDPOINTS);
        let map = maps::open(&path)?;
        let set = bpf::array_write(map.as_fd(), number, &value.to_bytes());
        set.context(|| format!("cannot write slot {number} of `{}`", path.display()))
    }

    /// Lets each of an endpoint's programs ask the other one.
    fn meet<'s>(&self, slots: impl Iterator<Item = &'s Slot>) -> Result<(), Error> {
        let slots: Vec<_> = slots.collect();
        let [one, other] = slots[..] else { return Ok(()) };
        for (slot, other) in [(one, other), (other, one)] {
            let path = self.pins.program(&slot.program).join(names::OPPOSITES);
            let program = self.pins.program(&other.program).join(PROGRAM);
            let program =
                bpf::obj_get(&program).context(|| format!("cannot open the program `{}`", program.display()))?;
            let set = bpf::prog_array_set(maps::open(&path)?.as_fd(), slot.number, program.as_fd());
            set.context(|| format!("cannot write slot {} of `{}`", slot.number, path.display()))?;
        }
        Ok(())
    }

    /// Frees a slot, and lets go of the program that it could ask.
    fn free_slot(&self, program: &str, number: u32) -> Result<(), Error> {
        self.set_slot(program, number, Value::default())?;
        self.part(program, number)
    }

    /// Makes the endpoint's other program unknown to a slot.
    fn part(&self, program: &str, number: u32) -> Result<(), Error> {
        let path = self.pins.program(program).join(names::OPPOSITES);
        match bpf::map_delete(maps::open(&path)?.as_fd(), &number.to_ne_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context(|| format!("cannot write slot {number} of `{}`", path.display()))
            }
            _ => Ok(()),
        }
    }

    fn attach(&mut self, place: &Place, hook: Hook) -> Result<(), Error> {
        let program = self.take(place.endpoint, hook)?;
        self.runs(place, hook, &program)?;
        self.undo.push(Undo::Detach(place.clone(), hook));
        attach::attach(self.pins, place, hook, program.as_fd())?;
        self.counters(place.endpoint, hook)
    }

    fn switch(&mut self, place: &Place, hook: Hook, from: u32) -> Result<(), Error> {
        let program = self.take(place.endpoint, hook)?;
        self.runs(place, hook, &program)?;
        attach::replace(self.pins, place, hook, program.as_fd(), from)?;
        // The old program is gone: what was made for the new one is in use.
        self.undo.clear();
        self.counters(place.endpoint, hook)
    }

    fn runs(&mut self, place: &Place, hook: Hook, program: &OwnedFd) -> Result<(), Error> {
        let endpoint = place.endpoint;
        let id = bpf::prog_id(program.as_fd()).context(|| format!("cannot look at {hook} of endpoint {endpoint}"))?;
        self.running.insert((endpoint, hook), (place.clone(), id));
        Ok(())
    }

    /// The kernel says that both programs of an endpoint are those of this run.
    fn verify(&self, endpoint: u16) -> Result<(), Error> {
        for hook in Hook::ALL {
            let bug = || Error::Bug(format!("{hook} of endpoint {endpoint} was not attached"));
            let (place, expected) = self.running.get(&(endpoint, hook)).ok_or_else(bug)?;
            let found = attach::find(self.pins, place, hook)?.filter(|link| link.ifindex != 0);
            let found = found.map(|link| link.prog_id);
            if found != Some(*expected) {
                return Err(Error::Machine(format!(
                    "{hook} of endpoint {endpoint} is not the program that was just put there ({}): somebody else changed \
                     it, or its interface went away; the old generation is kept, run the command again",
                    found.map_or("nothing is".to_owned(), |id| format!("program {id} is"))
                )));
            }
        }
        Ok(())
    }

    fn set_address(&mut self, generation: u32, address: IpAddr, index: u32) -> Result<(), Error> {
        let name = if address.is_ipv4() { names::IPCACHE4 } else { names::IPCACHE6 };
        let path = self.pins.generation(generation).join(name);
        let wrong = |what| Error::Machine(format!("cannot set {address} in `{}`: {what}", path.display()));
        let live = match self.tries.entry((generation, address.is_ipv4())) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => {
                let map = maps::open(&path)?;
                let mapping = Mapping::new(map.as_fd());
                let mapping = mapping.context(|| format!("cannot map `{}` into memory", path.display()))?;
                place.insert(Live::read(mapping, address.is_ipv4()).map_err(wrong)?)
            }
        };
        live.set_host(address, index).map_err(wrong)
    }

    /// Removes the entries whose local end is `address`: a new owner must not inherit connections.
    ///
    /// Reading a large map takes long, so a session looks once: later entries are those of endpoints that run.
    fn forget_connections(&mut self, address: IpAddr) -> Result<(), Error> {
        let known = match self.connected.entry(address.is_ipv4()) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(conntrack::local_addresses(self.pins, address.is_ipv4())?),
        };
        if known.remove(&address) { conntrack::forget(self.pins, address).map(drop) } else { Ok(()) }
    }

    /// The counters of a program that drops everything take the place of the old ones; others have theirs elsewhere.
    fn counters(&mut self, endpoint: u16, hook: Hook) -> Result<(), Error> {
        let path = self.pins.counters(endpoint, hook);
        if aside(&path).exists() { rename(&aside(&path), &path) } else { remove(&path) }
    }

    fn take(&mut self, endpoint: u16, hook: Hook) -> Result<OwnedFd, Error> {
        let program = self.loaded.remove(&(endpoint, hook));
        program.ok_or_else(|| Error::Bug(format!("{hook} of endpoint {endpoint} was not loaded")))
    }

    fn bundle(&self) -> Result<&'a Bundle, Error> {
        self.bundle.ok_or_else(|| Error::Bug("the plan needs a bundle".to_owned()))
    }

    fn undo(&mut self) {
        for undo in std::mem::take(&mut self.undo).into_iter().rev() {
            // The error that led here is the one to tell; the next run removes what stays behind.
            let _ = match undo {
                Undo::Remove(path) => remove(&path),
                Undo::Detach(place, hook) => attach::detach(self.pins, &place, hook),
                Undo::Part(slots) => self.meet(slots.iter()),
                Undo::Slot(slot) => self.free_slot(&slot.program, slot.number),
                Undo::Address { generation, address, base } => self.set_address(generation, address, base),
                Undo::Remotes(None) => remove(&self.pins.remotes()),
                Undo::Remotes(Some(old)) => {
                    files::write_atomic(&self.pins.remotes(), &old).context(|| "cannot write".to_owned())
                }
            };
        }
    }
}

fn remove(path: &Path) -> Result<(), Error> {
    files::remove(path).context(|| format!("cannot remove `{}`", path.display()))
}

/// Removes a folder that commands take for whole when it has its name: a crash leaves all of it, or something
/// unfinished.
fn remove_whole(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let folder = aside(path);
    remove(&folder)?;
    rename(path, &folder)?;
    remove(&folder)
}

fn rename(from: &Path, to: &Path) -> Result<(), Error> {
    files::rename(from, to).context(|| format!("cannot rename `{}` to `{}`", from.display(), to.display()))
}
