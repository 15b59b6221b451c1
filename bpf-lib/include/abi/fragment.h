/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is remembered of a first fragment. Mirror: src/fragment.rs. */
#pragma once

#include "bpf/types.h"

enum {
	FRAGMENTS_MAX = 8192,	/* datagrams that are remembered at a time, as in Cilium */
};

/* Key of `fragments`: one datagram. An IPv4 address stands in the first four bytes, the rest is zero. */
struct fragment_key {
	u8 source[16];
	u8 destination[16];
	u32 id;	/* as the packet has it, IPv4's in the first two bytes */
	u8 family;
	u8 proto;	/* of IPv4; 0 in IPv6, where the fragments of a datagram may name different headers */
	u16 pad;
};

/* What the L4 header of the first fragment said, as in struct flow. */
struct fragment_head {
	be16 source_port_be;
	be16 destination_port_be;
	u8 proto;
	u8 icmp_type;
	u8 icmp_code;
	u8 tcp_flags;
};

_Static_assert(sizeof(struct fragment_key) == 40, "struct fragment_key");
_Static_assert(__builtin_offsetof(struct fragment_key, family) == 36, "struct fragment_key");
_Static_assert(sizeof(struct fragment_head) == 8, "struct fragment_head");
_Static_assert(__builtin_offsetof(struct fragment_head, proto) == 4, "struct fragment_head");
