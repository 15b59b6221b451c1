//! The reference model: a flow's verdict from resolved rules, knowing nothing of `lower`.
