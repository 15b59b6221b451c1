/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What happens to a packet, and why. Mirror: src/action.rs. */
#pragma once

#include "bpf/types.h"

enum {
	ACTION_VERDICT_DENY = 0,
	ACTION_VERDICT_ALLOW = 1,
	ACTION_VERDICT_REDIRECT = 2,
};

enum {
	ACTION_FLAG_AUDITED = 1,
};

/* Value of `actions`. All fields zero means deny. */
struct action {
	u8 verdict;	/* ACTION_VERDICT_* */
	u8 reason;	/* drop reason when the verdict is deny */
	u8 auth;	/* authentication type, 0 none */
	u8 flags;	/* ACTION_FLAG_* */
	u8 match_type;	/* Cilium's match kind */
	u8 pad[3];
	u32 l7_ruleset;	/* of a redirect */
	u32 cause;	/* index into the causes of the provenance */
};

_Static_assert(sizeof(struct action) == 16, "struct action");
_Static_assert(__builtin_offsetof(struct action, match_type) == 4, "struct action");
_Static_assert(__builtin_offsetof(struct action, l7_ruleset) == 8, "struct action");
_Static_assert(__builtin_offsetof(struct action, cause) == 12, "struct action");
