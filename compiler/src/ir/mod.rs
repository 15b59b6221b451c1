//! The internal rule: every policy object lowered to one form.
