//! Maps and sets from iterators, in little code.

/// Collects by inserting one by one. `collect` into a `BTreeMap` or `BTreeSet` sorts first; a sort for each type of key
/// and value is 60 KB of the loader's binary.
pub fn gather<Item, All: Default + Extend<Item>>(items: impl IntoIterator<Item = Item>) -> All {
    let mut all = All::default();
    all.extend(items);
    all
}
