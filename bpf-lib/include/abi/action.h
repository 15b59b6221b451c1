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

/* Cilium's match kinds: what the policy that lets a packet pass is about. */
enum {
	POLICY_MATCH_NONE = 0,
	POLICY_MATCH_L3_ONLY = 1,
	POLICY_MATCH_L3_L4 = 2,
	POLICY_MATCH_L4_ONLY = 3,
	POLICY_MATCH_ALL = 4,
	POLICY_MATCH_L3_PROTO = 5,
	POLICY_MATCH_PROTO_ONLY = 6,
};

/* Value of `actions`. All fields zero means deny. */
struct action {
	u8 verdict;	/* ACTION_VERDICT_* */
	u8 reason;	/* drop reason when the verdict is deny */
	u8 auth;	/* authentication type, 0 none */
	u8 flags;	/* ACTION_FLAG_* */
	u8 match_type;	/* POLICY_MATCH_* */
	u8 pad[3];
	u32 l7_ruleset;	/* of a redirect */
	u32 cause;	/* index into the causes of the provenance */
};

_Static_assert(sizeof(struct action) == 16, "struct action");
_Static_assert(__builtin_offsetof(struct action, match_type) == 4, "struct action");
_Static_assert(__builtin_offsetof(struct action, l7_ruleset) == 8, "struct action");
_Static_assert(__builtin_offsetof(struct action, cause) == 12, "struct action");
