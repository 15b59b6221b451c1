/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a program has to know of the endpoint whose packet it judges. Mirror: src/endpoint.rs. */
#pragma once

#include "bpf/types.h"

/* Words of the packet's control block that the entry program of an endpoint leaves for the program of its policy. */
enum {
	ENTRY_CB_SLOT = 0,	/* place of the endpoint in `endpoints` */
	ENTRY_CB_ENDPOINT = 1,	/* its number, which must be the one that stands there */
};

/*
 * The other words, and a bit beside the endpoint's number, when one of its programs asks the other what policy says about
 * a flow.
 */
enum {
	CONSULT_CB_SLOT = 2,	/* place of the endpoint in the program that is asked */
	CONSULT_CB_CAUSE = 2,	/* in the answer: index into the causes of the provenance */
	CONSULT_CB_PEER = 3,	/* identity index of the flow's other end */
	CONSULT_CB_L4 = 4,	/* protocol << 16 | port that policy looks at */
	CONSULT_ENDPOINT_BIT = 1 << 16,	/* in ENTRY_CB_ENDPOINT: this is a question */
};

/* Value of `endpoints`: one slot. */
struct endpoint {
	u32 id;	/* number on this node, 0 for a slot that is free */
	u32 identity;	/* numeric identity */
	be32 ipv4_be;	/* address, 0 for none */
	u32 first_counter;	/* entry of `counters` that counts action 0 */
	be64 ipv6_hi_be;	/* first half of the address, 0 for none */
	be64 ipv6_lo_be;	/* second half */
	u64 mac;	/* MAC address, its first byte lowest; 0 when nobody said, so that any will do */
	u32 opposite_slot;	/* its slot in its program of the other direction */
	be32 gateway_ipv4_be;	/* address whose MAC address the program tells the endpoint, 0 for none */
	be64 gateway_ipv6_hi_be;	/* first half of the IPv6 one, 0 for none */
	be64 gateway_ipv6_lo_be;	/* second half */
	u64 gateway_mac;	/* that MAC address, its first byte lowest */
};

_Static_assert(sizeof(struct endpoint) == 72, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, ipv4_be) == 8, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, ipv6_hi_be) == 16, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, mac) == 32, "struct endpoint");
_Static_assert(__builtin_offsetof(struct endpoint, gateway_mac) == 64, "struct endpoint");
