/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a program has to know of the endpoint whose packet it judges. Mirror: src/endpoint.rs. */
#pragma once

#include "bpf/types.h"

/* Words of the packet's control block that the entry program of an endpoint leaves for the program of its policy. */
enum {
	ENTRY_CB_SLOT = 0,	/* place of the endpoint in `endpoints` */
	ENTRY_CB_ENDPOINT = 1,	/* its number, which must be the one that stands there */
};

/* Value of `endpoints`: one slot. */
struct endpoint {
	u32 id;	/* number on this node, 0 for a slot that is free */
	u32 identity;	/* numeric identity */
	be32 ipv4_be;	/* address, 0 for none */
	u32 first_counter;	/* entry of `counters` that counts action 0 */
	be64 ipv6_hi_be;	/* first half of the address, 0 for none */
	be64 ipv6_lo_be;	/* second half */
};

_Static_assert(sizeof(struct endpoint) == 32, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, ipv4_be) == 8, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, ipv6_hi_be) == 16, "struct endpoint");
